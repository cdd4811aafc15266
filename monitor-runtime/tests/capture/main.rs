//! What is stored of values, seen as the expansion of `#[monitor]` uses it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(
    clippy::items_after_statements,
    clippy::needless_pass_by_value,
    clippy::ref_option_ref,
    clippy::unnecessary_wraps,
    reason = "the shapes of users' functions are what is tested"
)]
#![allow(clippy::needless_borrow, reason = "the references of the expansion choose how a type is captured")]

use monitor_runtime::capture::{Limits, Writer};

mod dispatch;
mod outcome;
mod truncation;
mod redaction;
mod faults;
mod errors;
mod properties;

/// A clock that stands still.
fn still() -> u64 {
    0
}

fn limits() -> Limits {
    Limits::new(still, 1)
}

/// The JSON text of what a closure captures into ample room.
fn stored(capture: impl FnOnce(&mut Writer<'_>)) -> String {
    let limits = limits();
    let mut buffer = [0; 8192];
    let mut writer = Writer::new(&mut buffer, &limits);
    capture(&mut writer);
    let len = writer.finish();
    monitor_runtime::capture::to_json_value(&buffer[..len])
}

/// The JSON text of a value, captured by the best way that its type offers.
macro_rules! json {
    ($value:expr) => {
        crate::stored(|writer| {
            use monitor_runtime::capture::dispatch::Capture as _;
            (&&&&&monitor_runtime::capture::dispatch::Value(&$value)).capture(writer)
        })
    };
}
use json;

/// The text of an error, by the best way that its type offers.
macro_rules! text {
    ($error:expr) => {
        crate::stored_text(|writer| {
            use monitor_runtime::capture::dispatch::WriteError as _;
            (&&&&&monitor_runtime::capture::dispatch::ErrorValue(&$error)).write(writer)
        })
    };
}
use text;

/// The plain text of what a closure captures into ample room.
fn stored_text(capture: impl FnOnce(&mut Writer<'_>)) -> String {
    let limits = limits();
    let mut buffer = [0; 8192];
    let mut writer = Writer::new(&mut buffer, &limits);
    capture(&mut writer);
    let len = writer.finish();
    monitor_runtime::capture::to_text(&buffer[..len])
}
