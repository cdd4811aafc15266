//! The outcome of a call, read from its return value.

use std::ops::ControlFlow;
use std::task::Poll;

use monitor_runtime::capture::dispatch::{Capture as _, Probe as _, Returned, Seen, Value, WriteError as _};

use crate::{stored, stored_text};

/// Returns the outcome and the text of a value, as the expansion of the attribute finds them.
macro_rules! seen {
    ($value:expr) => {
        match (&&&Returned(&$value)).__monitor_probe() {
            Seen::Value(value) => {
                format!("ok {}", stored(|writer| (&&&&&Value(value)).__monitor_capture(writer)))
            }
            Seen::Error(error) => {
                format!(
                    "error {}",
                    stored_text(|writer| (&&&&&monitor_runtime::capture::dispatch::ErrorValue(error))
                        .__monitor_write(writer))
                )
            }
        }
    };
}

type Aliased<T> = Result<T, std::num::ParseIntError>;

#[test]
fn a_result_is_seen_by_its_type_whatever_it_is_called() {
    assert_eq!(seen!(Ok::<u8, String>(1)), "ok 1");
    assert_eq!(seen!(Err::<u8, &str>("no")), "error no");
    let aliased: Aliased<u8> = "x".parse();
    assert_eq!(seen!(aliased), "error invalid digit found in string");
    assert_eq!(seen!(std::io::Result::Ok(())), "ok null");
    assert_eq!(seen!(Err::<(), _>(std::io::Error::other("gone"))), "error gone");
    assert_eq!(seen!(Err::<u8, std::fmt::Error>(std::fmt::Error)), format!("error {}", std::fmt::Error));
}

#[test]
fn a_result_in_a_result_is_a_value() {
    assert_eq!(seen!(Ok::<Result<u8, u8>, u8>(Err(2))), r#"ok {"Err":2}"#);
    assert_eq!(seen!(Err::<Result<u8, u8>, u8>(3)), "error 3");
}

#[test]
fn a_ready_result_is_seen_and_a_pending_one_is_a_value() {
    type Polled = Poll<Result<u8, String>>;
    assert_eq!(seen!(Polled::Ready(Err("no".into()))), "error no");
    assert_eq!(seen!(Polled::Ready(Ok(1))), "ok \"Ready(Ok(1))\"");
    assert_eq!(seen!(Polled::Pending), "ok \"Pending\"");
    type Streamed = Poll<Option<Result<u8, String>>>;
    assert_eq!(seen!(Streamed::Ready(Some(Err("no".into())))), "error no");
    assert_eq!(seen!(Streamed::Ready(None)), "ok \"Ready(None)\"");
    assert_eq!(seen!(Poll::Ready(5)), "ok \"Ready(5)\"");
}

#[test]
fn any_other_type_is_a_value() {
    assert_eq!(seen!(None::<u8>), "ok null");
    assert_eq!(seen!(ControlFlow::<u8, ()>::Break(1)), "ok \"Break(1)\"");
    assert_eq!(
        seen!(std::process::ExitCode::SUCCESS),
        format!("ok \"{:?}\"", std::process::ExitCode::SUCCESS)
    );
    assert_eq!(seen!(()), "ok null");
    assert_eq!(seen!(*"unsized"), "ok \"unsized\"");
}

#[test]
fn a_generic_return_type_is_a_value() {
    fn generic<T>(value: T) -> String {
        seen!(value)
    }
    assert_eq!(generic(Err::<u8, u8>(1)), "ok \"[core::result::Result<u8, u8>]\"");
    fn inner<T, E>(value: Result<T, E>) -> String {
        seen!(value)
    }
    assert_eq!(inner(Err::<u8, u8>(1)), "error [u8]");
    fn opaque() -> Result<impl Iterator<Item = u8>, String> {
        Ok(std::iter::once(1))
    }
    assert!(seen!(opaque()).starts_with("ok \"[core::iter"));
}
