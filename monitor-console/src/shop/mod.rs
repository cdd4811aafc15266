//! The shop whose orders `monitor demo` takes.
