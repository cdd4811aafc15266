//! The classes of failures, which breaker, retries and `once` share.
//!
//! A program classifies its own errors by a function. Without one every error is [`Verdict::Retry`] to a guard, and
//! [`Verdict::DoNotRetry`] to `once`.

use std::time::Duration;

/// The class of a failure.
///
/// | class | breaker | retries | `once` |
/// |---|---|---|---|
/// | `Retry` | a failure | after a pause | the key is free again |
/// | `DoNotRetry` | no failure: the part has answered | none | the failure is the recorded answer |
/// | `Wait` | no failure while closed | after this time, or the pause if that is longer | the key is free again |
/// | `Fatal` | opens at once | none | the key is in doubt |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The part has failed, and may succeed when it is asked again: a lost connection, a timeout.
    Retry,
    /// The part has answered that the request is wrong: a validation error, a declined card. Asking again is of no use.
    DoNotRetry,
    /// The part is healthy and asks to be left alone, for this long if it says so: too many requests, a lock that is held.
    Wait(Option<Duration>),
    /// The part has failed for a reason that does not pass by itself: a revoked key, a missing table.
    Fatal,
}
