//! Tests of captured values, through the interface that the expansion of `#[monitor]` uses.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    clippy::items_after_statements,
    clippy::needless_pass_by_value,
    clippy::ref_option_ref,
    clippy::unnecessary_wraps,
    reason = "the tests imitate the functions of users"
)]
#![allow(
    clippy::needless_borrow,
    reason = "the number of references chooses how a type is captured, as in the expansion"
)]

use monitor_runtime::capture::{Limits, Writer};

mod dispatch;
mod outcome;
mod truncation;
mod redaction;
mod faults;
mod errors;
mod properties;

/// A clock that always shows the same time.
fn frozen_clock() -> u64 {
    0
}

fn limits() -> Limits {
    Limits::new(frozen_clock, 1)
}

/// Returns the JSON text of the value that a closure captures. There is ample room.
fn stored(capture: impl FnOnce(&mut Writer<'_>)) -> String {
    let limits = limits();
    let mut buffer = [0; 8192];
    let mut writer = Writer::new(&mut buffer, &limits);
    capture(&mut writer);
    let len = writer.finish();
    monitor_runtime::capture::to_json_value(&buffer[..len])
}

/// Returns the JSON text of a value, captured by the best way that its type offers.
macro_rules! json {
    ($value:expr) => {
        crate::stored(|writer| {
            use monitor_runtime::capture::dispatch::Capture as _;
            (&&&&&monitor_runtime::capture::dispatch::Value(&$value)).__monitor_capture(writer)
        })
    };
}
use json;

/// Returns the text of an error, captured by the best way that its type offers.
macro_rules! text {
    ($error:expr) => {
        crate::stored_text(|writer| {
            use monitor_runtime::capture::dispatch::WriteError as _;
            (&&&&&monitor_runtime::capture::dispatch::ErrorValue(&$error)).__monitor_write(writer)
        })
    };
}
use text;

/// Returns the plain text of the value that a closure captures. There is ample room.
fn stored_text(capture: impl FnOnce(&mut Writer<'_>)) -> String {
    stored_text_and_type(capture).0
}

/// Returns the plain text of the value that a closure captures, and the name of a type behind it. There is ample room.
fn stored_text_and_type(capture: impl FnOnce(&mut Writer<'_>)) -> (String, Option<String>) {
    let limits = limits();
    let mut buffer = [0; 8192];
    let mut writer = Writer::new(&mut buffer, &limits);
    capture(&mut writer);
    let len = writer.finish();
    monitor_runtime::capture::text_and_type(&buffer[..len]).unwrap()
}
