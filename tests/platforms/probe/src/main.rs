//! A program of monitored functions that is built for every platform.
//!
//! `probe <calls> <end>` makes this many calls of `work`, of which every tenth fails, and ends as the second argument says:
//! `flush` (the records are flushed, then it returns from `main`), `return`, `exit` (`process::exit`), `abort`, or
//! `replace` (it flushes, damages its own store, and goes on until a new one has taken its place).

#![allow(clippy::print_stdout, reason = "the output of a program")]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use monitored::monitor;

/// A call that may fail.
#[monitor]
fn work(number: u64, text: &str) -> Result<u64, String> {
    if number % 10 == 9 { Err(format!("{text} {number}")) } else { Ok(number * 2) }
}

/// A call without a value.
#[monitor]
fn note(_number: u64) {}

/// A function of a generic type.
#[monitor]
fn largest<T: PartialOrd + Copy>(items: &[T]) -> Option<T> {
    items.iter().copied().reduce(|one, other| if other > one { other } else { one })
}

/// An owner of a monitored method.
#[derive(Debug)]
struct Shop {
    orders: u64,
}

impl Shop {
    /// Counts an order.
    #[monitor(fields(orders = self.orders))]
    fn order(&mut self) -> u64 {
        self.orders += 1;
        self.orders
    }
}

/// A call that is awaited.
#[monitor]
async fn wait(number: u64) -> u64 {
    number + 1
}

/// Polls a future that is ready.
fn finish<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let calls: u64 = arguments.get(1).and_then(|text| text.parse().ok()).unwrap_or(10);
    let end = arguments.get(2).map_or("return", String::as_str);
    let mut shop = Shop { orders: 0 };
    let mut sum = 0;
    for number in 0..calls {
        sum += work(number, "no").unwrap_or(0);
        note(number);
    }
    sum += largest(&[1, 3, 2]).unwrap_or(0) + shop.order() + finish(wait(1));
    println!("{sum}");
    match end {
        "flush" => println!("flush: {:?}", monitored::flush(Duration::from_secs(60))),
        "exit" => std::process::exit(3),
        "abort" => std::process::abort(),
        "replace" => replace(),
        _ => {}
    }
}

/// Damages the store, and makes calls until the recorder has set it aside and recorded into a new one.
fn replace() {
    println!("flush: {:?}", monitored::flush(Duration::from_secs(60)));
    let Some(store) = monitored::health().store else { return println!("no store") };
    let damaged = std::fs::metadata(&store).map_or(0, |found| found.len());
    println!("damaged {damaged} bytes: {:?}", std::fs::write(&store, vec![0x5a; 1 << 16]));
    let prefix = format!("{}.corrupt-", store.file_name().unwrap_or_default().to_string_lossy());
    for number in 0..600 {
        let _ = work(number, "after");
        let _ = monitored::flush(Duration::from_secs(1));
        let entries = store.parent().map(std::fs::read_dir).and_then(Result::ok);
        let mut names = entries.into_iter().flatten().flatten().map(|entry| entry.file_name());
        if names.any(|name| name.to_string_lossy().starts_with(&prefix)) && store.exists() {
            return println!("replaced");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("not replaced: {:?}", monitored::health());
}
