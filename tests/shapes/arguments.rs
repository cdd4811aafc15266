//! Receivers and arguments: M20 to M31.

use std::cell::Cell;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use monitored::monitor;

use super::support::{Log, OnDrop, block_on, yield_now};

#[test]
fn m20_every_kind_of_receiver() {
    struct Counter(u32);
    impl Counter {
        #[monitor]
        fn value(self) -> u32 {
            self.0
        }
        #[monitor]
        fn mutable(mut self) -> u32 {
            self.0 += 1;
            self.0
        }
        #[monitor]
        fn shared(&self) -> u32 {
            self.0
        }
        #[monitor]
        fn exclusive(&mut self) -> &mut Self {
            self.0 += 1;
            self
        }
        #[monitor]
        fn counted(self: Arc<Self>) -> u32 {
            self.0
        }
        #[monitor]
        fn pinned(mut self: Pin<&mut Self>) -> u32 {
            self.0 += 1;
            self.0
        }
        #[monitor]
        fn boxed(self: Box<Self>) -> u32 {
            self.0
        }
        #[monitor]
        #[expect(clippy::needless_arbitrary_self_type, reason = "that is the point")]
        fn typed(self: &Self) -> u32 {
            self.0
        }
        #[monitor]
        async fn value_later(self) -> u32 {
            yield_now().await;
            self.0
        }
        #[monitor]
        async fn mutable_later(mut self) -> u32 {
            self.0 += 1;
            yield_now().await;
            self.0
        }
        #[monitor]
        async fn shared_later(&self, other: &Self) -> u32 {
            yield_now().await;
            self.0 + other.0
        }
        #[monitor]
        async fn exclusive_later(&mut self) -> &mut u32 {
            yield_now().await;
            &mut self.0
        }
        #[monitor]
        async fn counted_later(self: Arc<Self>) -> u32 {
            yield_now().await;
            self.0
        }
        #[monitor]
        async fn pinned_later(mut self: Pin<&mut Self>) -> u32 {
            yield_now().await;
            self.0 += 1;
            self.0
        }
    }
    assert_eq!(Counter(1).value() + Counter(1).mutable() + Counter(1).shared(), 4);
    assert_eq!(Counter(1).exclusive().exclusive().0, 3);
    assert_eq!(Arc::new(Counter(1)).counted() + Box::new(Counter(1)).boxed() + Counter(1).typed(), 3);
    assert_eq!(Pin::new(&mut Counter(1)).pinned(), 2);
    assert_eq!(block_on(Counter(1).value_later()) + block_on(Counter(1).mutable_later()), 3);
    assert_eq!(block_on(Counter(1).shared_later(&Counter(2))), 3);
    assert_eq!(*block_on(Counter(1).exclusive_later()), 1);
    assert_eq!(block_on(Arc::new(Counter(1)).counted_later()), 1);
    assert_eq!(block_on(Pin::new(&mut Counter(1)).pinned_later()), 2);
}

#[test]
fn m21_mutable_arguments() {
    #[monitor]
    fn sync(mut items: Vec<u8>, mut more: u8) -> Vec<u8> {
        more += 1;
        items.push(more);
        items
    }
    #[monitor]
    fn unit(log: &Log, mut count: u8) {
        count += 1;
        if count == 2 {
            log.write("two");
        }
    }
    #[monitor]
    async fn later(mut items: Vec<u8>, mut more: u8) -> Vec<u8> {
        more += 1;
        yield_now().await;
        items.push(more);
        items
    }
    #[monitor]
    fn boxed(mut more: u8) -> Pin<Box<dyn Future<Output = u8>>> {
        more += 1;
        Box::pin(async move { more })
    }
    let log = Log::default();
    unit(&log, 1);
    assert_eq!(log.read(), ["two"]);
    assert_eq!(sync(vec![], 1), [2]);
    assert_eq!(block_on(later(vec![], 1)), [2]);
    assert_eq!(block_on(boxed(1)), 2);
}

