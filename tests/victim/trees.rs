//! Trees of calls: one caller that makes very many, and failures that pass through several callers.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use monitored::monitor;

/// A request that makes a query for each of its items, of which each thousandth fails.
#[monitor]
pub(crate) fn list_items(items: u64) -> u64 {
    (0..items).filter(|item| query(*item).is_ok()).count() as u64
}

#[monitor]
fn query(item: u64) -> Result<u64, String> {
    if item % 1000 == 999 { Err(format!("row {item} is locked")) } else { Ok(decode(item)) }
}

#[monitor]
fn decode(item: u64) -> u64 {
    std::hint::black_box(item ^ 7)
}

/// Makes queries below one call for ever, and tells how many have ended.
#[monitor(skip_all)]
pub(crate) fn poll_for_ever(ended: &AtomicU64) {
    for item in 0.. {
        let _ = query(item);
        ended.store(item + 1, Ordering::Relaxed);
    }
}

/// Makes this many queries below one call, and exits within it.
#[monitor]
pub(crate) fn poll_and_exit(queries: u64) {
    (0..queries).for_each(|item| _ = query(item));
    std::process::exit(0);
}

/// Makes this many orders, each of which fails in its fifth attempt to be charged; and other failures of each kind, once.
pub(crate) fn fail(orders: u64) {
    for order in 0..orders {
        let _ = create_order(order);
    }
    let _ = catch_unwind(AssertUnwindSafe(|| render(3)));
    assert!(poll_once(pin!(download(3))).is_pending());
    let _ = on_another_thread();
    let _ = refuse();
}

#[monitor]
fn create_order(order: u64) -> Result<(), String> {
    checkout(order).map_err(|error| format!("order {order} failed: {error}"))
}

#[monitor]
fn checkout(order: u64) -> Result<(), String> {
    let mut last = Ok(());
    for _ in 0..5 {
        last = charge(order);
    }
    last.map_err(|error| format!("checkout: {error}"))
}

#[monitor]
fn charge(order: u64) -> Result<(), String> {
    post_charge(order).map_err(|error| format!("charge: {error}"))
}

#[monitor]
fn post_charge(_order: u64) -> Result<(), String> {
    Err("the bank answers 503 Service Unavailable".to_owned())
}

/// Panics in the innermost of this many calls.
#[monitor]
fn render(depth: u64) {
    assert!(depth > 1, "no such template");
    render(depth - 1);
}

/// Waits for ever, below this many calls.
#[monitor]
async fn download(depth: u64) {
    if depth > 1 {
        Box::pin(download(depth - 1)).await;
    } else {
        std::future::pending::<()>().await;
    }
}

fn poll_once(future: std::pin::Pin<&mut impl Future<Output = ()>>) -> Poll<()> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Fails because a call on another thread failed.
#[monitor]
fn on_another_thread() -> Result<(), String> {
    let context = monitored::Context::current();
    let worker = std::thread::spawn(move || context.scope(worker));
    worker.join().unwrap_or(Ok(())).map_err(|error| format!("the worker: {error}"))
}

#[monitor]
fn worker() -> Result<(), String> {
    Err("no room left in the queue".to_owned())
}

/// Fails for a reason of its own, although a call that it made failed too.
#[monitor]
fn refuse() -> Result<(), String> {
    let _ = worker();
    Err("closed on Sundays".to_owned())
}
