//! The guard of a call whose result need not be seen.
//!
//! Takes what `guard` takes; gives the same records. A scope that is dropped always ends its call: as `panic` if the
//! thread has begun to unwind since the entry, as `ok` otherwise. The file does not know results.

use super::entered::{Slot, Special, State, cold_path};
use super::guard::Call;
use crate::capture::Writer;
use crate::site::CallSite;
use crate::thread::scratch::ScratchWriter;

/// A call whose result need not be seen, because it returns `()` or never. Its drop ends it: as `panic` if the thread
/// has begun to unwind since the entry, as `ok` otherwise.
#[derive(Debug)]
pub struct Scope<'a, const CRATE: u64>(Call<'a, CRATE>);

impl<'a, const CRATE: u64> Scope<'a, CRATE> {
    /// Enters a call, as `Call::enter` does.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline(always))]
    #[must_use]
    pub fn enter(slot: &'a mut Slot, site: &'static CallSite) -> Self {
        Self(Call::begin(slot, site, Slot::open_scope::<CRATE>, is_not_unwinding))
    }

    /// Enters a call whose time starts after its last capture, as `Call::prepare` does.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline(always))]
    #[must_use]
    pub fn prepare(slot: &'a mut Slot, site: &'static CallSite) -> Self {
        Self(Call::begin(slot, site, Slot::open_scope_untimed::<CRATE>, is_not_unwinding))
    }

    /// Returns the writer for the arguments, as `Call::args` does.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn args(&mut self) -> Option<ScratchWriter> {
        self.0.args()
    }

    /// Keeps the arguments that were written, as `Call::keep_args` does.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn keep_args(&mut self, writer: ScratchWriter) {
        self.0.keep_args(writer);
    }

    /// Captures the extra fields, as `Call::fields` does.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn fields(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        self.0.fields(capture);
    }
}

impl<const CRATE: u64> Drop for Scope<'_, CRATE> {
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn drop(&mut self) {
        let call = &mut self.0;
        if call.state == State::ENTERED {
            call.slot.end_scope::<CRATE>(call.site, call.state);
        } else {
            cold_path();
            // A counted call is examined only if a panic unwinds or if the coarse clock has moved since the call's
            // entry.
            let is_over = || !std::thread::panicking() && call.state.has_counted_all();
            if call.state.is_counted() && !is_over() {
                call.slot.end_scope::<CRATE>(call.site, call.state);
            }
        }
        call.state = State::NONE;
    }
}

#[cfg_attr(not(debug_assertions), inline(always))]
fn is_not_unwinding() -> bool {
    !std::thread::panicking()
}

impl Slot {
    #[inline(never)]
    fn open_scope<const CRATE: u64>(&mut self, site: &'static CallSite) -> State {
        if std::thread::panicking() { self.open_unwinding(site) } else { self.open::<CRATE>(site) }
    }

    #[inline(never)]
    fn open_scope_untimed<const CRATE: u64>(&mut self, site: &'static CallSite) -> State {
        if std::thread::panicking() { self.open_unwinding(site) } else { self.open_untimed::<CRATE>(site) }
    }

    #[cold]
    #[inline(never)]
    fn open_unwinding(&mut self, site: &'static CallSite) -> State {
        // A counted call would have no place for the flag.
        let state = self.open_decided(site);
        if let Some(entered) = &mut self.0 {
            entered.special.set(Special::UNWINDING);
        }
        state
    }

    #[inline(never)]
    fn end_scope<const CRATE: u64>(&mut self, site: &'static CallSite, state: State) {
        let Some(entered) = self.examine(site, state) else { return };
        if std::thread::panicking() && !entered.special.was_unwinding() {
            entered.end_by_panic();
        } else {
            entered.end_ok::<CRATE>();
        }
    }
}
