//! The places at which an expansion captures values. Each takes a value of any type and does nothing with it.

use std::task::Poll;

use super::Writer;

/// The traits without their names, for a `use` that brings nothing else into the user's scope.
pub mod traits {
    pub use super::{Capture as _, Probe as _, WriteError as _};
}

/// A value that is not captured.
#[derive(Debug)]
pub struct Value<'a, T: ?Sized>(pub &'a T);

/// An error whose text is not captured.
#[derive(Debug)]
pub struct ErrorValue<'a, T: ?Sized>(pub &'a T);

/// A way of capturing a value.
pub trait Capture {
    /// Does nothing.
    fn __monitor_capture(&self, writer: &mut Writer<'_>);
}

impl<T: ?Sized> Capture for Value<'_, T> {
    #[inline]
    fn __monitor_capture(&self, writer: &mut Writer<'_>) {
        let _ = writer;
    }
}

/// A way of writing an error's text.
pub trait WriteError {
    /// Does nothing.
    fn __monitor_write(&self, writer: &mut Writer<'_>);
}

impl<T: ?Sized> WriteError for ErrorValue<'_, T> {
    #[inline]
    fn __monitor_write(&self, writer: &mut Writer<'_>) {
        let _ = writer;
    }
}

/// Does nothing.
#[inline]
pub fn primitive<T: ?Sized>(_: &T, writer: &mut Writer<'_>) {
    let _ = writer;
}

/// Does nothing.
#[inline]
pub fn write_type_name<T: ?Sized>(_: &T, writer: &mut Writer<'_>) {
    let _ = writer;
}

/// A return value whose outcome is to be found.
#[derive(Debug)]
pub struct Returned<'a, T: ?Sized>(pub &'a T);

/// The content of a return value: the value of a success, or the error of a failure.
#[derive(Debug)]
pub enum Seen<'a, V: ?Sized, E: ?Sized> {
    /// The call succeeded with this value: the content of `Ok`, or the whole value of any other type.
    Value(&'a V),
    /// The call failed with this error.
    Error(&'a E),
}

/// The error type of return types that have no error.
#[derive(Debug)]
pub enum NoError {}

/// A way of finding the outcome of a call.
pub trait Probe<'a> {
    /// The type of the value.
    type Value: ?Sized;
    /// The type of the error.
    type Error: ?Sized;
    /// Returns the content of the return value.
    fn __monitor_probe(&self) -> Seen<'a, Self::Value, Self::Error>;
}

/// First choice: `Result`.
impl<'a, T, E> Probe<'a> for &&Returned<'a, Result<T, E>> {
    type Value = T;
    type Error = E;
    #[inline]
    fn __monitor_probe(&self) -> Seen<'a, T, E> {
        match self.0 {
            Ok(value) => Seen::Value(value),
            Err(error) => Seen::Error(error),
        }
    }
}

/// Second choice: `Poll` of a `Result`; its value is the whole `Poll`.
impl<'a, P: PollError> Probe<'a> for &Returned<'a, P> {
    type Value = P;
    type Error = P::Error;
    #[inline]
    fn __monitor_probe(&self) -> Seen<'a, P, P::Error> {
        match self.0.error() {
            Some(error) => Seen::Error(error),
            None => Seen::Value(self.0),
        }
    }
}

/// Last choice: any other type.
impl<'a, T: ?Sized> Probe<'a> for Returned<'a, T> {
    type Value = T;
    type Error = NoError;
    #[inline]
    fn __monitor_probe(&self) -> Seen<'a, T, NoError> {
        Seen::Value(self.0)
    }
}

/// The return types of poll functions that can hold an error: those that `?` accepts.
pub trait PollError {
    /// The error.
    type Error;
    /// Returns the error, if the value holds one.
    fn error(&self) -> Option<&Self::Error>;
}
impl<T, E> PollError for Poll<Result<T, E>> {
    type Error = E;
    #[inline]
    fn error(&self) -> Option<&E> {
        match self {
            Poll::Ready(Err(error)) => Some(error),
            _ => None,
        }
    }
}
impl<T, E> PollError for Poll<Option<Result<T, E>>> {
    type Error = E;
    #[inline]
    fn error(&self) -> Option<&E> {
        match self {
            Poll::Ready(Some(Err(error))) => Some(error),
            _ => None,
        }
    }
}
