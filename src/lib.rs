//! A bounded, always-on, SQL-queryable flight recorder for annotated functions.

pub use monitor_macro::monitor;

/// What the expansion of `#[monitor]` refers to. Not part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use monitor_runtime::private::*;
}
