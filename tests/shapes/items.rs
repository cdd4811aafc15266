//! Forms of signatures and items (the tests `m40_…` to `m51_…`): generics, qualified functions, methods of traits,
//! `impl` blocks, inner attributes, items within a body, and names that shadow others.

use std::fmt::Debug;
use std::future::Future;
use std::marker::PhantomData;

use async_trait::async_trait;
use async_trait::async_trait as renamed_trait;
use monitored::monitor;

use super::support::{block_on, yield_now};

#[test]
fn m40_lifetimes_bounds_and_generics() {
    #[monitor]
    fn elided<'a>(text: &'a str, _other: &str) -> (&'a str, Option<&'a u8>) {
        (text, text.as_bytes().first())
    }
    #[monitor]
    fn bounded<'long: 'short, 'short, T, const N: usize>(
        long: &'long [T; N],
        _short: &'short T,
    ) -> &'short [T]
    where
        T: 'long + Debug,
    {
        long
    }
    #[monitor]
    fn for_all<F>(apply: F, text: &str) -> String
    where
        F: for<'any> Fn(&'any str) -> &'any str,
        for<'any> &'any str: Debug,
    {
        apply(text).to_owned()
    }
    #[monitor]
    fn pointers(apply: for<'any> fn(&'any str) -> &'any str, text: &'static str) -> &'static str {
        apply(text)
    }
    #[monitor]
    async fn later<'a, T: Clone + 'a, const N: usize>(items: &'a [T; N], _other: &str) -> Option<&'a T> {
        yield_now().await;
        items.first()
    }
    #[monitor]
    async fn hidden(text: std::fmt::Arguments<'_>, borrowed: &mut Vec<&str>) -> usize {
        borrowed.clear();
        yield_now().await;
        text.to_string().len()
    }
    struct Typed<T = u8, const N: usize = { 1 + 1 }>(PhantomData<[T; N]>);
    impl<T: Default, const N: usize> Typed<T, { N }> {
        #[monitor]
        fn array() -> [T; N] {
            std::array::from_fn(|_| T::default())
        }
        #[monitor]
        fn length(&self) -> [PhantomData<[T; N]>; 1 + 1] {
            [self.0; 2]
        }
    }
    assert_eq!(elided("ab", ""), ("ab", Some(&b'a')));
    assert_eq!(bounded(&[1, 2], &3), [1, 2]);
    assert_eq!(for_all(str::trim, " a "), "a");
    assert_eq!(pointers(|text| text, "a"), "a");
    assert_eq!(block_on(later(&[1, 2], "")), Some(&1));
    assert_eq!(block_on(hidden(format_args!("a{}", 1), &mut vec!["x"])), 2);
    assert_eq!(Typed::<u8, 3>::array(), [0; 3]);
    assert_eq!(Typed::<u8>(PhantomData).length().len(), 2);
}

#[test]
fn m41_extern_and_qualified_functions() {
    #[monitor]
    extern "C" fn foreign(number: i32) -> i32 {
        number + 1
    }
    #[monitor]
    pub(crate) extern "C" fn unit(number: &mut i32) {
        *number += 1;
    }
    #[monitor]
    extern "system" fn system(&a: &i32, mut b: i32) -> i32 {
        b += 1;
        a + b
    }
    let pointer: extern "C" fn(i32) -> i32 = foreign;
    let mut number = pointer(1) + system(&1, 1);
    unit(&mut number);
    assert_eq!(number, 6);
}

