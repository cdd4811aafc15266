//! Return types: M01 to M15.

use std::borrow::Cow;
use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::{Debug, Display};
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::process::ExitCode;
use std::task::Poll;

use monitored::monitor;

use super::support::{Log, block_on, yield_now};

#[test]
fn m01_impl_trait_sync_and_async() {
    #[monitor]
    fn evens(limit: u32) -> impl Iterator<Item = u32> + Clone {
        (0..limit).filter(|number| number % 2 == 0)
    }
    #[monitor]
    fn words<'a>(text: &'a str, log: &Log) -> impl Iterator<Item = &'a str> + 'a {
        log.write("words");
        text.split(' ')
    }
    #[monitor]
    async fn later(limit: u32) -> impl Iterator<Item = u32> {
        yield_now().await;
        0..limit
    }
    #[monitor]
    async fn borrowed(text: &str) -> impl Iterator<Item = char> + '_ {
        text.chars()
    }
    assert_eq!(evens(5).sum::<u32>(), 6);
    assert_eq!(words("a b", &Log::default()).count(), 2);
    assert_eq!(block_on(later(3)).sum::<u32>(), 3);
    assert_eq!(block_on(borrowed("abc")).count(), 3);
}

#[test]
fn m02_impl_trait_nested_at_any_depth() {
    #[monitor]
    fn parsed(text: &str) -> Result<impl Display + Debug + use<>, Box<dyn std::error::Error>> {
        let number: i32 = text.parse()?;
        Ok(number)
    }
    #[monitor]
    #[expect(clippy::type_complexity, reason = "that is the point")]
    fn deep(text: &str) -> Option<(Vec<impl Fn(u8) -> u8 + use<>>, Result<impl Debug + use<>, String>)> {
        if text.is_empty() {
            return None;
        }
        let add = if text.len() == 2 { 2 } else { 1 };
        Some((vec![move |byte: u8| byte + add], Err::<u8, _>(text.into())))
    }
    #[monitor]
    async fn parsed_later(text: &str) -> Result<impl Display, std::num::ParseIntError> {
        yield_now().await;
        let number: i32 = text.parse()?;
        Ok(number)
    }
    assert_eq!(parsed("7").map(|number| number.to_string()).ok().as_deref(), Some("7"));
    assert!(parsed("x").is_err());
    assert!(deep("").is_none());
    assert_eq!(deep("ab").map(|(functions, _)| functions[0](1)), Some(3));
    assert_eq!(block_on(parsed_later("8")).map(|number| number.to_string()).ok().as_deref(), Some("8"));
}

#[test]
fn m03_async_fn_returning_an_opaque_type_that_holds_a_closure() {
    #[monitor]
    async fn adder(by: u32) -> impl Fn(u32) -> u32 {
        yield_now().await;
        move |number| number + by
    }
    assert_eq!(block_on(adder(2))(3), 5);
}

#[test]
fn m04_references_from_a_mutable_argument() {
    struct Shelf {
        items: Vec<u32>,
        by_name: HashMap<String, u32>,
    }
    impl Shelf {
        #[monitor]
        fn first(&mut self) -> &mut u32 {
            if self.items.is_empty() {
                self.items.push(0);
            }
            &mut self.items[0]
        }
        #[monitor]
        fn named(&mut self, name: &str) -> &mut u32 {
            self.by_name.entry(name.to_owned()).or_default()
        }
        #[monitor]
        fn find(&mut self, wanted: u32) -> Result<&mut u32, String> {
            self.items.iter_mut().find(|item| **item == wanted).ok_or_else(|| String::from("none"))
        }
        #[monitor]
        async fn first_later(&mut self) -> &mut u32 {
            yield_now().await;
            &mut self.items[0]
        }
    }
    #[monitor]
    fn last<'a>(items: &'a mut Vec<u32>, other: &mut u32) -> &'a mut u32 {
        *other += 1;
        items.push(*other);
        items.last_mut().expect("just pushed")
    }
    #[monitor]
    fn shared(items: &mut [u32]) -> &u32 {
        items[0] += 1;
        &items[0]
    }
    let mut shelf = Shelf { items: Vec::new(), by_name: HashMap::new() };
    *shelf.first() += 5;
    *shelf.named("a") += 1;
    *shelf.find(5).expect("a five") += 1;
    assert!(shelf.find(5).is_err());
    *block_on(shelf.first_later()) += 1;
    assert_eq!((shelf.items[0], shelf.by_name["a"]), (7, 1));
    *last(&mut shelf.items, &mut 1) += 1;
    assert_eq!(shelf.items, [7, 3]);
    assert_eq!(*shared(&mut shelf.items), 8);
}

