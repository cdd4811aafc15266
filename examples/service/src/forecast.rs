//! The forecast of sales. It calls a tiny function some million times, which the recorder can only count.

use std::sync::atomic::{AtomicU64, Ordering};

use monitored::monitor;

/// The CPU time of all forecasts, in nanoseconds, so that a test can tell what counting their steps costs.
static CPU_NS: AtomicU64 = AtomicU64::new(0);

/// Plays this many steps of a product's sales and returns the last.
#[monitor]
pub(crate) fn simulate(product: u64, steps: u64) -> u64 {
    let before = thread_cpu_ns();
    let sales = (0..steps).fold(product, step);
    if let (Some(before), Some(after)) = (before, thread_cpu_ns()) {
        CPU_NS.fetch_add(after.saturating_sub(before), Ordering::Relaxed);
    }
    sales
}

#[monitor]
fn step(sales: u64, day: u64) -> u64 {
    sales.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(day)
}

/// Returns the CPU time of all forecasts so far, in nanoseconds. It is 0 where the system does not tell it.
pub(crate) fn cpu_ns() -> u64 {
    CPU_NS.load(Ordering::Relaxed)
}

/// Returns the CPU time of this thread.
fn thread_cpu_ns() -> Option<u64> {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    times.split(' ').next()?.parse().ok()
}