#[test]
fn m44_trait_methods_of_every_kind() {
    trait Shape {
        const SIDES: u32;
        fn name(&self) -> String;
        #[monitor]
        fn sides(&self) -> u32 {
            Self::SIDES
        }
        #[monitor]
        fn describe(&self, prefix: &str) -> String {
            prefix.to_owned() + &self.name()
        }
        #[monitor]
        fn create() -> Option<Self>
        where
            Self: Sized,
        {
            None
        }
    }
    struct Square;
    impl Shape for Square {
        const SIDES: u32 = 4;
        #[monitor]
        fn name(&self) -> String {
            String::from("square")
        }
    }
    trait Describe {
        fn debugged(&self) -> String;
    }
    impl<T: Debug + ?Sized> Describe for T {
        #[monitor]
        fn debugged(&self) -> String {
            format!("{:?}", self)
        }
    }
    trait Object {
        #[monitor]
        fn call(&self) -> u8 {
            1
        }
    }
    struct Plain;
    impl Object for Plain {}
    let object: &dyn Object = &Plain;
    assert_eq!(object.call(), 1);
    assert_eq!(Square.describe("a "), "a square");
    assert_eq!(Square.sides(), 4);
    assert!(Square::create().is_none());
    assert_eq!("a".debugged(), "\"a\"");
    assert_eq!([1][..].debugged(), "[1]");
}

#[test]
fn m45_async_functions_in_traits() {
    #[allow(async_fn_in_trait, reason = "that is the point")]
    trait Store {
        type Error;
        async fn get(&self, key: &str) -> Result<u32, Self::Error>;
        #[monitor]
        fn size(&self) -> impl Future<Output = u32> + Send
        where
            Self: Sync,
        {
            async { 7 }
        }
    }
    struct Memory(u32);
    impl Store for Memory {
        type Error = String;
        #[monitor]
        async fn get(&self, key: &str) -> Result<u32, Self::Error> {
            yield_now().await;
            if key.is_empty() {
                return Err(String::from("no key"));
            }
            Ok(self.0)
        }
    }
    struct Other;
    impl Store for Other {
        type Error = ();
        #[monitor]
        async fn get(&self, _key: &str) -> Result<u32, ()> {
            Err(())
        }
        #[monitor]
        fn size(&self) -> impl Future<Output = u32> + Send {
            std::future::ready(8)
        }
    }
    assert_eq!(block_on(Memory(1).get("a")), Ok(1));
    assert!(block_on(Memory(1).get("")).is_err());
    assert!(block_on(Other.get("")).is_err());
    assert_eq!(block_on(Memory(1).size()) + block_on(Other.size()), 15);
}

#[test]
fn m45_async_default_methods() {
    #[monitor]
    #[allow(async_fn_in_trait, reason = "that is the point")]
    trait Twice {
        async fn once(&self, by: u32) -> u32;
        async fn twice(&self, by: u32) -> u32 {
            self.once(by).await + self.once(by).await
        }
    }
    struct Number(u32);
    #[monitor]
    impl Twice for Number {
        async fn once(&self, by: u32) -> u32 {
            yield_now().await;
            self.0 * by
        }
    }
    assert_eq!(block_on(Number(2).twice(3)), 12);
}

