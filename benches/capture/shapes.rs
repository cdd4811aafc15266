//! The captured values, from one word to ten million words. Each value has two monitored functions of its type: one
//! captures the argument, the other does not. `Serialize` and `Debug` are derived, as in users' programs.

use std::collections::BTreeMap;

use monitor_benches::Case;
use serde::Serialize;

/// A value, with one loop for each of its two monitored functions, and functions that write it as JSON and by `Debug`.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// Set if writing the whole value takes milliseconds.
    pub(crate) large: bool,
    uncaptured: fn(u32),
    captured: fn(u32),
    pub(crate) json: fn(),
    pub(crate) debug: fn(),
}

impl Shape {
    pub(crate) fn case(&self) -> Case {
        Case { name: self.name, calls: 1, baseline: self.uncaptured, measured: self.captured }
    }
}

/// Makes a shape in a module of its own. The arguments are the module, the shape's name, whether the value is
/// large, the argument's type, the value's type and expression, the expression of the argument, and the
/// expression that is written as JSON.
macro_rules! shape {
    ($module:ident, $name:expr, $large:literal, $argument:ty, $value:ty = $make:expr,
     |$value_name:ident| $pass:expr, $json:expr) => {
        mod $module {
            use std::hint::black_box;
            use std::sync::LazyLock;

            use monitored::monitor;

            use super::*;

            static VALUE: LazyLock<$value> = LazyLock::new(|| $make);

            #[monitor(skip_all, no_result)]
            #[inline(never)]
            fn uncaptured(value: $argument) {
                black_box(value);
            }

            #[monitor(no_result)]
            #[inline(never)]
            fn captured(value: $argument) {
                black_box(value);
            }

            pub(super) const SHAPE: Shape = Shape {
                name: $name,
                large: $large,
                uncaptured: |calls| {
                    let $value_name = &*VALUE;
                    (0..calls).for_each(|_| uncaptured(black_box($pass)));
                },
                captured: |calls| {
                    let $value_name = &*VALUE;
                    (0..calls).for_each(|_| captured(black_box($pass)));
                },
                json: || {
                    let $value_name = &*VALUE;
                    _ = black_box(serde_json::to_string(black_box($json)));
                },
                debug: || _ = black_box(format!("{:?}", black_box(&*VALUE))),
            };
        }
    };
}

pub(crate) const LIST: &str = "list of 10 million";

pub(crate) const SHAPES: [Shape; 11] = [
    number::SHAPE,
    text::SHAPE,
    pair::SHAPE,
    order::SHAPE,
    order_debug::SHAPE,
    cart::SHAPE,
    map::SHAPE,
    thousand::SHAPE,
    long_text::SHAPE,
    list::SHAPE,
    deep::SHAPE,
];

shape!(number, "u32", false, u32, u32 = 4711, |value| *value, value);
shape!(text, "&str of 10", false, &str, &'static str = "order-0815", |value| value, value);
shape!(pair, "(u64, &str)", false, (u64, &str), (u64, &'static str) = (4711, "order-0815"), |value| *value, value);
shape!(order, "struct of 6 fields", false, &Order, Order = Order::new(), |value| value, value);
shape!(
    order_debug,
    "struct of 6 fields by Debug alone",
    false,
    &DebugOnly,
    DebugOnly = DebugOnly(Order::new()),
    |value| value,
    &value.0
);
shape!(cart, "struct of 10 structs", false, &Cart, Cart = Cart::new(), |value| value, value);
shape!(
    map,
    "map of 100",
    false,
    &Map,
    Map = (0..100).map(|n| (format!("key-{n:02}"), n)).collect(),
    |value| value,
    value
);
shape!(thousand, "list of 1000", false, &[u64], Vec<u64> = (0..1000).collect(), |value| value, value);
shape!(
    long_text,
    "String of 10 MiB",
    true,
    &str,
    String = "0123456789abcdef".repeat(655_360),
    |value| value,
    value
);
shape!(list, LIST, true, &[u64], Vec<u64> = (0..10_000_000).collect(), |value| value, value);
shape!(deep, "tree 1000 deep", false, &Tree, Tree = Tree::new(1000), |value| value, value);

type Map = BTreeMap<String, u64>;

#[derive(Debug, Clone, Serialize)]
struct Order {
    id: u64,
    customer: String,
    item: String,
    quantity: u32,
    price: f64,
    express: bool,
}

impl Order {
    fn new() -> Self {
        Self {
            id: 4711,
            customer: "Jane Doe".to_owned(),
            item: "bolt, hexagonal, M8".to_owned(),
            quantity: 12,
            price: 3.95,
            express: true,
        }
    }
}

/// A type that implements `Debug` and nothing else.
#[derive(Debug)]
struct DebugOnly(Order);

#[derive(Debug, Serialize)]
struct Cart {
    id: u64,
    orders: Vec<Order>,
}

impl Cart {
    fn new() -> Self {
        Self { id: 1, orders: vec![Order::new(); 10] }
    }
}

#[derive(Debug, Serialize)]
struct Tree {
    value: u32,
    child: Option<Box<Tree>>,
}

impl Tree {
    fn new(depth: u32) -> Self {
        (0..depth)
            .fold(Self { value: 0, child: None }, |child, value| Self { value, child: Some(Box::new(child)) })
    }
}
