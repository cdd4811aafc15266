//! The guard of a call whose result need not be seen.

use super::{Call, Slot, State, special};
use crate::arena::Arena;
use crate::call_site::CallSite;
use crate::capture::Writer;

/// A call whose result need not be seen (it returns `()` or never): dropped, it ended `ok`, or
/// `panic` where the thread has begun to unwind since.
#[derive(Debug)]
pub struct Scope<'a>(Call<'a>);

impl<'a> Scope<'a> {
    /// As [`Call::enter`].
    #[cfg_attr(not(debug_assertions), inline(always))]
    #[must_use]
    pub fn enter(slot: &'a mut Slot, site: &'static CallSite) -> Self {
        Self::begin(slot, site, Slot::open)
    }

    /// As [`Call::prepare`].
    #[cfg_attr(not(debug_assertions), inline(always))]
    #[must_use]
    pub fn prepare(slot: &'a mut Slot, site: &'static CallSite) -> Self {
        Self::begin(slot, site, Slot::open_untimed)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn begin(slot: &'a mut Slot, site: &'static CallSite, open: fn(&mut Slot, &'static CallSite)) -> Self {
        if site.is_off() || !std::thread::panicking() {
            return Self(Call::begin(slot, site, open));
        }
        slot.open_unwinding(site);
        Self(Call { slot, site, state: State::ENTERED, thread: None })
    }

    /// As [`Call::args`].
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn args(&mut self) -> Option<Arena> {
        self.0.args()
    }

    /// As [`Call::keep_args`].
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn keep_args(&mut self, arena: Arena) {
        self.0.keep_args(arena);
    }

    /// As [`Call::fields`].
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn fields(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        self.0.fields(capture);
    }
}

impl Drop for Scope<'_> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn drop(&mut self) {
        // A call that was only counted is not looked at for having panicked where nothing is unwinding.
        let call = &mut self.0;
        let is_over = call.state == State::NONE
            || call.state.is_counted() && !std::thread::panicking() && call.end_counted();
        if !is_over {
            call.slot.end_scope(call.site, call.state);
        }
        call.state = State::NONE;
    }
}

impl Slot {
    #[cold]
    #[inline(never)]
    fn open_unwinding(&mut self, site: &'static CallSite) {
        // A call that is only counted would have no place for it.
        self.open_specially(site);
        if let Some(entered) = &mut self.0 {
            entered.special |= special::UNWINDING;
        }
    }

    #[inline(never)]
    fn end_scope(&mut self, site: &'static CallSite, state: State) {
        let Some(entered) = self.look_at(site, state) else { return };
        if std::thread::panicking() && entered.special & special::UNWINDING == 0 {
            entered.end_by_panic();
        } else {
            entered.end_ok();
        }
    }
}