#[test]
fn m06_coercions_at_the_tail_and_in_early_returns() {
    #[monitor]
    fn slice(items: &Vec<u8>) -> Option<&[u8]> {
        if items.is_empty() {
            return None;
        }
        Some(items)
    }
    #[monitor]
    fn boxed(flag: bool) -> Box<dyn Fn() -> u8> {
        if flag {
            return Box::new(|| 1);
        }
        Box::new(|| 2)
    }
    #[monitor]
    fn text(text: &String) -> &str {
        text
    }
    #[monitor]
    fn error(flag: bool) -> Result<u8, Box<dyn std::error::Error>> {
        if flag {
            return Err("no".into());
        }
        Err(Box::new(std::fmt::Error))
    }
    #[monitor]
    fn pointer(flag: bool) -> fn(u8) -> u8 {
        if flag { |byte| byte } else { |byte| byte + 1 }
    }
    #[monitor]
    async fn boxed_later(flag: bool) -> Box<dyn Display> {
        yield_now().await;
        if flag {
            return Box::new(1);
        }
        Box::new("two")
    }
    #[monitor]
    async fn slice_later(items: &Vec<u8>) -> &[u8] {
        items
    }
    assert_eq!(slice(&vec![1]), Some(&[1_u8][..]));
    assert_eq!((boxed(true)(), boxed(false)()), (1, 2));
    assert_eq!(text(&String::from("x")), "x");
    assert_eq!(error(true).map_err(|error| error.to_string()), Err(String::from("no")));
    assert_eq!((pointer(true)(1), pointer(false)(1)), (1, 2));
    assert_eq!(block_on(boxed_later(false)).to_string() + &block_on(boxed_later(true)).to_string(), "two1");
    assert_eq!(block_on(slice_later(&vec![1])), [1]);
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
type BoxFuture<'a, T> = Boxed<'a, T>;

#[test]
fn m07_statements_before_a_boxed_future_are_kept() {
    #[monitor]
    fn counted(count: &mut u32) -> Pin<Box<dyn Future<Output = u32> + Send>> {
        *count += 1;
        let before = *count;
        Box::pin(async move {
            yield_now().await;
            before
        })
    }
    #[monitor]
    fn early(flag: bool) -> Pin<Box<dyn Future<Output = u32> + Send>> {
        if flag {
            return Box::pin(async { 1 });
        }
        Box::pin(async move { 2 })
    }
    #[monitor]
    fn borrowed<'a>(text: &'a str, log: &Log) -> Pin<Box<dyn Future<Output = &'a str> + 'a>> {
        log.write("called");
        Box::pin(async move { text })
    }
    #[monitor]
    fn only(number: u32) -> Pin<Box<dyn Future<Output = Result<u32, String>>>> {
        Box::pin(async move { if number == 0 { Err(String::from("zero")) } else { Ok(number) } })
    }
    let mut count = 0;
    let future = counted(&mut count);
    assert_eq!(block_on(future), 1);
    assert_eq!(count, 1);
    assert_eq!((block_on(early(true)), block_on(early(false))), (1, 2));
    let log = Log::default();
    let future = borrowed("x", &log);
    assert_eq!(log.read(), ["called"]);
    assert_eq!(block_on(future), "x");
    assert!(block_on(only(0)).is_err());
}

