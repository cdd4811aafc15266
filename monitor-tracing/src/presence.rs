//! The layers of the process, and the one among them that records a span.
//!
//! Takes the extensions of a span that begins, in which the first layer leaves its number; tells a later layer that the span
//! has its recorder. A process has one layer as a rule: no extension is then written or read, because that takes longer
//! than the rest of the layer's work for a span. The file does not know how a span is recorded.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tracing_subscriber::registry::ExtensionsMut;

/// The layers that exist.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// The presence of a layer in the process, from its making to its drop.
#[derive(Debug)]
pub(crate) struct Presence {
    /// The number of the layer, which no other one has.
    layer: u64,
}

/// The extension of a span that is recorded, with the number of the layer.
struct Recorder(u64);

impl Presence {
    pub(crate) fn begin() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        COUNT.fetch_add(1, Ordering::Relaxed);
        Self { layer: LAST.fetch_add(1, Ordering::Relaxed) }
    }

    /// Returns true if the process has one layer.
    #[inline]
    pub(crate) fn is_alone() -> bool {
        COUNT.load(Ordering::Relaxed) <= 1
    }

    /// Returns true if no other layer records the span with these extensions, and notes that this one does.
    pub(crate) fn is_first_in(&self, span: &mut ExtensionsMut<'_>) -> bool {
        if let Some(recorder) = span.get_mut::<Recorder>() {
            return recorder.0 == self.layer;
        }
        span.insert(Recorder(self.layer));
        true
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Ordering::Relaxed);
    }
}