#[test]
fn m46_async_trait_in_every_arrangement() {
    #[async_trait]
    trait Outside {
        async fn required(&self, number: u32) -> Result<u32, String>;
        #[monitor]
        async fn provided(&self, (a, b): (u32, u32)) -> u32 {
            yield_now().await;
            self.required(a).await.unwrap_or(b)
        }
        async fn by_value(self, number: u32) -> u32
        where
            Self: Sized;
        async fn generic<T: Send + Debug>(&mut self, value: T, _text: &str) -> T
        where
            Self: Sized;
    }
    struct Inside(u32);
    #[async_trait]
    impl Outside for Inside {
        #[monitor]
        async fn required(&self, number: u32) -> Result<u32, String> {
            yield_now().await;
            if number == 0 {
                Err("zero")?;
            }
            Ok(self.0 + number)
        }
        #[monitor]
        async fn by_value(mut self, mut number: u32) -> u32 {
            number += 1;
            self.0 += number;
            yield_now().await;
            self.0
        }
        #[monitor]
        async fn generic<T: Send + Debug>(&mut self, value: T, _text: &str) -> T {
            self.0 += 1;
            yield_now().await;
            value
        }
    }
    struct Above(u32);
    #[monitor]
    #[async_trait]
    impl Outside for Above {
        async fn required(&self, number: u32) -> Result<u32, String> {
            yield_now().await;
            Ok(self.0 + number)
        }
        async fn by_value(self, number: u32) -> u32 {
            self.0 + number
        }
        async fn generic<T: Send + Debug>(&mut self, value: T, text: &str) -> T {
            self.0 += 1;
            assert!(text.is_empty());
            value
        }
    }
    struct Below(u32);
    #[renamed_trait]
    #[monitor]
    impl Outside for Below {
        async fn required(&self, number: u32) -> Result<u32, String> {
            Ok(self.0 + number)
        }
        async fn by_value(self, number: u32) -> u32 {
            self.0 + number
        }
        #[monitor(skip(value))]
        async fn generic<T: Send + Debug>(&mut self, value: T, _text: &str) -> T {
            self.0 += 1;
            value
        }
    }
    #[monitor]
    #[renamed_trait(?Send)]
    trait Local {
        async fn local(&self, cell: std::rc::Rc<u32>) -> u32 {
            yield_now().await;
            *cell
        }
        async fn nothing(&self) {}
    }
    impl Local for Inside {}
    fn both(outside: &(impl Outside + Sync)) -> u32 {
        block_on(outside.required(1)).unwrap_or(0) + block_on(outside.provided((2, 9)))
    }
    assert_eq!(both(&Inside(1)) + both(&Above(1)) + both(&Below(1)), 15);
    assert_eq!(block_on(Inside(1).required(0)), Err(String::from("zero")));
    assert_eq!(
        block_on(Inside(1).by_value(1)) + block_on(Above(1).by_value(1)) + block_on(Below(1).by_value(1)),
        7
    );
    assert_eq!(block_on(Inside(1).generic("a", "")), "a");
    assert_eq!(block_on(Above(1).generic("a", "")), "a");
    assert_eq!(block_on(Below(1).generic("a", "")), "a");
    assert_eq!(block_on(Inside(1).local(std::rc::Rc::new(3))), 3);
    block_on(Inside(1).nothing());
}

#[monitor(group = "blocks", skip(number), redact(hidden))]
mod block {
    //! A module with an attribute.
    use std::fmt::Debug;

    use monitored::monitor;

    pub(super) const LIMIT: u32 = 3;
    static TABLE: [u32; 1 + 1] = [1, 2];

    macro_rules! made {
        ($name:ident) => {
            pub(super) fn $name() -> u32 {
                LIMIT
            }
        };
    }
    made!(made);
    made! { also_made }

    pub(super) fn plain(hidden: u32) -> u32 {
        hidden + TABLE[0]
    }
    pub(super) const fn constant(number: u32) -> u32 {
        number + 1
    }
    #[monitor(off)]
    pub(super) fn left_out() -> u32 {
        1
    }
    #[monitor(name = "own", skip_all)]
    pub(super) fn own(number: u32) -> u32 {
        number
    }
    #[cfg_attr(all(), monitor(skip(number)))]
    pub(super) fn conditional(number: u32) -> u32 {
        number
    }
    #[cfg_attr(any(), monitor(off), must_use)]
    pub(super) fn not_conditional(number: u32) -> u32 {
        number
    }
    #[cfg_attr(all(), monitor(off))]
    pub(super) fn conditionally_off(number: u32) -> u32 {
        number
    }

    pub(super) mod nested {
        use monitored::monitor;

        pub(crate) async fn later<T: Clone>(value: &T) -> T {
            value.clone()
        }
        pub(crate) struct Type<const N: usize>;
        impl<const N: usize> Type<{ N }> {
            pub(crate) const N: usize = N;
            pub(crate) fn method(self, add: usize) -> usize {
                let Self = self;
                Self::N + add
            }
            #[monitor(off)]
            pub(crate) fn left_out() -> usize {
                N
            }
        }
        #[monitor(off)]
        impl<const N: usize> Clone for Type<{ N }> {
            fn clone(&self) -> Self {
                Self
            }
        }
    }

