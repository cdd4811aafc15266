//! Macros around a capture. If the capture does not compile, the name of the macro in rustc's message tells the user
//! how to leave the value out.
//!
//! Takes a value and its writer; gives the call that captures the value. If the type has `Debug`, `Serialize` or
//! `Error` for some lifetimes only, rustc selects that implementation for all lifetimes and demands them of the caller.
//! Its message then ends with the name of the macro around the call. The file does not know the ways of capturing.

/// Captures an argument, which `skip` leaves out.
#[doc(hidden)]
#[macro_export]
macro_rules! use_skip_if_this_fails {
    ($name:ident, $writer:ident) => {
        (&&&&&$crate::capture::dispatch::Value(&$name)).__monitor_capture($writer)
    };
    (*$reference:ident, $writer:ident) => {
        (&&&&&$crate::capture::dispatch::Value($reference)).__monitor_capture($writer)
    };
}

/// Captures the value of a success, or the error of a failure, which `no_result` leaves out.
#[doc(hidden)]
#[macro_export]
macro_rules! use_no_result_if_this_fails {
    ($value:ident, $writer:ident) => {
        (&&&&&$crate::capture::dispatch::Value($value)).__monitor_capture($writer)
    };
    ($error:ident, $writer:ident, $($references:tt)*) => {
        ($($references)* $crate::capture::dispatch::ErrorValue($error)).__monitor_write($writer)
    };
}

/// Captures the error of a failure, which `no_result` leaves out only if the return type shows that the error borrows.
#[doc(hidden)]
#[macro_export]
macro_rules! show_the_lifetime_of_the_error_if_this_fails {
    ($error:ident, $writer:ident, $($references:tt)*) => {
        ($($references)* $crate::capture::dispatch::ErrorValue($error)).__monitor_write($writer)
    };
}
