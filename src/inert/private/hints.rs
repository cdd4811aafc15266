//! The macros around a capture. They have the recorder's names, and here no capture can fail.

/// Stands for the capture of an argument.
#[doc(hidden)]
#[macro_export]
macro_rules! use_skip_if_this_fails {
    ($name:ident, $writer:ident) => {
        (&&&&&$crate::__private::dispatch::Value(&$name)).__monitor_capture($writer)
    };
    (*$reference:ident, $writer:ident) => {
        (&&&&&$crate::__private::dispatch::Value($reference)).__monitor_capture($writer)
    };
}

/// Stands for the capture of the value of a success, or of the error of a failure.
#[doc(hidden)]
#[macro_export]
macro_rules! use_no_result_if_this_fails {
    ($value:ident, $writer:ident) => {
        (&&&&&$crate::__private::dispatch::Value($value)).__monitor_capture($writer)
    };
    ($error:ident, $writer:ident, $($references:tt)*) => {
        ($($references)* $crate::__private::dispatch::ErrorValue($error)).__monitor_write($writer)
    };
}

/// Stands for the capture of the error of a failure.
#[doc(hidden)]
#[macro_export]
macro_rules! show_the_lifetime_of_the_error_if_this_fails {
    ($error:ident, $writer:ident, $($references:tt)*) => {
        ($($references)* $crate::__private::dispatch::ErrorValue($error)).__monitor_write($writer)
    };
}