#[test]
fn m08_boxed_futures_from_elsewhere() {
    trait Boxing: Future + Sized + Send + 'static {
        fn boxed(self) -> Boxed<'static, Self::Output> {
            Box::pin(self)
        }
    }
    impl<F: Future + Send + 'static> Boxing for F {}

    #[monitor]
    fn variable() -> Pin<Box<dyn Future<Output = u32> + Send>> {
        let future = async { 1 };
        Box::pin(future)
    }
    #[monitor]
    fn other() -> Pin<Box<dyn Future<Output = u32> + Send>> {
        Box::pin(variable())
    }
    #[monitor]
    fn method() -> BoxFuture<'static, u32> {
        async { 2 }.boxed()
    }
    #[monitor]
    fn passed(future: Boxed<'static, u32>) -> BoxFuture<'static, u32> {
        future
    }
    #[monitor]
    fn unpin() -> Box<dyn Future<Output = u32> + Unpin + Send> {
        Box::new(std::future::ready(4))
    }
    // An alias does not reveal that the type is a future; only the making of the future is timed.
    #[monitor]
    fn alias() -> Boxed<'static, u32> {
        Box::pin(async { 5 })
    }
    assert_eq!(block_on(variable()) + block_on(other()), 2);
    assert_eq!(block_on(method()), 2);
    assert_eq!(block_on(passed(method())), 2);
    assert_eq!(block_on(unpin()) + block_on(alias()), 9);
}

#[test]
fn m08_futures_behind_aliases_with_any_parameters_are_awaited() {
    mod tower {
        use super::{Future, Pin};
        pub type BoxFuture<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;
        pub type LocalBoxFuture<'a, E, T> = Pin<Box<dyn Future<Output = Result<T, E>> + 'a>>;
    }
    mod fixed {
        use super::{Future, Pin};
        pub type BoxFuture = Pin<Box<dyn Future<Output = u32> + Send + Sync>>;
        pub type LocalBoxFuture<'a, const N: usize> = Pin<Box<dyn Future<Output = [&'a str; N]> + 'a>>;
    }
    #[monitor]
    fn result(number: u32) -> tower::BoxFuture<u32, String> {
        let number = number + 1;
        Box::pin(async move { if number == 1 { Err("one")? } else { Ok(number) } })
    }
    #[monitor]
    fn passed(number: u32) -> tower::BoxFuture<u32, String> {
        result(number)
    }
    #[monitor]
    fn swapped(text: &str) -> tower::LocalBoxFuture<'_, String, &str> {
        Box::pin(async move { Ok(text) })
    }
    #[monitor]
    fn without() -> fixed::BoxFuture {
        Box::pin(std::future::ready(7))
    }
    #[monitor]
    fn counted(text: &str) -> fixed::LocalBoxFuture<'_, 2> {
        if text.is_empty() {
            return Box::pin(async { ["none"; 2] });
        }
        Box::pin(async move { [text; 2] })
    }
    #[monitor]
    fn counted_elsewhere(text: &str) -> fixed::LocalBoxFuture<'_, 2> {
        counted(text)
    }
    assert_eq!(block_on(result(1)), Ok(2));
    assert!(block_on(result(0)).is_err());
    assert_eq!(block_on(passed(1)), Ok(2));
    assert_eq!(block_on(swapped("a")), Ok("a"));
    assert_eq!(block_on(without()), 7);
    assert_eq!((block_on(counted("a")), block_on(counted_elsewhere(""))), (["a"; 2], ["none"; 2]));
}

