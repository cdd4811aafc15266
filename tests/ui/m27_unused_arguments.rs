//! `unused_variables` and `unused_mut` still see the arguments and the body.
#![deny(unused)]

use std::future::Future;
use std::pin::Pin;

use monitored::monitor;

pub struct Shelf;

#[monitor]
pub fn value(used: u32, unused_value: u32, mut unneeded: u32) -> u32 {
    used + unneeded
}

#[monitor]
pub fn unit(unused_unit: u32, _not_to_be_used: u32) {}

#[monitor]
pub fn pattern((used, unused_part): (u32, u32)) -> u32 {
    used
}

#[monitor]
pub async fn later(used: &str, unused_later: String, mut unneeded_later: u32) -> usize {
    let mut unneeded_local = used.len();
    unneeded_local + unneeded_later as usize
}

#[monitor]
pub fn boxed(unused_boxed: u32) -> Pin<Box<dyn Future<Output = u32>>> {
    Box::pin(async { 1 })
}

#[monitor]
#[track_caller]
pub fn tracked(unused_tracked: u32) -> u32 {
    1
}

#[monitor]
impl Shelf {
    pub fn method(&self, unused_method: u32) -> Result<u32, ()> {
        let unused_local = 1;
        Err(())?;
        Ok(2)
    }
}

#[monitor(skip_all)]
pub fn skipped(unused_skipped: u32) {}

#[monitor(fields(used = used_in_field))]
pub fn field(used_in_field: u32) -> u32 {
    1
}

fn main() {}
