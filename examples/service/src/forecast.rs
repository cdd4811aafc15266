//! The forecast of sales. It calls a tiny function some million times, which the recorder can only count.

use monitored::monitor;

/// Plays this many steps of a product's sales and returns the last.
#[monitor]
pub(crate) fn simulate(product: u64, steps: u64) -> u64 {
    (0..steps).fold(product, step)
}

#[monitor]
fn step(sales: u64, day: u64) -> u64 {
    sales.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(day)
}