#[test]
fn m08_types_and_traits_named_like_futures_are_plain_values() {
    mod other {
        pub trait Future {
            type Item;
            type Error;
            fn wait(self) -> Result<Self::Item, Self::Error>;
        }
        pub struct Done(pub u32);
        impl Future for Done {
            type Item = u32;
            type Error = String;
            fn wait(self) -> Result<u32, String> {
                Ok(self.0)
            }
        }
        pub struct Box<T: ?Sized>(pub std::boxed::Box<T>);
        pub struct BoxFuture<T>(pub T);
        pub struct LocalBoxFuture<'a, T>(pub &'a T);
        impl<T: Copy> std::future::Future for LocalBoxFuture<'_, T> {
            type Output = T;
            fn poll(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<T> {
                std::task::Poll::Ready(*self.0)
            }
        }
    }
    mod output {
        pub trait Future {
            type Output;
            fn get(&self) -> Self::Output;
        }
        impl Future for u8 {
            type Output = u8;
            fn get(&self) -> u8 {
                *self
            }
        }
    }
    #[monitor]
    fn of_futures_01(number: u32) -> impl other::Future<Item = u32, Error = String> {
        other::Done(number)
    }
    #[monitor]
    fn boxed_01(number: u32) -> Box<dyn output::Future<Output = u8> + Unpin> {
        let _ = number;
        Box::new(3)
    }
    #[monitor]
    fn with_output() -> impl output::Future<Output = u8> {
        3_u8
    }
    #[monitor]
    fn pinned_output() -> Pin<Box<dyn output::Future<Output = u8>>> {
        std::convert::identity(Box::pin(4_u8))
    }
    #[monitor]
    fn not_pinned(text: &str) -> Box<dyn Future<Output = usize> + '_> {
        Box::new(async move { text.len() })
    }
    #[monitor]
    fn box_of_ones_own() -> other::Box<dyn Fn() -> u8> {
        other::Box(Box::new(|| 5))
    }
    #[monitor]
    fn box_future_of_ones_own() -> other::BoxFuture<u8> {
        other::BoxFuture(6)
    }
    #[monitor]
    fn future_of_ones_own(number: &u8) -> other::LocalBoxFuture<'_, u8> {
        other::LocalBoxFuture(number)
    }
    assert_eq!(other::Future::wait(of_futures_01(2)), Ok(2));
    assert_eq!(output::Future::get(&*boxed_01(1)) + output::Future::get(&with_output()), 6);
    assert_eq!(output::Future::get(&*pinned_output()), 4);
    assert_eq!(block_on(Box::into_pin(not_pinned("abc"))), 3);
    assert_eq!(
        (box_of_ones_own().0(), box_future_of_ones_own().0, block_on(future_of_ones_own(&7))),
        (5, 6, 7)
    );
}

#[test]
fn m08_a_boxed_output_may_be_generic_and_may_borrow() {
    type Static<T> = Pin<Box<dyn Future<Output = Option<T>>>>;
    #[monitor]
    fn statement<T>() -> Pin<Box<dyn Future<Output = Option<T>>>> {
        let before = 1;
        Box::pin(async move {
            let _ = before;
            None
        })
    }
    #[monitor]
    fn borrowed<'a>(flag: bool) -> Pin<Box<dyn Future<Output = Option<&'a u8>> + Send>> {
        let before = flag;
        if before { Box::pin(async move { None }) } else { Box::pin(async { Some(&3) }) }
    }
    #[monitor]
    fn alias<T: Send + 'static>(value: T) -> BoxFuture<'static, Option<T>> {
        let value = Some(value);
        match &value {
            Some(_) => Box::pin(async move { value }),
            None => unreachable!(),
        }
    }
    #[monitor]
    fn alias_without_bound<T>() -> BoxFuture<'static, Option<T>> {
        let nothing = ();
        Box::pin(async move {
            let () = nothing;
            None
        })
    }
    #[monitor]
    fn elsewhere<T>() -> Static<T> {
        statement()
    }
    #[monitor]
    fn named_elsewhere<T>() -> Pin<Box<dyn Future<Output = Option<T>>>> {
        statement()
    }
    #[monitor]
    fn alias_elsewhere<T>() -> BoxFuture<'static, Option<T>> {
        alias_without_bound()
    }
    #[monitor]
    fn borrowed_elsewhere<'a>() -> Pin<Box<dyn Future<Output = Option<&'a u8>> + Send>> {
        borrowed(true)
    }
    #[monitor]
    fn variable<T>() -> Pin<Box<dyn Future<Output = Option<T>>>> {
        let future = async { None };
        Box::pin(future)
    }
    struct Holder<T>(Vec<T>);
    impl<T: Clone> Holder<T> {
        #[monitor]
        fn first(&self) -> Pin<Box<dyn Future<Output = Option<T>> + '_>> {
            let first = self.0.first();
            Box::pin(async move { first.cloned() })
        }
        #[monitor]
        fn again(&self) -> Pin<Box<dyn Future<Output = Option<T>> + '_>> {
            self.first()
        }
        #[monitor]
        fn none() -> Pin<Box<dyn Future<Output = Option<T>>>> {
            statement()
        }
        #[monitor]
        fn reference<'a>(&'a self) -> Pin<Box<dyn Future<Output = Option<&'a T>> + 'a>> {
            let inner = || -> Pin<Box<dyn Future<Output = Option<&'a T>> + 'a>> {
                Box::pin(async move { self.0.first() })
            };
            inner()
        }
    }
    #[monitor]
    fn of_two<'a>(text: &'a str, log: &'a Log) -> Pin<Box<dyn Future<Output = (&'a str, usize)> + 'a>> {
        log.write("before");
        Box::pin(async move { (text, log.read().len()) })
    }
    assert_eq!(block_on(statement::<u8>()), None);
    assert_eq!((block_on(borrowed(true)), block_on(borrowed(false))), (None, Some(&3)));
    assert_eq!((block_on(alias(1)), block_on(alias_without_bound::<u8>())), (Some(1), None));
    assert_eq!((block_on(elsewhere::<u8>()), block_on(named_elsewhere::<u8>())), (None, None));
    assert_eq!((block_on(alias_elsewhere::<u8>()), block_on(borrowed_elsewhere())), (None, None));
    assert_eq!(block_on(variable::<u8>()), None);
    let holder = Holder(vec![1_u8]);
    assert_eq!((block_on(holder.first()), block_on(holder.again())), (Some(1), Some(1)));
    assert_eq!((block_on(Holder::<u8>::none()), block_on(holder.reference())), (None, Some(&1)));
    assert_eq!(block_on(of_two("a", &Log::default())), ("a", 1));
}

