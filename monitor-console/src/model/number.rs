//! Numbers of calls, rows and nanoseconds as floating point, in which figures are computed.

/// An integer that becomes a figure.
pub(crate) trait Integer {
    /// Returns the nearest floating-point number; the same number up to 2^53.
    fn nearest(self) -> f64;
}

macro_rules! integer {
    ($($integer:ty),*) => {$(
        impl Integer for $integer {
            #[expect(clippy::cast_precision_loss, reason = "figures are shown with three digits")]
            fn nearest(self) -> f64 {
                self as f64
            }
        }
    )*};
}

integer!(i64, u64, usize);

/// Returns the nearest floating-point number; the same number up to 2^53.
pub(crate) fn to_f64(number: impl Integer) -> f64 {
    number.nearest()
}
