//! Items without a body, and items that are not functions, cannot be monitored.
use monitored::monitor;

#[monitor]
struct Order;

#[monitor]
use std::collections::HashMap;

#[monitor]
const LIMIT: u32 = 1;

trait Ship {
    #[monitor]
    fn ship(&self) -> u32;

    #[monitor]
    async fn ship_later(&self);
}

impl Ship for Order {
    fn ship(&self) -> u32 {
        LIMIT
    }

    async fn ship_later(&self) {}
}

extern "C" {
    #[monitor]
    fn getpid() -> i32;
}

#[monitor]
extern "C" {}

#[monitor]
macro_rules! nothing {
    () => {};
}

#[monitor]
#[unsafe(naked)]
extern "C" fn naked() {
    core::arch::naked_asm!("ret")
}

// In a trait with the attribute, functions without a body are left alone.
#[monitor]
trait Declares {
    fn declared(&self);
}

fn main() {
    naked();
    nothing!();
    let _: HashMap<u32, u32> = HashMap::new();
    Order.ship();
    drop(Order.ship_later());
    let _ = || unsafe { getpid() };
}
