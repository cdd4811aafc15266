//! Trait objects without `dyn`, as edition 2018 allows them.
#![allow(bare_trait_objects, reason = "that is the point")]
#![deny(warnings)]

use std::fmt::Debug;

use monitored::monitor;

#[monitor]
fn borrowed(function: &Fn(u8) -> u8) -> u8 {
    function(1)
}
#[monitor]
fn bounded(function: &(Fn(u8) -> u8 + Send)) -> u8 {
    function(1)
}
#[monitor]
fn boxed(function: Box<FnOnce(u8) -> u8 + Send>) -> u8 {
    function(1)
}
#[monitor]
fn of_any_lifetime(function: &mut for<'a> FnMut(&'a u8) -> &'a u8) -> u8 {
    *function(&1)
}
#[monitor]
fn other(value: &Debug) -> Box<Fn() -> String> {
    let text = format!("{:?}", value);
    Box::new(move || text.clone())
}

struct Holder;

#[monitor]
impl Holder {
    fn bound<T>(function: T) -> u8
    where
        for<'a> T: Fn(&'a u8) -> u8,
        Box<Fn(u8) + Send>: Send,
    {
        function(&1)
    }
}

#[test]
fn m23_bare_trait_objects_are_read() {
    assert_eq!(borrowed(&|byte| byte) + bounded(&|byte| byte) + boxed(Box::new(|byte| byte)), 3);
    assert_eq!(of_any_lifetime(&mut |byte| byte) + Holder::bound(|byte: &u8| *byte), 2);
    assert_eq!(other(&1)(), "1");
}
