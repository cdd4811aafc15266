//! Control flow and behaviour at run time: M70 to M79.

use std::future::Future;
use std::mem::size_of_val;
use std::pin::{Pin, pin};
use std::task::{Context, Waker};

use monitored::monitor;

use super::support::{block_on, yield_now};

#[test]
fn m70_every_way_out_of_a_body() {
    #[monitor]
    fn value(way: u32) -> Result<u32, String> {
        let closure = |number: u32| {
            if number == 9 {
                return 1;
            }
            number
        };
        let found = 'search: {
            if way == 1 {
                break 'search 10;
            }
            20
        };
        match way {
            0 => return Ok(closure(9)),
            2 => Err("question mark")?,
            3 => return Err(String::from("returned")),
            _ => {}
        }
        let parsed: Option<u32> = (|| Some("7".parse::<u32>().ok()? + 1))();
        Ok(found + parsed.unwrap_or(0))
    }
    #[monitor]
    async fn later(way: u32) -> Result<u32, Box<dyn std::error::Error>> {
        let inner = async { if way == 4 { Err(std::fmt::Error) } else { Ok(1) } };
        match way {
            0 => return Ok(0),
            1 => Err("question mark")?,
            2 => return Err(Box::new(std::fmt::Error)),
            _ => yield_now().await,
        }
        Ok(inner.await?)
    }
    let ways: Vec<_> = (0..5).map(value).collect();
    let text = |text: &str| Err(String::from(text));
    assert_eq!(ways, [Ok(1), Ok(18), text("question mark"), text("returned"), Ok(28)]);
    let ways: Vec<_> = (0..5).map(|way| block_on(later(way)).ok()).collect();
    assert_eq!(ways, [Some(0), None, None, Some(1), None]);
}

#[test]
fn m71_recursion_to_a_depth_of_ten_thousand() {
    #[monitor]
    fn depth(left: u32) -> u32 {
        if left == 0 { 0 } else { depth(left - 1) + 1 }
    }
    #[monitor]
    fn even(left: u32, out: &mut bool) {
        if left == 0 { *out = true } else { odd(left - 1, out) }
    }
    #[monitor]
    fn odd(left: u32, out: &mut bool) {
        if left == 0 { *out = false } else { even(left - 1, out) }
    }
    #[monitor]
    async fn boxed(left: u32) -> u32 {
        if left == 0 {
            return 0;
        }
        yield_now().await;
        Box::pin(boxed(left - 1)).await + 1
    }
    #[monitor]
    fn ping(left: u32) -> Pin<Box<dyn Future<Output = u32> + Send>> {
        Box::pin(async move { if left == 0 { 0 } else { pong(left - 1).await + 1 } })
    }
    #[monitor]
    async fn pong(left: u32) -> u32 {
        if left == 0 { 0 } else { ping(left - 1).await + 1 }
    }
    let deep = std::thread::Builder::new().stack_size(64 << 20).spawn(|| {
        let mut out = false;
        even(10_000, &mut out);
        (depth(10_000), out, block_on(boxed(1_000)), block_on(ping(1_000)))
    });
    let deep = deep.expect("a thread").join().expect("no panic");
    assert_eq!(deep, (10_000, true, 1_000, 1_000));
}

#[test]
fn m73_futures_dropped_early_and_moved() {
    #[monitor]
    async fn steps(count: u32) -> u32 {
        for _ in 0..count {
            yield_now().await;
        }
        count
    }
    drop(steps(1));
    let mut context = Context::from_waker(Waker::noop());
    {
        let mut future = pin!(steps(3));
        assert!(future.as_mut().poll(&mut context).is_pending());
        assert!(future.as_mut().poll(&mut context).is_pending());
    }
    let mut future = Box::pin(steps(1));
    assert!(future.as_mut().poll(&mut context).is_pending());
    let finished = std::thread::spawn(move || block_on(future)).join();
    assert_eq!(finished.expect("no panic"), 1);
}

/// The bound on the wrapper around a future. It holds the call, about a hundred bytes, and its place in the code.
const WRAPPER_BYTES_MAX: usize = 192;

#[test]
#[allow(clippy::toplevel_ref_arg, clippy::manual_async_fn, reason = "the test is about such a function")]
fn m78_a_future_is_no_larger_than_the_original_and_a_constant() {
    async fn plain(bytes: [u8; 1024], text: &str) -> usize {
        yield_now().await;
        bytes.len() + text.len()
    }
    #[monitor]
    async fn monitored(bytes: [u8; 1024], text: &str) -> usize {
        yield_now().await;
        bytes.len() + text.len()
    }
    async fn plain_pattern((bytes, _): ([u8; 1024], u8), ref other: [u8; 512]) -> usize {
        yield_now().await;
        bytes.len() + other.len()
    }
    #[monitor]
    async fn monitored_pattern((bytes, _): ([u8; 1024], u8), ref other: [u8; 512]) -> usize {
        yield_now().await;
        bytes.len() + other.len()
    }
    async fn plain_chain(bytes: [u8; 1024]) -> usize {
        plain(bytes, "").await + plain(bytes, "").await
    }
    #[monitor]
    async fn monitored_chain(bytes: [u8; 1024]) -> usize {
        monitored(bytes, "").await + monitored(bytes, "").await
    }
    fn plain_boxed(bytes: [u8; 1024]) -> impl Future<Output = usize> {
        async move {
            yield_now().await;
            bytes.len()
        }
    }
    #[monitor]
    fn monitored_boxed(bytes: [u8; 1024]) -> impl Future<Output = usize> {
        async move {
            yield_now().await;
            bytes.len()
        }
    }
    let sizes = [
        (size_of_val(&plain([0; 1024], "")), size_of_val(&monitored([0; 1024], "")), 1),
        (
            size_of_val(&plain_pattern(([0; 1024], 0), [0; 512])),
            size_of_val(&monitored_pattern(([0; 1024], 0), [0; 512])),
            1,
        ),
        (size_of_val(&plain_chain([0; 1024])), size_of_val(&monitored_chain([0; 1024])), 2),
        (size_of_val(&plain_boxed([0; 1024])), size_of_val(&monitored_boxed([0; 1024])), 1),
    ];
    for (plain, monitored, wrappers) in sizes {
        assert!(monitored <= plain + wrappers * WRAPPER_BYTES_MAX, "{} and {}", plain, monitored);
    }
}

#[test]
fn m79_a_long_chain_of_async_functions_compiles() {
    macro_rules! chain {
        ($last:ident) => {
            #[monitor]
            async fn $last(number: u32) -> Result<u32, String> {
                Ok(number)
            }
        };
        ($first:ident $second:ident $($rest:ident)*) => {
            #[monitor]
            async fn $first(number: u32) -> Result<u32, String> {
                yield_now().await;
                let number = $second(number + 1).await?;
                Ok(number)
            }
            chain!($second $($rest)*);
        };
    }
    chain!(a b c d e f g h i j k l);
    assert_eq!(block_on(a(1)), Ok(12));
}