    pub(super) trait Named: Debug {
        const NAME: &'static str;
        type Output;
        fn required(&self) -> Self::Output;
        fn provided(&self) -> String {
            format!("{}{:?}", Self::NAME, self)
        }
    }
    impl Named for u8 {
        const NAME: &'static str = "byte";
        type Output = u8;
        fn required(&self) -> u8 {
            *self
        }
    }
}

#[test]
fn m47_blocks_give_each_function_inside_its_attribute() {
    use block::{Named as _, nested};
    const CONSTANT: u32 = block::constant(1);
    assert_eq!(CONSTANT + block::plain(1) + block::left_out() + block::own(1), 6);
    assert_eq!(block::conditional(1) + block::not_conditional(1) + block::conditionally_off(1), 3);
    assert_eq!(block::made() + block::also_made(), 2 * block::LIMIT);
    assert_eq!(block_on(nested::later(&1)), 1);
    assert_eq!(nested::Type::<2>.clone().method(1) + nested::Type::<2>::left_out(), 5);
    assert_eq!((1_u8.required(), 1_u8.provided()), (1, String::from("byte1")));
}

#[test]
fn m47_impl_blocks_with_generics_and_constants() {
    struct Ring<T, const N: usize> {
        items: Vec<T>,
    }
    #[monitor(name = "ring", redact(item))]
    impl<T: Clone + Debug, const N: usize> Ring<T, N>
    where
        [T; N]: Sized,
    {
        #![allow(clippy::should_panic_without_expect)]

        const LIMIT: usize = N;

        fn push(&mut self, item: T) -> Result<&mut Self, T> {
            if self.items.len() == Self::LIMIT {
                return Err(item);
            }
            self.items.push(item);
            Ok(self)
        }
        const fn limit() -> usize {
            Self::LIMIT
        }
        fn map<U>(&self, map: impl Fn(&T) -> U) -> impl Iterator<Item = U> {
            self.items.iter().map(map).collect::<Vec<_>>().into_iter()
        }
    }
    let mut ring = Ring::<u8, 1> { items: Vec::new() };
    assert!(ring.push(1).is_ok());
    assert!(ring.push(2).is_err());
    assert_eq!(Ring::<u8, 1>::limit(), 1);
    assert_eq!(ring.map(|item| item + 1).collect::<Vec<_>>(), [2]);
}

#[test]
fn m48_inner_attributes_and_documentation() {
    /// Has documentation.
    #[monitor]
    fn documented() -> u32 {
        2
    }
    #[monitor]
    fn value(number: u32) -> u32 {
        #![allow(unused_variables)]
        //! Has documentation.
        let unused = 1;
        number
    }
    #[monitor]
    fn unit() {
        #![allow(unused_variables)]
        let unused = 1;
    }
    #[monitor]
    async fn later(number: u32) -> u32 {
        #![allow(unused_variables)]
        let unused = number;
        yield_now().await;
        1
    }
    unit();
    assert_eq!(value(1) + block_on(later(1)) + documented(), 4);
}

#[test]
fn m49_items_macros_and_labels_within_the_body() {
    #[monitor]
    fn value(flag: bool) -> u32 {
        use std::collections::BTreeMap;
        const BASE: u32 = 1;
        static STATIC: u32 = 2;
        fn inner(number: u32) -> u32 {
            if number == 0 {
                return BASE;
            }
            number
        }
        struct Local(u32);
        macro_rules! add {
            ($left:expr, $right:expr) => {
                $left + $right
            };
        }
        let map: BTreeMap<u32, u32> = BTreeMap::new();
        let labelled = 'found: {
            if flag {
                break 'found 1;
            }
            2
        };
        let mut rounds = 0;
        'outer: for number in 0.. {
            for other in 0..number {
                if number < 3 {
                    continue 'outer;
                }
                rounds += other;
                if other == 2 {
                    break 'outer;
                }
            }
        }
        assert_eq!(rounds, 3);
        assert!(map.is_empty());
        add!(inner(0) + STATIC, Local(labelled).0)
    }
    #[monitor]
    fn unit(numbers: &mut Vec<u32>) {
        const ONE: u32 = 1;
        fn push(numbers: &mut Vec<u32>) {
            numbers.push(ONE);
        }
        push(numbers);
    }
    #[monitor]
    async fn later(number: u32) -> u32 {
        use std::convert::identity;
        const ONE: u32 = 1;
        yield_now().await;
        identity(number) + ONE
    }
    let mut numbers = Vec::new();
    unit(&mut numbers);
    assert_eq!(numbers, [1]);
    assert_eq!((value(true), value(false)), (4, 5));
    assert_eq!(block_on(later(1)), 2);
}

