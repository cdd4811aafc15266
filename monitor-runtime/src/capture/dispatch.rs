//! Chooses at compile time, by autoref, the best way in which a type can be captured.
//!
//! Takes a reference to a value; gives a call of the capture that its type offers. The expansion writes
//! `(&&&&&Value(&x)).__monitor_capture(w)`, `(&&&&&ErrorValue(e)).__monitor_write(w)` and
//! `(&&&Returned(&ret)).__monitor_probe()`, with the traits of this module in scope. Method lookup tries the receiver
//! with all its references, then with one more, then with fewer and fewer, and takes the first implementation whose
//! bounds hold. In a generic function the declared bounds count, not those of the types with which it is called. The
//! methods have names that no trait of a user has, because such a trait may be in scope as well.

use std::any::type_name;
use std::error::Error;
use std::fmt::{Debug, Display};
use std::ops::Deref;
use std::task::Poll;

use serde::Serialize;

use super::direct::Direct;
use super::items::DebugItems;
use super::summary::Shaped;
use super::{Writer, errors, locks, serialize, token};

/// The traits without their names, for a `use` that brings nothing else into the user's scope.
pub mod traits {
    pub use super::{Capture as _, Probe as _, WriteError as _};
}

/// A value to capture.
#[derive(Debug)]
pub struct Value<'a, T: ?Sized>(pub &'a T);

/// An error whose text is to be captured.
#[derive(Debug)]
pub struct ErrorValue<'a, T: ?Sized>(pub &'a T);

/// A return value from which the outcome of the call is determined.
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

/// Captures a value of a primitive type, for which no implementation has to be selected.
#[inline]
pub fn primitive<T: Direct + ?Sized>(value: &T, writer: &mut Writer<'_>) {
    value.capture(writer);
}

/// A way of capturing a value.
pub trait Capture {
    /// Captures the value.
    fn __monitor_capture(&self, writer: &mut Writer<'_>);
}

/// First choice: primitives and strings, by copying.
impl<T: Direct + ?Sized> Capture for &&&&Value<'_, T> {
    #[inline]
    fn __monitor_capture(&self, writer: &mut Writer<'_>) {
        self.0.capture(writer);
    }
}

/// Second choice, by one reference more than the expansion writes: the shape.
impl<T: Shaped + ?Sized> Capture for &&&&&Value<'_, T> {
    fn __monitor_capture(&self, writer: &mut Writer<'_>) {
        writer.user_value(type_name::<T>(), &mut |out| match self.0.shape() {
            Some(summary) => out.summary(&summary),
            None => out.put(|buffer| buffer.tag(token::NULL)),
        });
    }
}

/// Third choice: `Serialize`.
impl<T: Serialize + ?Sized> Capture for &&&Value<'_, T> {
    fn __monitor_capture(&self, writer: &mut Writer<'_>) {
        writer.user_value(type_name::<T>(), &mut |out| serialize::write(self.0, out));
    }
}

/// Fourth choice: the `Debug` of each item of a collection.
impl<T: DebugItems + ?Sized> Capture for &&Value<'_, T> {
    fn __monitor_capture(&self, writer: &mut Writer<'_>) {
        writer.user_value(type_name::<T>(), &mut |out| self.0.write(out));
    }
}

/// Fifth choice: `Debug`.
impl<T: Debug + ?Sized> Capture for &Value<'_, T> {
    fn __monitor_capture(&self, writer: &mut Writer<'_>) {
        by_debug(&self.0, type_name::<T>(), writer);
    }
}

/// Last choice: the type's name.
impl<T: ?Sized> Capture for Value<'_, T> {
    fn __monitor_capture(&self, writer: &mut Writer<'_>) {
        writer.type_name(token::NAME, type_name::<T>());
    }
}

fn by_debug(value: &dyn Debug, type_name: &str, writer: &mut Writer<'_>) {
    if locks::is_taken_to_debug(type_name) {
        return writer.type_name(token::NAME, type_name);
    }
    writer.user_value(type_name, &mut |out| out.debug(value));
}

/// A way of writing an error's text.
pub trait WriteError {
    /// Writes the error's text.
    fn __monitor_write(&self, writer: &mut Writer<'_>);
}

/// First choice: texts, by copying.
impl<T: AsText + ?Sized> WriteError for &&&&ErrorValue<'_, T> {
    #[inline]
    fn __monitor_write(&self, writer: &mut Writer<'_>) {
        writer.error_text(self.0.as_text());
    }
}

/// Second choice, by one reference more than the expansion writes: an error with its sources.
impl<T: Error + ?Sized> WriteError for &&&&&ErrorValue<'_, T> {
    fn __monitor_write(&self, writer: &mut Writer<'_>) {
        writer.sandboxed_value(type_name::<T>(), &mut |out| errors::chain(&self.0, out));
        writer.error_type(type_name::<T>());
    }
}

/// Third choice: a type that refers to an error without being one (`Box<dyn Error>`, `anyhow::Error`).
impl<T: Deref<Target: Error> + ?Sized> WriteError for &&&ErrorValue<'_, T> {
    fn __monitor_write(&self, writer: &mut Writer<'_>) {
        writer.sandboxed_value(type_name::<T>(), &mut |out| errors::chain(&&**self.0, out));
        errors::name_type(type_name::<T::Target>(), &&**self.0, writer);
    }
}

/// Fourth choice: `Display`.
impl<T: Display + ?Sized> WriteError for &&ErrorValue<'_, T> {
    fn __monitor_write(&self, writer: &mut Writer<'_>) {
        writer.sandboxed_value(type_name::<T>(), &mut |out| out.text(usize::MAX, format_args!("{}", self.0)));
        writer.error_type(type_name::<T>());
    }
}

/// Fifth choice: `Debug`.
impl<T: Debug + ?Sized> WriteError for &ErrorValue<'_, T> {
    fn __monitor_write(&self, writer: &mut Writer<'_>) {
        by_debug(&self.0, type_name::<T>(), writer);
        writer.error_type(type_name::<T>());
    }
}

/// Last choice: the type's name.
impl<T: ?Sized> WriteError for ErrorValue<'_, T> {
    fn __monitor_write(&self, writer: &mut Writer<'_>) {
        writer.type_name(token::NAME, type_name::<T>());
    }
}

/// Writes the name of an error's type in place of its text.
pub fn write_type_name<T: ?Sized>(_: &T, writer: &mut Writer<'_>) {
    writer.type_name(token::NAME, type_name::<T>());
}

/// A type that is text.
pub trait AsText {
    /// Returns the text.
    fn as_text(&self) -> &str;
}
impl AsText for str {
    fn as_text(&self) -> &str {
        self
    }
}
impl AsText for String {
    fn as_text(&self) -> &str {
        self
    }
}
impl<T: AsText + ?Sized> AsText for &T {
    fn as_text(&self) -> &str {
        (**self).as_text()
    }
}
impl<T: AsText + ?Sized> AsText for Box<T> {
    fn as_text(&self) -> &str {
        (**self).as_text()
    }
}
impl<T: AsText + ToOwned + ?Sized> AsText for std::borrow::Cow<'_, T> {
    fn as_text(&self) -> &str {
        (**self).as_text()
    }
}

/// A way of determining the outcome of a call from its return value.
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
