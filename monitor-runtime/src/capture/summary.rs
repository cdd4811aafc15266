//! Shapes, which are captured in place of values that are too large to be read.
//!
//! Takes a name and the extents of a table or matrix; gives `[DataFrame 1000000×100]`. The content is never touched, so
//! the cost does not depend on it.

use std::rc::Rc;
use std::sync::Arc;

use super::limits::DIMENSIONS;

/// A type that is captured by its shape alone. This trait takes precedence over `Serialize` and `Debug`.
///
/// Tables, matrices, images and buffers are the types to implement it for: their content says little in a
/// kilobyte, and their shape says what the call had to do.
///
/// ```
/// # use monitor_runtime::capture as monitored;
/// use monitored::{Summarize, Summary};
///
/// struct DataFrame {
///     columns: Vec<Vec<f64>>,
/// }
///
/// impl Summarize for DataFrame {
///     fn summary(&self) -> Summary<'_> {
///         let rows = self.columns.first().map_or(0, Vec::len);
///         Summary::new("DataFrame", &[rows, self.columns.len()])
///     }
/// }
///
/// let prices = DataFrame { columns: vec![vec![1.0; 250]; 4] };
/// assert_eq!(prices.summary().to_string(), "[DataFrame 250×4]");
/// ```
pub trait Summarize {
    /// Returns the shape. This should cost no more than reading a few lengths.
    fn summary(&self) -> Summary<'_>;
}

/// A name and the extents of up to eight dimensions, the outermost first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary<'a> {
    name: &'a str,
    dimensions: [usize; DIMENSIONS],
    len: usize,
}

impl<'a> Summary<'a> {
    /// Returns a shape. Only the first eight dimensions are kept.
    #[must_use]
    pub fn new(name: &'a str, dimensions: &[usize]) -> Self {
        let len = dimensions.len().min(DIMENSIONS);
        let mut kept = [0; DIMENSIONS];
        kept[..len].copy_from_slice(&dimensions[..len]);
        Self { name, dimensions: kept, len }
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Returns the extents.
    #[must_use]
    pub fn dimensions(&self) -> &[usize] {
        &self.dimensions[..self.len]
    }
}

impl std::fmt::Display for Summary<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "[{}", self.name)?;
        for (at, extent) in self.dimensions().iter().enumerate() {
            let separator = if at == 0 { " " } else { "×" };
            write!(formatter, "{separator}{extent}")?;
        }
        formatter.write_str("]")
    }
}

/// A value that is captured by its shape: a [`Summarize`] type, or an option of one.
pub trait Shaped {
    /// Returns the shape, if there is a value.
    fn shape(&self) -> Option<Summary<'_>>;
}
impl<T: Summarize + ?Sized> Shaped for T {
    fn shape(&self) -> Option<Summary<'_>> {
        Some(self.summary())
    }
}
impl<T: Summarize> Shaped for Option<T> {
    fn shape(&self) -> Option<Summary<'_>> {
        self.as_ref().map(Summarize::summary)
    }
}

impl<T: Summarize + ?Sized> Summarize for &T {
    fn summary(&self) -> Summary<'_> {
        (**self).summary()
    }
}
impl<T: Summarize + ?Sized> Summarize for &mut T {
    fn summary(&self) -> Summary<'_> {
        (**self).summary()
    }
}
impl<T: Summarize + ?Sized> Summarize for Box<T> {
    fn summary(&self) -> Summary<'_> {
        (**self).summary()
    }
}
impl<T: Summarize + ?Sized> Summarize for Rc<T> {
    fn summary(&self) -> Summary<'_> {
        (**self).summary()
    }
}
impl<T: Summarize + ?Sized> Summarize for Arc<T> {
    fn summary(&self) -> Summary<'_> {
        (**self).summary()
    }
}
