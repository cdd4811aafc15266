//! The coarse clock's keeper: calls that are only counted are noticed to be slow by a clock that this thread moves
//! on. Where it may be held up for long, they are timed instead.

use super::super::Collector;
use crate::limits;
use crate::platform::clock::{advance_coarse, keep_coarse};

impl Collector {
    /// Whether there are calls that rely on the coarse clock.
    pub(crate) fn is_counting(&self) -> bool {
        self.ladder.is_counting
    }

    /// Moves the coarse clock on, and takes note where it stood still for longer than a slow call may take to
    /// be noticed.
    pub(in super::super) fn watch_clock(&mut self) {
        if self.ladder.is_away {
            return self.come_back();
        }
        let behind = keep_coarse();
        if behind >= limits::COARSE_STOOD && self.ladder.is_counting {
            self.ladder.stood += behind;
        }
    }

    /// From here on a disk may hold this thread up, and the coarse clock with it: what is only counted is timed
    /// until the clock is looked at again. Calls that are under way see it move.
    pub(in super::super) fn go_away(&mut self) {
        if self.ladder.is_counting && !self.ladder.is_away {
            self.ladder.is_away = true;
            self.count_only(false);
            advance_coarse();
        }
    }

    /// The coarse clock can be relied on again.
    fn come_back(&mut self) {
        // First the clock: whoever relies on it is to see what it shows now.
        advance_coarse();
        self.count_only(true);
        self.ladder.is_away = false;
        // What was timed meanwhile speaks for itself, not for what is counted from now on.
        self.read_tallies();
    }

    /// Has the calls of functions that are only counted be that, or timed.
    fn count_only(&mut self, is_counted: bool) {
        let counted = self.functions.iter().flatten().filter(|function| function.standing.rung.is_counted);
        counted.for_each(|function| function.site.limit(function.site.cap(), is_counted));
    }

    /// Says for how long calls that are only counted could be slow without being noticed.
    pub(super) fn tell_of_clock(&mut self) {
        let stood = std::mem::take(&mut self.ladder.stood);
        if !stood.is_zero() {
            let detail = format!(
                "the recorder was held up for {stood:.1?}: calls that were slow in it, of functions that are \
                 only counted, have no row"
            );
            self.event("slow", detail);
        }
    }
}
