//! The guard of a call whose result need not be seen.

use super::{Call, State, special};
use crate::call_site::CallSite;
use crate::capture::Writer;

/// A call whose result need not be seen (it returns `()` or never): dropped, it ended `ok`, or
/// `panic` where the thread has begun to unwind since.
#[derive(Debug)]
pub struct Scope(Call);

impl Scope {
    /// As [`Call::none`].
    #[cfg_attr(not(debug_assertions), inline(always))]
    #[must_use]
    pub const fn none() -> Self {
        Self(Call::none())
    }

    /// As [`Call::enter`].
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn enter(&mut self, site: &'static CallSite) {
        if !site.is_off() && std::thread::panicking() {
            return self.open_unwinding(site);
        }
        self.0.enter(site);
    }

    /// As [`Call::prepare`].
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn prepare(&mut self, site: &'static CallSite) {
        if !site.is_off() && std::thread::panicking() {
            return self.open_unwinding(site);
        }
        self.0.prepare(site);
    }

    #[cold]
    #[inline(never)]
    fn open_unwinding(&mut self, site: &'static CallSite) {
        // A call that is only counted would have no place for it.
        self.0.open_specially(site);
        if let State::Entered(entered) = &mut self.0.0 {
            entered.special |= special::UNWINDING;
        }
    }

    /// As [`Call::args`].
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn args(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        self.0.args(capture);
    }

    /// As [`Call::fields`].
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn fields(&mut self, capture: impl FnOnce(&mut Writer<'_>)) {
        self.0.fields(capture);
    }
}

impl Drop for Scope {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn drop(&mut self) {
        // A call that was only counted is not looked at for having panicked where nothing is unwinding.
        match &mut self.0.0 {
            State::None => {}
            State::Counted(counted) if !std::thread::panicking() && counted.end() => {}
            _ => self.end(),
        }
        self.0.0 = State::None;
    }
}

impl Scope {
    #[inline(never)]
    fn end(&mut self) {
        let was_unwinding =
            matches!(&self.0.0, State::Entered(entered) if entered.special & special::UNWINDING != 0);
        if std::thread::panicking() && !was_unwinding {
            self.0.end_by_panic();
        } else {
            self.0.ok();
        }
    }
}
