//! Chooses at compile time, by autoref, the best way a type offers of being captured.
//! The expansion writes `(&&&&&Value(&x)).capture(w)`, `(&&&&&ErrorValue(e)).write(w)` and
//! `(&&&Returned(&ret)).probe()`, with all traits of this module in scope.

use super::Writer;

/// A value to capture.
#[derive(Debug)]
pub struct Value<'a, T: ?Sized>(pub &'a T);

/// An error whose text is wanted.
#[derive(Debug)]
pub struct ErrorValue<'a, T: ?Sized>(pub &'a T);

/// A return value whose outcome is wanted.
#[derive(Debug)]
pub struct Returned<'a, T: ?Sized>(pub &'a T);

/// What a return value shows: the value of a success, or the error of a failure.
#[derive(Debug)]
pub enum Seen<'a, V: ?Sized, E: ?Sized> {
    /// The call succeeded with this (`Ok`'s content; any other type whole).
    Value(&'a V),
    /// The call failed with this.
    Error(&'a E),
}

/// The error type of return types that have none.
#[derive(Debug)]
pub enum NoError {}

/// Last resort: the type's name.
pub trait CaptureByName {
    /// Captures the value.
    fn capture(&self, writer: &mut Writer<'_>);
}
impl<T: ?Sized> CaptureByName for Value<'_, T> {
    fn capture(&self, _writer: &mut Writer<'_>) {}
}

/// Last resort: the error type's name.
pub trait WriteByName {
    /// Writes the error's text.
    fn write(&self, writer: &mut Writer<'_>);
}
impl<T: ?Sized> WriteByName for ErrorValue<'_, T> {
    fn write(&self, _writer: &mut Writer<'_>) {}
}

/// Any type but those that can hold an error.
pub trait ProbeAny<'a> {
    /// The value seen.
    type Value: ?Sized;
    /// Never there.
    fn probe(&self) -> Seen<'a, Self::Value, NoError>;
}
impl<'a, T: ?Sized> ProbeAny<'a> for Returned<'a, T> {
    type Value = T;
    fn probe(&self) -> Seen<'a, T, NoError> {
        Seen::Value(self.0)
    }
}

/// `Result`.
pub trait ProbeResult<'a> {
    /// The content of `Ok`.
    type Value;
    /// The content of `Err`.
    type Error;
    /// What the result shows.
    fn probe(&self) -> Seen<'a, Self::Value, Self::Error>;
}
impl<'a, T, E> ProbeResult<'a> for &Returned<'a, Result<T, E>> {
    type Value = T;
    type Error = E;
    fn probe(&self) -> Seen<'a, T, E> {
        match self.0 {
            Ok(value) => Seen::Value(value),
            Err(error) => Seen::Error(error),
        }
    }
}
