//! The guard of a call whose result need not be seen.

use super::guard::{Call, Slot, State, aside, end_counted, special};
use crate::capture::Writer;
use crate::site::CallSite;
use crate::thread::scratch::ScratchWriter;

/// A call whose result need not be seen (it returns `()` or never): dropped, it ended `ok`, or
/// `panic` where the thread has begun to unwind since.
#[derive(Debug)]
pub struct Scope<'a, const IN_USER_CRATE: bool>(Call<'a, IN_USER_CRATE>);

impl<'a, const IN_USER_CRATE: bool> Scope<'a, IN_USER_CRATE> {
    /// As `Call::enter`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    #[must_use]
    pub fn enter(slot: &'a mut Slot, site: &'static CallSite) -> Self {
        Self(Call::begin(slot, site, Slot::open_scope::<IN_USER_CRATE>, is_not_unwinding))
    }

    /// As `Call::prepare`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    #[must_use]
    pub fn prepare(slot: &'a mut Slot, site: &'static CallSite) -> Self {
        Self(Call::begin(slot, site, Slot::open_scope_untimed::<IN_USER_CRATE>, is_not_unwinding))
    }

    /// As `Call::args`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn args(&mut self) -> Option<ScratchWriter> {
        self.0.args()
    }

    /// As `Call::keep_args`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn keep_args(&mut self, arena: ScratchWriter) {
        self.0.keep_args(arena);
    }

    /// As `Call::fields`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn fields(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        self.0.fields(capture);
    }
}

impl<const IN_USER_CRATE: bool> Drop for Scope<'_, IN_USER_CRATE> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn drop(&mut self) {
        let call = &mut self.0;
        if call.state == State::ENTERED {
            call.slot.end_scope::<IN_USER_CRATE>(call.site, call.state);
        } else {
            aside();
            // A call that is only counted is not looked at for having panicked where nothing is unwinding.
            let is_over = || !std::thread::panicking() && end_counted(call.state);
            if call.state.is_counted() && !is_over() {
                call.slot.end_scope::<IN_USER_CRATE>(call.site, call.state);
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
    fn open_scope<const IN_USER_CRATE: bool>(&mut self, site: &'static CallSite) -> State {
        if std::thread::panicking() { self.open_unwinding(site) } else { self.open::<IN_USER_CRATE>(site) }
    }

    #[inline(never)]
    fn open_scope_untimed<const IN_USER_CRATE: bool>(&mut self, site: &'static CallSite) -> State {
        if std::thread::panicking() {
            self.open_unwinding(site)
        } else {
            self.open_untimed::<IN_USER_CRATE>(site)
        }
    }

    #[cold]
    #[inline(never)]
    fn open_unwinding(&mut self, site: &'static CallSite) -> State {
        // A call that is only counted would have no place for it.
        self.open_specially(site);
        if let Some(entered) = &mut self.0 {
            entered.special |= special::UNWINDING;
        }
        State::ENTERED
    }

    #[inline(never)]
    fn end_scope<const IN_USER_CRATE: bool>(&mut self, site: &'static CallSite, state: State) {
        let Some(entered) = self.look_at(site, state) else { return };
        if std::thread::panicking() && entered.special & special::UNWINDING == 0 {
            entered.end_by_panic();
        } else {
            entered.end_ok::<IN_USER_CRATE>();
        }
    }
}