#[test]
fn m09_impl_future_without_async_fn() {
    #[monitor]
    fn tail(number: u32) -> impl Future<Output = Result<u32, String>> + Send {
        async move {
            yield_now().await;
            if number == 0 {
                Err("zero")?;
            }
            Ok(number)
        }
    }
    #[monitor]
    fn ready() -> impl Future<Output = u32> + Send + Sync + Unpin + 'static {
        std::future::ready(3)
    }
    #[monitor]
    fn statements(numbers: &mut Vec<u32>) -> impl Future<Output = usize> + use<> {
        numbers.push(1);
        let length = numbers.len();
        async move { length }
    }
    #[monitor]
    fn compound() -> (impl Future<Output = u32>, u32) {
        (async { 1 }, 2)
    }
    assert_eq!(block_on(tail(1)), Ok(1));
    assert_eq!(block_on(tail(0)), Err(String::from("zero")));
    assert_eq!(block_on(ready()), 3);
    let mut numbers = Vec::new();
    let future = statements(&mut numbers);
    assert_eq!(numbers, [1]);
    assert_eq!(block_on(future), 1);
    let (future, number) = compound();
    assert_eq!(block_on(future) + number, 3);
}

#[test]
fn m10_functions_that_never_return() {
    #[monitor]
    fn fails(text: &str) -> ! {
        panic!("{}", text)
    }
    #[monitor]
    fn spins(flag: bool) -> ! {
        loop {
            assert!(!flag, "spun");
        }
    }
    #[monitor]
    async fn fails_later(text: &str) -> ! {
        yield_now().await;
        panic!("{}", text)
    }
    #[monitor]
    fn diverges(flag: bool) -> u32 {
        if flag {
            return 1;
        }
        fails("diverged")
    }
    #[monitor]
    fn loops() -> u32 {
        let mut count = 0;
        loop {
            count += 1;
            if count == 3 {
                break count;
            }
        }
    }
    #[monitor]
    fn impossible() -> Result<Infallible, String> {
        Err(String::from("never"))
    }
    let message = |run: fn()| {
        let payload = std::panic::catch_unwind(run).expect_err("a panic");
        payload
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
    };
    assert_eq!(message(|| fails("a")).as_deref(), Some("a"));
    assert_eq!(message(|| spins(true)).as_deref(), Some("spun"));
    assert_eq!(message(|| block_on(fails_later("b"))).as_deref(), Some("b"));
    assert_eq!(message(|| _ = diverges(false)).as_deref(), Some("diverged"));
    assert_eq!(diverges(true) + loops(), 4);
    assert!(impossible().is_err());
}

