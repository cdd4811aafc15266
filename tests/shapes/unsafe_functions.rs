//! Shapes that need `unsafe`: M41, M61.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use monitored::monitor;

/// The output of a future that is ready.
fn ready<F: Future>(future: F) -> Option<F::Output> {
    match Box::pin(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

#[monitor]
unsafe fn read(pointer: *const u32) -> u32 {
    // SAFETY: the caller keeps this function's contract, which is the contract of the operation.
    unsafe { *pointer }
}

#[monitor]
unsafe fn write(pointer: *mut u32, mut value: u32) {
    value += 1;
    // SAFETY: the caller keeps this function's contract, which is the contract of the operation.
    unsafe { *pointer = value };
}

#[monitor]
#[allow(unsafe_op_in_unsafe_fn, reason = "the body of an unsafe function may be unsafe itself")]
unsafe fn without_block(pointer: *const u32, (add, _): (u32, u32)) -> Result<u32, String> {
    if pointer.is_null() {
        return Err(String::from("null"));
    }
    Ok(*pointer + add)
}

#[monitor]
#[allow(unsafe_op_in_unsafe_fn, reason = "the body of an unsafe function may be unsafe itself")]
async unsafe fn later(pointer: *const u32, add: u32) -> u32 {
    std::future::ready(()).await;
    *pointer + add
}

#[monitor]
#[allow(unsafe_op_in_unsafe_fn, reason = "the body of an unsafe function may be unsafe itself")]
unsafe fn boxed(pointer: *const u32) -> Pin<Box<dyn Future<Output = u32>>> {
    let value = *pointer;
    Box::pin(async move { value })
}

#[monitor]
#[allow(unsafe_op_in_unsafe_fn, reason = "the body of an unsafe function may be unsafe itself")]
#[track_caller]
unsafe fn tracked(pointer: *const u32) -> Option<u32> {
    let value = Some(*pointer)?;
    Some(value)
}

#[monitor]
pub unsafe extern "C" fn foreign(pointer: *const u32) -> u32 {
    // SAFETY: the caller keeps this function's contract, which is the contract of the operation.
    unsafe { *pointer }
}

#[test]
fn m41_unsafe_functions() {
    let mut value = 1;
    let null = std::ptr::null();
    // SAFETY: all pointers are those of a value, except the one that is checked first.
    unsafe {
        write(&mut value, 1);
        assert_eq!(read(&value) + foreign(&value), 4);
        assert_eq!(without_block(&value, (1, 2)), Ok(3));
        assert!(without_block(null, (1, 2)).is_err());
        assert_eq!(ready(later(&value, 1)), Some(3));
        assert_eq!(ready(boxed(&value)), Some(2));
        assert_eq!(tracked(&value), Some(2));
    }
}

#[monitor]
#[unsafe(no_mangle)]
pub extern "C" fn monitored_shapes_no_mangle(number: u32) -> u32 {
    number
}

#[monitor]
#[unsafe(export_name = "monitored_shapes_exported")]
#[cfg_attr(target_os = "linux", unsafe(link_section = ".text.monitored"))]
pub extern "C" fn exported(number: u32) {
    assert!(number > 0, "called with nothing");
}

mod declared {
    unsafe extern "C" {
        pub(super) fn monitored_shapes_no_mangle(number: u32) -> u32;
        pub(super) fn monitored_shapes_exported(number: u32);
    }
}

#[test]
fn m61_exported_functions() {
    // SAFETY: both are defined above.
    let number = unsafe {
        declared::monitored_shapes_exported(1);
        declared::monitored_shapes_no_mangle(1)
    };
    assert_eq!(number, 1);
}

#[cfg(target_arch = "x86_64")]
#[monitor]
#[target_feature(enable = "sse4.2")]
fn with_feature(number: u32, (byte, _): (u8, u8)) -> Result<u32, String> {
    if number == 0 {
        return Err(String::from("zero"));
    }
    Ok(std::arch::x86_64::_mm_crc32_u8(number, byte))
}

#[cfg(target_arch = "x86_64")]
#[monitor]
#[target_feature(enable = "sse4.2")]
async fn with_feature_later(number: u32, byte: u8) -> u32 {
    std::arch::x86_64::_mm_crc32_u8(number, byte)
}

#[test]
#[cfg(target_arch = "x86_64")]
fn m61_target_features_reach_the_body() {
    if std::is_x86_feature_detected!("sse4.2") {
        // SAFETY: the feature was detected.
        let numbers = unsafe { (with_feature(1, (2, 3)), ready(with_feature_later(1, 2))) };
        assert_eq!(numbers.0.ok(), numbers.1);
    }
}