struct Point {
    x: u32,
    y: u32,
}
struct Meters(u32);
type Cells = std::cell::RefCell<u32>;
struct Unit;

#[test]
#[allow(clippy::toplevel_ref_arg, clippy::trivially_copy_pass_by_ref, reason = "that is the point")]
fn m22_patterns() {
    #[monitor]
    fn tuple((a, b): (u32, u32), (mut c, _): (u32, u32)) -> u32 {
        c += a;
        c + b
    }
    #[monitor]
    fn structs(Point { x, y: renamed }: Point, Point { x: other, .. }: &Point) -> u32 {
        x + renamed + other
    }
    #[monitor]
    fn tuple_struct(Meters(length): Meters, Unit: Unit, ((a, [b, ..]), _): ((u32, [u32; 3]), u32)) -> u32 {
        length + a + b
    }
    #[monitor]
    fn references(&a: &u32, &mut b: &mut u32, ref c: u32, ref mut d: u32) -> u32 {
        *d += 1;
        a + b + c + *d
    }
    #[monitor]
    fn slices([a, b]: [u32; 2], whole @ [first, ..]: [u32; 3], _: u32) -> u32 {
        a + b + whole[1] + first
    }
    #[monitor]
    fn unit((a, b): (&Log, &'static str)) {
        a.write(b);
    }
    #[monitor]
    async fn later((a, mut b): (u32, u32), Point { x, .. }: Point, _: u32, ref c: u32, &d: &u32) -> u32 {
        b += 1;
        yield_now().await;
        a + b + x + c + d
    }
    #[monitor]
    async fn borrowed_at_the_end((ref a, b): (u32, Cells), cells: Cells) -> u32 {
        yield_now().await;
        *b.borrow() + *cells.borrow() + a
    }
    #[monitor]
    fn boxed((a, b): (u32, u32), Meters(c): Meters) -> Pin<Box<dyn Future<Output = u32>>> {
        let sum = a + b;
        Box::pin(async move { sum + c })
    }
    #[monitor]
    #[allow(clippy::many_single_char_names, clippy::too_many_arguments, reason = "that is the point")]
    fn many(a: u32, (b, _): (u32, u32), c: u32, mut d: u32, _: u32, [e]: [u32; 1], f: u32, g: u32) -> u32 {
        d += 1;
        a + b + c + d + e + f + g
    }
    assert_eq!(tuple((1, 2), (3, 4)), 6);
    assert_eq!(structs(Point { x: 1, y: 2 }, &Point { x: 3, y: 4 }), 6);
    assert_eq!(tuple_struct(Meters(1), Unit, ((2, [3, 0, 0]), 0)), 6);
    assert_eq!(references(&1, &mut 2, 3, 4), 11);
    assert_eq!(slices([1, 2], [3, 4, 5], 6), 10);
    assert_eq!(block_on(later((1, 2), Point { x: 3, y: 0 }, 4, 5, &6)), 18);
    assert_eq!(block_on(borrowed_at_the_end((1, Cells::new(2)), Cells::new(3))), 6);
    assert_eq!(block_on(boxed((1, 2), Meters(3))), 6);
    assert_eq!(many(1, (2, 0), 3, 3, 0, [5], 6, 7), 28);
    let log = Log::default();
    unit((&log, "unit"));
    assert_eq!(log.read(), ["unit"]);
}

#[test]
fn m23_impl_dyn_and_unsized_arguments() {
    #[monitor]
    fn opaque(make: impl FnOnce() -> String, show: &(impl Debug + ?Sized)) -> String {
        format!("{}{show:?}", make())
    }
    #[monitor]
    fn object(call: &mut dyn FnMut(), shown: &dyn Debug, boxed: Box<dyn FnOnce() -> u8>) -> u8 {
        call();
        call();
        let _ = format!("{shown:?}");
        boxed()
    }
    #[monitor]
    fn slices<'a>(text: &'a str, bytes: &mut [u8]) -> &'a str {
        bytes[0] = 1;
        text
    }
    #[monitor]
    async fn later(mut call: impl FnMut() -> u8, object: &mut (dyn FnMut() + '_)) -> u8 {
        object();
        yield_now().await;
        call()
    }
    let mut count = 0;
    assert_eq!(opaque(|| String::from("a"), "b"), "a\"b\"");
    assert_eq!(object(&mut || count += 1, &1, Box::new(|| 3)), 3);
    assert_eq!(slices("a", &mut [0]), "a");
    assert_eq!(block_on(later(|| 2, &mut || count += 1)), 2);
    assert_eq!(count, 3);
}