#[test]
fn m11_unit_explicit_implicit_and_from_the_tail() {
    #[monitor]
    fn implicit(log: &Log) {
        log.write("implicit");
    }
    #[monitor]
    #[expect(clippy::unused_unit, reason = "that is the point")]
    fn explicit(log: &Log) -> () {
        log.write("explicit");
    }
    #[monitor]
    fn early(log: &Log, flag: bool) {
        if flag {
            return;
        }
        implicit(log);
    }
    #[monitor(error_if = |()| true)]
    fn tested(log: &Log) {
        log.write("tested");
    }
    #[monitor]
    async fn later(log: &Log) {
        yield_now().await;
        implicit(log);
    }
    #[monitor]
    fn generic<T>(make: impl Fn() -> T) -> T {
        make()
    }
    let log = Log::default();
    implicit(&log);
    explicit(&log);
    early(&log, true);
    early(&log, false);
    tested(&log);
    block_on(later(&log));
    generic(|| log.write("generic"));
    assert_eq!(log.read(), ["implicit", "explicit", "implicit", "tested", "implicit", "generic"]);
}

#[test]
fn m12_the_signature_drives_inference() {
    #[monitor]
    fn collected(text: &str) -> Vec<char> {
        text.chars().collect()
    }
    #[monitor]
    fn converted(text: &str) -> Cow<'_, str> {
        text.into()
    }
    #[monitor]
    fn defaulted() -> (u8, String) {
        Default::default()
    }
    #[monitor]
    fn literal() -> u64 {
        1 << 40
    }
    #[monitor]
    fn summed(numbers: &[u32]) -> Result<u32, String> {
        numbers.iter().map(|number| number.checked_add(1).ok_or_else(|| "full".into())).sum()
    }
    #[monitor]
    async fn collected_later(text: &str) -> Result<Vec<u8>, std::num::ParseIntError> {
        text.split(' ').map(str::parse).collect()
    }
    assert_eq!(collected("ab"), ['a', 'b']);
    assert_eq!(converted("a"), "a");
    assert_eq!(defaulted(), (0, String::new()));
    assert_eq!(literal(), 1 << 40);
    assert_eq!(summed(&[1, 2]), Ok(5));
    assert_eq!(block_on(collected_later("1 2")), Ok(vec![1, 2]));
}

type Fallible<T> = Result<T, String>;

#[test]
fn m15_other_types_that_may_mean_failure() {
    #[monitor]
    fn option(flag: bool) -> Option<u8> {
        let byte = if flag { Some(1) } else { None }?;
        Some(byte)
    }
    #[monitor]
    fn poll(result: Result<u8, String>) -> Poll<Result<u8, String>> {
        let byte = Poll::Ready(result)?;
        byte.map(Ok)
    }
    #[monitor]
    fn flow(flag: bool) -> ControlFlow<&'static str, u8> {
        if flag {
            ControlFlow::Break("broken")?;
        }
        ControlFlow::Continue(1)
    }
    #[monitor]
    fn code() -> ExitCode {
        ExitCode::SUCCESS
    }
    #[monitor]
    fn termination() -> impl std::process::Termination {
        ExitCode::SUCCESS
    }
    #[monitor]
    fn nested(flag: bool) -> Result<Result<u8, String>, u8> {
        if flag { Ok(Err(String::from("inner"))) } else { Err(1) }
    }
    #[monitor]
    fn alias(flag: bool) -> Fallible<u8> {
        if flag {
            return Err(String::from("aliased"));
        }
        Ok(1)
    }
    assert_eq!((option(true), option(false)), (Some(1), None));
    assert_eq!(poll(Ok(1)), Poll::Ready(Ok(1)));
    assert!(matches!(poll(Err(String::new())), Poll::Ready(Err(_))));
    assert!(flow(true).is_break() && flow(false).is_continue());
    let _: (ExitCode, _) = (code(), termination());
    assert!(nested(true).is_ok_and(|inner| inner.is_err()) && nested(false).is_err());
    assert!(alias(true).is_err() && alias(false).is_ok());
}

