//! Values that were captured and belong to no call yet.
//!
//! Takes closures that write values; gives tokens that a call takes over later, on any thread. Monitored calls within a
//! closure pass through. The file does not know calls.

use std::sync::atomic::Ordering;

use crate::capture::{Fields, Writer};
use crate::thread::local;
use crate::thread::scratch;
use crate::thread::state::{SUPPRESSED, ThreadState, WRITING};

/// Values that were captured and belong to no call yet.
#[derive(Debug)]
pub struct Captured(pub(super) Box<[u8]>);

impl Captured {
    /// Captures values with their names. Monitored calls and open calls within `write` pass through. Returns `None`
    /// where nothing is captured: on a thread without a call, and within another capture.
    pub fn fields(mut write: impl FnMut(&mut Fields<'_, '_>)) -> Option<Self> {
        Self::capture(&mut |writer| write(&mut Fields::new(writer)))
    }

    /// Captures the text of a failure. Returns `None` under the conditions of [`Self::fields`].
    pub fn failure(write: &mut dyn FnMut(&mut dyn std::fmt::Write) -> std::fmt::Result) -> Option<Self> {
        Self::capture(&mut |writer: &mut Writer<'_>| writer.failure(write))
    }

    fn capture(capture: scratch::Capture<'_>) -> Option<Self> {
        let thread = local::current().filter(|thread| !is_recorders(thread))?;
        let tokens = scratch::append_capture(thread, &[], capture);
        (!tokens.is_empty()).then_some(Self(tokens))
    }
}

/// Returns true while the recorder works on this thread: the running code belongs to a capture, or has interrupted the
/// writing of a record.
#[inline]
pub(super) fn is_recorders(thread: &ThreadState) -> bool {
    matches!(thread.current.load(Ordering::Relaxed), SUPPRESSED | WRITING)
}
