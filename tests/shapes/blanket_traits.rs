//! Traits whose methods every type has, and whose methods have the names of those that an expansion could call.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

use monitored::monitor;

use super::support::block_on;

/// Defines a function of each kind where the methods of `Blanket` are in scope.
macro_rules! functions {
    () => {
        #[monitor]
        pub(super) fn value(number: u32, words: &[String]) -> Result<u32, String> {
            if words.is_empty() { Err(String::from("nothing")) } else { Ok(number) }
        }
        #[monitor]
        pub(super) fn plain(number: u32) -> u32 {
            number
        }
        #[monitor(fields(twice = number * 2, token = number), redact(number))]
        pub(super) fn unit(number: u32, out: &mut u32) {
            *out = number;
        }
        #[monitor(no_result)]
        pub(super) fn no_result((first, second): (u32, u32)) -> Result<u32, String> {
            Ok(first + second)
        }
        #[monitor(error_if = |value: &Option<T>| value.is_none(), fields(text = "text"))]
        pub(super) fn tested<T: Debug>(value: Option<T>) -> Option<T> {
            value
        }
        #[monitor(fields(has = value.is_some()))]
        #[track_caller]
        pub(super) fn tracked(value: Option<u32>) -> Option<u32> {
            Some(value? + 1)
        }
        #[monitor(fields(one = 1), redact(secret))]
        pub(super) async fn later((first, _): (u32, u32), more: &[u32], secret: u32) -> Result<u32, String> {
            Ok(first + more[0] + secret)
        }
        #[monitor(no_result)]
        pub(super) async fn unit_later(number: Box<u32>) {
            drop(number);
        }
        #[monitor]
        pub(super) fn boxed(number: u32) -> Pin<Box<dyn Future<Output = Option<u32>>>> {
            let sum = number + 1;
            Box::pin(async move { Some(sum) })
        }
        #[monitor(fields(one = 1))]
        pub(super) fn opaque(number: u32) -> impl Future<Output = Result<u32, ()>> {
            let sum = number + 1;
            async move { Ok(sum) }
        }
        #[monitor]
        pub(super) fn boxed_elsewhere(number: u32) -> Pin<Box<dyn Future<Output = Option<u32>>>> {
            let made = boxed(number);
            made
        }
    };
}

/// Calls each of the functions.
macro_rules! check {
    ($module:ident) => {{
        let words = [String::from("word")];
        assert_eq!($module::value(1, &words), Ok(1));
        assert_eq!($module::value(1, &[]), Err(String::from("nothing")));
        assert_eq!($module::plain(1), 1);
        let mut out = 0;
        $module::unit(1, &mut out);
        assert_eq!(out, 1);
        assert_eq!($module::no_result((1, 2)), Ok(3));
        assert_eq!($module::tested(Some(1)), Some(1));
        assert_eq!($module::tracked(Some(1)), Some(2));
        assert_eq!(block_on($module::later((1, 2), &[3], 4)), Ok(8));
        block_on($module::unit_later(Box::new(1)));
        assert_eq!(block_on($module::boxed(1)), Some(2));
        assert_eq!(block_on($module::opaque(1)), Ok(2));
        assert_eq!(block_on($module::boxed_elsewhere(1)), Some(2));
    }};
}

/// Defines a trait with methods of these names, which take themselves in this way.
macro_rules! blanket {
    ($receiver:ty) => {
        blanket! { $receiver; args keep_args fields ok ok_with error end_with redacted capture write probe
            making made enter prepare name group sample slow branch poll instrument begin end finish }
    };
    ($receiver:ty; $($name:ident)*) => {
        #[allow(dead_code, clippy::wrong_self_convention, reason = "the methods are there to be confused with others")]
        pub(super) trait Blanket {
            $(fn $name(self: $receiver)
            where
                Self: Sized,
            {
            })*
        }
        impl<T: ?Sized> Blanket for T {}
    };
}

mod by_value {
    use super::{Debug, Future, Pin, monitor};
    blanket! { Self }
    functions! {}
}

mod by_reference {
    use super::{Debug, Future, Pin, monitor};
    blanket! { &Self }
    functions! {}
}

mod by_mutable_reference {
    use super::{Debug, Future, Pin, monitor};
    blanket! { &mut Self }
    functions! {}
}

#[test]
fn m51_methods_that_every_type_has() {
    check!(by_value);
    check!(by_reference);
    check!(by_mutable_reference);
}
