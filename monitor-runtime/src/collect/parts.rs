//! The parts of the collector that records pass on their way from a ring to the store.

use std::time::Duration;

use super::alerts::AlertWatch;
use super::backlog::Backlog;
use super::crash_safety::CrashSafety;
use super::events::Events;
use super::functions::Functions;
use super::known_threads::KnownThreads;
use super::ladder::Ladder;
use super::report::Report;
use super::sources::Sources;
use super::trees::Trees;
use crate::platform::clock::Clock;

/// The parts that the drain fills and the writer empties, lent to them for a step.
pub(super) struct Parts<'a> {
    pub(super) clock: &'a Clock,
    pub(super) drain_interval: Duration,
    pub(super) functions: &'a mut Functions,
    pub(super) threads: &'a mut KnownThreads,
    pub(super) ladder: &'a mut Ladder,
    pub(super) trees: &'a mut Trees,
    pub(super) safety: &'a mut CrashSafety,
    pub(super) backlog: &'a mut Backlog,
    pub(super) report: &'a mut Report,
    pub(super) sources: &'a mut Sources,
    pub(super) alerts: &'a mut AlertWatch,
    pub(super) events: &'a mut Events,
}

impl Parts<'_> {
    /// Adds an event of this moment.
    pub(super) fn event(&mut self, kind: &'static str, detail: impl Into<String>) {
        self.events.add(self.clock.now_ns(), kind, detail);
    }
}