#[test]
fn m29_an_error_whose_traits_hold_for_some_lifetimes_only_is_captured_by_the_others() {
    struct Whole<T>(T);
    impl<T> Debug for Whole<T> {
        fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            out.write_str("Whole")
        }
    }
    impl<T> Display for Whole<T> {
        fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            out.write_str("whole")
        }
    }
    impl<T: 'static> std::error::Error for Whole<T> {}

    struct Borrowed<'a>(&'a str);
    impl Debug for Borrowed<'static> {
        fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            out.write_str(self.0)
        }
    }

    #[monitor]
    fn returned<T>(value: T) -> Result<u8, Whole<T>> {
        Err(Whole(value))
    }
    #[monitor]
    async fn returned_later<T>(value: T) -> Result<u8, Whole<T>> {
        Err(Whole(value))
    }
    #[monitor]
    fn polled<T>(value: T) -> Poll<Result<u8, Whole<(T, u8)>>> {
        Poll::Ready(Err(Whole((value, 1))))
    }
    #[monitor]
    fn boxed<'a, T: 'a>(value: T) -> Pin<Box<dyn Future<Output = Result<u8, Whole<T>>> + 'a>> {
        Box::pin(async move { Err(Whole(value)) })
    }
    struct Queue<T>(Vec<T>);
    impl<T> Queue<T> {
        #[monitor]
        fn push(&mut self, value: T) -> Result<(), Whole<T>> {
            if self.0.is_empty() {
                return Err(Whole(value));
            }
            self.0.push(value);
            Ok(())
        }
    }
    // An option leaves out each value that has no other way.
    #[monitor(skip(value))]
    fn argument(value: &Borrowed<'_>) -> usize {
        value.0.len()
    }
    struct Printed<'a>(&'a str);
    impl Display for Printed<'static> {
        fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            out.write_str(self.0)
        }
    }
    type Answer<'a, T> = Result<T, Printed<'a>>;
    #[monitor(no_result)]
    fn printed(text: &str) -> Result<u8, Printed<'_>> {
        Err(Printed(text))
    }
    #[monitor(no_result)]
    fn printed_by_alias(text: &str) -> Answer<'_, u8> {
        Err(Printed(text))
    }
    type Wrapped<Item> = Result<u8, Whole<Item>>;
    #[monitor]
    fn wrapped<Item>(value: Item) -> Wrapped<Item> {
        Err(Whole(value))
    }
    // Edition 2018 has it in no prelude.
    use std::convert::TryFrom as Conversion;
    struct Named<'a>(&'a str);
    #[monitor(no_result)]
    impl<'a> Conversion<&'a str> for Named<'a> {
        type Error = Printed<'a>;
        fn try_from(text: &'a str) -> Result<Self, Self::Error> {
            if text.is_empty() { Err(Printed(text)) } else { Ok(Self(text)) }
        }
    }
    struct Stack<Item>(Vec<Item>);
    #[monitor]
    impl<Item> Conversion<Vec<Item>> for Stack<Item> {
        type Error = Whole<Vec<Item>>;
        fn try_from(items: Vec<Item>) -> Result<Self, Self::Error> {
            if items.is_empty() { Err(Whole(items)) } else { Ok(Self(items)) }
        }
    }
    #[monitor(no_result)]
    fn value(text: &str) -> Borrowed<'_> {
        Borrowed(text)
    }
    #[monitor(no_result)]
    fn error(text: &str) -> Result<u8, Borrowed<'_>> {
        Err(Borrowed(text))
    }
    assert!(printed("a").is_err() && printed_by_alias("a").is_err() && wrapped(1).is_err());
    assert!(Named::try_from("").is_err() && Named::try_from("a").is_ok_and(|name| name.0 == "a"));
    assert!(
        Stack::<u8>::try_from(vec![]).is_err()
            && Stack::try_from(vec![1]).is_ok_and(|stack| stack.0.len() == 1)
    );

    let text = String::from("text");
    assert!(returned(&text).is_err() && block_on(returned_later(&text)).is_err());
    assert!(matches!(polled(&text), Poll::Ready(Err(_))) && block_on(boxed(&text)).is_err());
    assert!(Queue(Vec::new()).push(&text).is_err());
    assert_eq!(argument(&value(&text)) + error(&text).map_or_else(|error| error.0.len(), usize::from), 8);
    assert_eq!(format!("{:?}{:?}", Borrowed("a"), Whole(1)), "aWhole");
}