/// Modules in which the usual names mean something else.
mod m51 {
    #![no_implicit_prelude]

    pub(super) mod monitored {}
    pub(super) mod std {}
    pub(super) mod core {}

    #[allow(non_camel_case_types, dead_code, reason = "to shadow the primitive type")]
    pub(super) struct str;

    #[::monitored::monitor]
    pub(super) fn value(number: u32) -> ::core::result::Result<u32, u8> {
        ::core::result::Result::Ok(number)
    }
    #[::monitored::monitor(slow = "1s", name = "a", group = "b", fields(number = number + 1))]
    pub(super) fn unit(number: u32) {
        let _: u32 = number;
    }
    #[::monitored::monitor]
    pub(super) async fn later(number: u32) -> u32 {
        number
    }
    #[::monitored::monitor(crate = ::monitored)]
    pub(super) fn boxed(
        number: u32,
    ) -> ::core::pin::Pin<::std::boxed::Box<dyn ::core::future::Future<Output = u32>>> {
        ::std::boxed::Box::pin(async move { number })
    }
    #[::monitored::monitor]
    #[track_caller]
    pub(super) fn tracked(number: ::core::option::Option<u32>) -> ::core::option::Option<u32> {
        let number = number?;
        ::core::option::Option::Some(number)
    }
}

mod reexport {
    pub(super) mod inner {
        #[allow(unused_imports, reason = "without recording nothing refers to it")]
        pub(crate) use ::monitored::*;
    }
}

#[test]
fn m51_shadowed_names_and_paths_of_ones_own() {
    #[monitor(crate = self::reexport::inner)]
    fn elsewhere(number: u32) -> u32 {
        number
    }
    #[monitor(crate = crate::shapes::items::reexport::inner)]
    mod inside {
        pub(super) fn function() -> u32 {
            1
        }
        pub(super) mod nested {
            pub(crate) async fn later() -> u32 {
                1
            }
        }
    }
    m51::unit(1);
    assert_eq!(m51::value(1), Ok(1));
    assert_eq!(block_on(m51::later(1)) + block_on(m51::boxed(1)), 2);
    assert_eq!(m51::tracked(Some(1)), Some(1));
    assert_eq!(elsewhere(1) + inside::function() + block_on(inside::nested::later()), 3);
}

macro_rules! define {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident($argument:ident: $ty:ty) $body:block) => {
        $(#[$attribute])*
        #[monitor]
        $visibility fn $name($argument: $ty, other: u32) -> u32 {
            let more = other;
            let inner = $body;
            inner + more
        }
    };
    (item $item:item) => {
        #[monitor]
        $item
    };
    (body $name:ident $body:block) => {
        #[monitor]
        fn $name(_first: u32, _second: u32) -> u32 $body
        #[monitor(skip_all)]
        pub(super) async fn later(_argument: u32) -> u32 $body
    };
}

mod from_macros {
    use super::monitor;
    define! { #[must_use] pub(super) fn value(number: u32) { number * 2 } }
    define! { item pub(super) fn whole(number: u32) -> u32 { number } }
    define! { item pub(super) async fn whole_later(number: u32, _unused: u32) -> u32 { number } }
    define! { body constant { 5 } }
    pub(super) fn call_constant() -> u32 {
        constant(1, 2)
    }
}

#[test]
fn functions_made_by_macros() {
    assert_eq!(from_macros::value(2, 1) + from_macros::whole(1), 6);
    assert_eq!(block_on(from_macros::whole_later(1, 2)), 1);
    assert_eq!(from_macros::call_constant() + block_on(from_macros::later(1)), 10);
}