#[test]
fn m24_names_like_those_of_an_expansion() {
    #[monitor]
    fn names(result: u32, guard: u32, span: u32, e: u32, x: u32, __ret: u32) -> Result<u32, u32> {
        let ret = result + guard;
        let call = span + e;
        let value = |error: u32| error + x;
        let body = value(call);
        if body == 0 {
            return Err(__ret);
        }
        Ok(ret + body)
    }
    #[monitor]
    async fn later(writer: u32, finish: u32, future: u32, f: u32, w: u32) -> u32 {
        let call = writer + finish;
        yield_now().await;
        let site = future + f;
        call + site + w
    }
    #[monitor]
    fn types(some: u32) -> Option<u32> {
        #[derive(Clone, Copy)]
        enum Value {
            Some(u32),
        }
        struct Returned(Value);
        let Returned(Value::Some(inner)) = Returned(Value::Some(some));
        Some(inner)
    }
    assert_eq!(names(1, 2, 3, 4, 5, 6), Ok(15));
    assert_eq!(block_on(later(1, 2, 3, 4, 5)), 15);
    assert_eq!(types(1), Some(1));
}

#[test]
fn m25_raw_identifiers() {
    #[monitor(skip(r#type), redact(r#in))]
    fn r#fn(r#type: u32, r#in: u32, (r#match, _): (u32, u32)) -> u32 {
        r#type + r#in + r#match
    }
    #[monitor(fields(r#use = r#type + 1))]
    async fn r#async(mut r#type: u32) -> u32 {
        r#type += 1;
        yield_now().await;
        r#type
    }
    #[monitor]
    fn unit(r#ref: &Cell<u32>) {
        r#ref.set(1);
    }
    assert_eq!(r#fn(1, 2, (3, 4)), 6);
    assert_eq!(block_on(r#async(1)), 2);
    let cell = Cell::new(0);
    unit(&cell);
    assert_eq!(cell.get(), 1);
}

#[test]
fn m29_types_with_neither_debug_nor_serialize() {
    struct Opaque;
    #[monitor]
    fn plain(argument: Opaque) -> Opaque {
        argument
    }
    #[monitor]
    fn generic<T, E>(value: T, fails: Option<E>) -> Result<T, E> {
        fails.map_or(Ok(value), Err)
    }
    #[monitor]
    async fn generic_later<T>(value: T) -> (T, Opaque) {
        yield_now().await;
        (value, Opaque)
    }
    #[monitor]
    fn boxed<T: 'static>(value: T) -> Pin<Box<dyn Future<Output = Result<T, Opaque>>>> {
        Box::pin(async move { Ok(value) })
    }
    let _: Opaque = plain(Opaque);
    assert!(generic::<_, Opaque>(Opaque, None).is_ok());
    assert!(generic(1, Some(Opaque)).is_err());
    let (Opaque, Opaque) = block_on(generic_later(Opaque));
    assert!(block_on(boxed(1)).is_ok());
}

#[test]
fn m30_a_future_is_send_where_the_original_is() {
    const fn is_send<T: Send>(value: T) -> T {
        value
    }
    #[monitor]
    async fn not_held(cell: &str, number: u32) -> u32 {
        let number = {
            let local = Cell::new(number);
            local.get()
        };
        yield_now().await;
        if cell.is_empty() { number } else { number + 1 }
    }
    #[monitor]
    async fn generic<T: Send + Sync>(value: &T, (a, b): (u8, u8)) -> Result<u8, String> {
        yield_now().await;
        let _: &T = value;
        Ok(a + b)
    }
    #[monitor]
    fn boxed(number: u32) -> Pin<Box<dyn Future<Output = u32> + Send>> {
        Box::pin(async move { number })
    }
    // The function compiles although its future is not `Send`.
    #[monitor]
    async fn held(cell: Cell<u32>) -> u32 {
        yield_now().await;
        cell.get()
    }
    assert_eq!(block_on(is_send(not_held("a", 1))), 2);
    assert_eq!(block_on(is_send(generic(&1, (1, 2)))), Ok(3));
    assert_eq!(block_on(is_send(boxed(1))), 1);
    assert_eq!(block_on(held(Cell::new(1))), 1);
}

/// Defines a function with the attribute and one without it, and asserts that both write the same log.
macro_rules! same_drops {
    ($log:ident => $call:expr; $(#[$attribute:meta])* async fn $name:ident $($rest:tt)*) => {{
        let plain = {
            $(#[$attribute])* async fn $name $($rest)*
            let $log = Log::default();
            block_on($call);
            $log.read()
        };
        let monitored = {
            #[monitor] $(#[$attribute])* async fn $name $($rest)*
            let $log = Log::default();
            block_on($call);
            $log.read()
        };
        assert_eq!(plain, monitored);
        assert!(plain.len() > 1, "{:?}", plain);
    }};
    ($log:ident => $call:expr; $(#[$attribute:meta])* fn $name:ident $($rest:tt)*) => {{
        let plain = {
            $(#[$attribute])* fn $name $($rest)*
            let $log = Log::default();
            _ = $call;
            $log.read()
        };
        let monitored = {
            #[monitor] $(#[$attribute])* fn $name $($rest)*
            let $log = Log::default();
            _ = $call;
            $log.read()
        };
        assert_eq!(plain, monitored);
        assert!(plain.len() > 1, "{:?}", plain);
    }};
}

#[test]
fn m31_arguments_and_locals_are_dropped_in_the_same_order() {
    struct Fields {
        first: OnDrop,
        second: OnDrop,
    }
    same_drops! { log => three(&log, log.on_drop("a"), log.on_drop("b"), log.on_drop("c"));
        fn three(log: &Log, a: OnDrop, _b: OnDrop, c: OnDrop) -> bool {
            let _local = log.on_drop("local");
            let _second = log.on_drop("second");
            c.touch() && a.touch() && log.on_drop("temporary").touch()
        }
    }
    same_drops! { log => unit(&log, log.on_drop("a"), log.on_drop("b"));
        fn unit(log: &Log, a: OnDrop, b: OnDrop) {
            let _local = log.on_drop("local");
            b.touch();
            a.touch();
        }
    }
    same_drops! { log => moved(log.on_drop("a"), log.on_drop("b"), log.on_drop("c"), true);
        fn moved(a: OnDrop, mut b: OnDrop, c: OnDrop, flag: bool) -> Option<bool> {
            if flag {
                drop(std::mem::replace(&mut b, a));
                return None;
            }
            Some(c.touch() && b.touch())
        }
    }
    same_drops! { log => patterns(
            (log.on_drop("a"), log.on_drop("b")), log.on_drop("c"), (log.on_drop("d"), log.on_drop("e")));
        fn patterns((a, _): (OnDrop, OnDrop), _: OnDrop, (_, e): (OnDrop, OnDrop)) -> bool {
            e.touch() && a.touch()
        }
    }
    same_drops! { log => many(log.on_drop("a"), log.on_drop("b"), log.on_drop("c"), log.on_drop("d"),
            log.on_drop("e"), log.on_drop("f"), log.on_drop("g"));
        #[allow(clippy::many_single_char_names, reason = "they are told apart by their order")]
        fn many(a: OnDrop, _: OnDrop, c: OnDrop, d: OnDrop, _e: OnDrop, f: OnDrop, g: OnDrop) -> bool {
            g.touch() && a.touch() && d.touch() && c.touch() && f.touch()
        }
    }
    same_drops! { log => std::panic::catch_unwind(std::panic::AssertUnwindSafe(
            || panics(log.on_drop("a"), log.on_drop("b"))));
        fn panics(a: OnDrop, _b: OnDrop) -> bool {
            let _local = a;
            panic!("dropped while unwinding");
        }
    }
    same_drops! { log => consumed(Fields { first: log.on_drop("first"), second: log.on_drop("second") },
            log.on_drop("b"));
        fn consumed(fields: Fields, b: OnDrop) -> bool {
            let Fields { first, .. } = fields;
            first.touch() && b.touch()
        }
    }
    let _ = |fields: Fields| (fields.first, fields.second);
}

#[test]
fn m31_receivers_are_dropped_whole_and_last() {
    struct Fields {
        first: OnDrop,
        second: OnDrop,
    }
    impl Fields {
        fn new(log: &Log) -> Self {
            Self { first: log.on_drop("first"), second: log.on_drop("second") }
        }
        fn plain(self, _a: OnDrop) -> bool {
            self.second.touch()
        }
        #[monitor]
        fn monitored(self, _a: OnDrop) -> bool {
            self.second.touch()
        }
        fn plain_move(self, a: OnDrop) -> bool {
            let second = self.second;
            a.touch() && second.touch()
        }
        #[monitor]
        fn monitored_move(self, a: OnDrop) -> bool {
            let second = self.second;
            a.touch() && second.touch()
        }
        async fn plain_later(self, a: OnDrop, _b: OnDrop) -> bool {
            yield_now().await;
            a.touch() && self.second.touch()
        }
        #[monitor]
        async fn monitored_later(self, a: OnDrop, _b: OnDrop) -> bool {
            yield_now().await;
            a.touch() && self.second.touch()
        }
    }
    let run = |call: fn(Fields, OnDrop) -> bool| {
        let log = Log::default();
        call(Fields::new(&log), log.on_drop("a"));
        log.read()
    };
    assert_eq!(run(Fields::plain), run(Fields::monitored));
    assert_eq!(run(Fields::plain_move), run(Fields::monitored_move));
    let plain = Log::default();
    block_on(Fields::new(&plain).plain_later(plain.on_drop("a"), plain.on_drop("b")));
    let monitored = Log::default();
    block_on(Fields::new(&monitored).monitored_later(monitored.on_drop("a"), monitored.on_drop("b")));
    assert_eq!(plain.read(), monitored.read());
    let log = Log::default();
    assert!(Fields::new(&log).first.touch());
}

#[test]
fn m31_futures_drop_arguments_in_the_same_order() {
    same_drops! { log => three(&log, log.on_drop("a"), log.on_drop("b"), log.on_drop("c"));
        async fn three(log: &Log, a: OnDrop, b: OnDrop, c: OnDrop) -> bool {
            let _local = log.on_drop("local");
            yield_now().await;
            let _second = log.on_drop("second");
            c.touch() && a.touch() && b.touch() && log.on_drop("temporary").touch()
        }
    }
    same_drops! { log => unused(log.on_drop("a"), log.on_drop("b"), log.on_drop("c"));
        async fn unused(_a: OnDrop, b: OnDrop, _: OnDrop) {
            yield_now().await;
            b.touch();
        }
    }
    same_drops! { log => moved(log.on_drop("a"), log.on_drop("b"), log.on_drop("c"));
        async fn moved(a: OnDrop, b: OnDrop, c: OnDrop) -> Option<OnDrop> {
            drop(b);
            if a.touch() {
                return None;
            }
            Some(c)
        }
    }
    same_drops! { log => patterns((log.on_drop("a"), log.on_drop("b")), log.on_drop("c"));
        async fn patterns((a, b): (OnDrop, OnDrop), c: OnDrop) -> bool {
            a.touch() && b.touch() && c.touch()
        }
    }
    same_drops! { log => many_patterns((log.on_drop("a"), log.on_drop("b")), log.on_drop("c"),
            [log.on_drop("d"), log.on_drop("e")], log.on_drop("f"), (log.on_drop("g"), log.on_drop("h")));
        #[allow(clippy::many_single_char_names, reason = "they are told apart by their order")]
        async fn many_patterns((a, b): (OnDrop, OnDrop), c: OnDrop, [d, e]: [OnDrop; 2], _: OnDrop,
            (g, h): (OnDrop, OnDrop)) -> bool {
            yield_now().await;
            drop(d);
            a.touch() && b.touch() && c.touch() && e.touch() && h.touch() && g.touch()
        }
    }
    same_drops! { log => async {
            let mut future = Box::pin(dropped(log.on_drop("a"), log.on_drop("b")));
            let polled = std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
            assert!(polled.is_pending());
        };
        async fn dropped(a: OnDrop, b: OnDrop) -> bool {
            yield_now().await;
            b.touch() && a.touch()
        }
    }
}

/// A job that holds a permit until it is done.
struct Job {
    id: u32,
    name: OnDrop,
    permit: OnDrop,
}

impl Job {
    fn new(log: &Log, id: u32) -> Self {
        Self { id, name: log.on_drop("name"), permit: log.on_drop("permit") }
    }

    /// Reads all fields.
    fn touch(&self) -> bool {
        self.id > 0 && self.name.touch() && self.permit.touch()
    }
}

/// An argument with a destructor, of which a pattern can only copy.
struct Ticket {
    number: u32,
    log: Log,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.log.write("ticket");
    }
}

#[test]
fn m31_what_a_pattern_does_not_bind_is_dropped_with_the_future() {
    same_drops! { log => rest(Job::new(&log, 1), &log);
        async fn rest(Job { id, .. }: Job, log: &Log) {
            log.write("body");
            yield_now().await;
            log.write(if id == 1 { "end" } else { "another" });
        }
    }
    same_drops! { log => wild((1, log.on_drop("guard")), &log);
        async fn wild((mut a, _): (u32, OnDrop), log: &Log) -> u32 {
            a += 1;
            yield_now().await;
            log.write("end");
            a
        }
    }
    same_drops! { log => destructor(Ticket { number: 1, log: log.clone() }, &log);
        async fn destructor(Ticket { number, .. }: Ticket, log: &Log) -> u32 {
            yield_now().await;
            log.write("end");
            number
        }
    }
    same_drops! { log => moved(Job::new(&log, 1), (log.on_drop("a"), log.on_drop("b")), &log);
        async fn moved(Job { name, .. }: Job, (a, _): (OnDrop, OnDrop), log: &Log) -> OnDrop {
            drop(name);
            yield_now().await;
            log.write("end");
            a
        }
    }
    same_drops! { log => several(log.on_drop("a"), (log.on_drop("b"), log.on_drop("c")), log.on_drop("d"),
            Job::new(&log, 1), (log.on_drop("e"), log.on_drop("f")), log.on_drop("g"), log.on_drop("h"));
        #[allow(clippy::many_single_char_names, reason = "they are told apart by their order")]
        async fn several(a: OnDrop, (b, _): (OnDrop, OnDrop), c: OnDrop, Job { ref name, id, .. }: Job,
            (_, f): (OnDrop, OnDrop), _: OnDrop, mut h: OnDrop) -> Option<bool> {
            let _local = std::mem::replace(&mut h, c);
            yield_now().await;
            if id == 0 {
                return None;
            }
            Some(a.touch() && b.touch() && name.touch() && f.touch() && h.touch())
        }
    }
    same_drops! { log => nothing((log.on_drop("a"), log.on_drop("b")), log.on_drop("c"), &log);
        async fn nothing((_, _): (OnDrop, OnDrop), _c: OnDrop, log: &Log) -> bool {
            yield_now().await;
            log.on_drop("temporary").touch()
        }
    }
    same_drops! { log => async {
            let mut future = Box::pin(cancelled((log.on_drop("a"), log.on_drop("b")), Job::new(&log, 2)));
            let polled = std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
            assert!(polled.is_pending());
            log.write("polled");
        };
        async fn cancelled((a, _): (OnDrop, OnDrop), Job { permit, .. }: Job) -> bool {
            yield_now().await;
            a.touch() && permit.touch()
        }
    }
    let log = Log::default();
    assert!(Job::new(&log, 1).touch());
}

#[test]
fn m22_patterns_of_futures_match_as_they_are_written() {
    #[derive(Clone, Copy)]
    struct Pair<T>(T, T);
    #[monitor]
    async fn mixed((&a, (b, c)): (&u8, &(u8, String)), [first, .., last]: &[u8; 3]) -> usize {
        yield_now().await;
        usize::from(a + *b + *first + *last) + c.len()
    }
    #[monitor(fields(is_large = a > 5, sum = a + more))]
    async fn fields((a, _): (u8, String), more: u8) -> u8 {
        yield_now().await;
        a + more
    }
    #[monitor]
    async fn nested(whole @ Pair(first, _): Pair<u8>, &Pair(mut x, ref y): &Pair<u8>) -> u8 {
        x += whole.1;
        yield_now().await;
        first + x + *y
    }
    #[monitor]
    async fn generic<T: Clone, const N: usize>(
        Pair(left, right): Pair<[T; N]>,
        (text, _): (&str, T),
    ) -> (T, usize) {
        yield_now().await;
        (left[0].clone(), right.len() + text.len())
    }
    #[monitor]
    async fn mutable((out, by): (&mut u8, u8), mut more: u8) {
        more += by;
        yield_now().await;
        *out += more;
    }
    #[monitor(skip(a), redact(b))]
    async fn left_out((a, b): (u8, u8), #[allow(unused_variables)] (c, d): (u8, u8)) -> u8 {
        a + b + c
    }
    let pair = (1, String::from("text"));
    assert_eq!(block_on(mixed((&1, &pair), &[1, 2, 3])), 10);
    assert_eq!(block_on(fields((1, String::new()), 2)), 3);
    assert_eq!(block_on(nested(Pair(1, 2), &Pair(3, 4))), 10);
    assert_eq!(block_on(generic(Pair(["a"], ["b"]), ("c", "d"))), ("a", 2));
    let mut out = 1;
    block_on(mutable((&mut out, 2), 3));
    assert_eq!(out, 6);
    assert_eq!(block_on(left_out((1, 2), (3, 4))), 6);
}

/// A guard whose destructor reads what is assigned last.
struct Released {
    length: usize,
    seen: Rc<Cell<usize>>,
}

impl Drop for Released {
    fn drop(&mut self) {
        self.seen.set(self.length);
    }
}

impl Released {
    #[monitor]
    fn release(mut self) -> usize {
        let length = self.length;
        self.length = 7;
        length
    }

    #[monitor]
    async fn release_later(mut self) -> usize {
        let length = self.length;
        self.length += 7;
        length
    }

    #[monitor]
    fn release_in_a_future(mut self) -> impl Future<Output = usize> {
        let length = self.length;
        self.length = 7;
        async move { length }
    }
}

#[monitor]
fn released(mut value: Released) -> usize {
    let length = value.length;
    value.length = 7;
    length
}

#[monitor(skip_all)]
async fn released_later((mut value, more): (Released, usize)) -> usize {
    let length = value.length + more;
    value.length = 7;
    length
}

#[test]
fn m90_an_assignment_that_a_destructor_reads_is_not_reported_as_unused() {
    let seen = Rc::new(Cell::new(0));
    let make = || {
        seen.set(0);
        Released { length: 1, seen: Rc::clone(&seen) }
    };
    assert_eq!((make().release(), seen.get()), (1, 7));
    assert_eq!((block_on(make().release_later()), seen.get()), (1, 8));
    assert_eq!((block_on(make().release_in_a_future()), seen.get()), (1, 7));
    assert_eq!((released(make()), seen.get()), (1, 7));
    assert_eq!((block_on(released_later((make(), 1))), seen.get()), (2, 7));
}
