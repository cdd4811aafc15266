//! Where a function stands, and what it did since the ladder last looked at it; and the row that tells of it.

use super::super::Function;
use super::slow_threshold::SlowLimit;
use super::text::{fidelity, why};
use crate::batch::RateRow;
use crate::limits;
use crate::sampling::ladder::{Bounds, Load, Reason, Rung};
use crate::sampling::tail::Allowance;
use crate::site::CallSite;

/// Where a function stands, and what it did since the last look.
#[derive(Debug, Default)]
pub(in super::super) struct Standing {
    pub(super) rung: Rung,
    pub(super) allowance: Allowance,
    /// Rows of its first calls so far.
    pub(super) first: u32,
    pub(super) slow: SlowLimit,
    /// As of the last look.
    pub(super) calls_per_s: f64,
    pub(in super::super) since: Counts,
    pub(super) stored: Option<RateRow>,
    /// Whether rate or fidelity had changed when that was written.
    pub(super) is_news: bool,
    pub(super) due: Option<RateRow>,
}

impl Standing {
    pub(in super::super) fn new(site: &CallSite) -> Self {
        let slow = SlowLimit::stated(site.slow_ns());
        Self { slow, ..Self::default() }
    }

    /// Counts one of the first calls; whether it was one.
    pub(super) fn take_first(&mut self) -> bool {
        let is_first = self.first < limits::FIRST_CALLS;
        self.first += u32::from(is_first);
        is_first
    }
}

/// Calls counted since the last look.
#[derive(Debug, Clone, Copy, Default)]
pub(in super::super) struct Counts {
    pub(in super::super) records: u64,
    pub(in super::super) with_values: u64,
    /// Drawn, before they were thinned out.
    pub(in super::super) drawn: u64,
    pub(in super::super) rows: u64,
    pub(in super::super) timed: u64,
    pub(in super::super) counted: u64,
    pub(in super::super) dropped: u64,
}

impl Counts {
    pub(super) fn calls(&self) -> u64 {
        self.records + self.timed + self.counted + self.dropped
    }

    pub(super) fn load(&self, seconds: f64) -> Load {
        let per_second = |count: u64| count as f64 / seconds;
        Load {
            calls: per_second(self.calls()),
            records: per_second(self.records),
            with_values: per_second(self.with_values),
            drawn: per_second(self.drawn),
            timed: per_second(self.timed + self.dropped),
            counted: per_second(self.counted),
        }
    }
}

impl Function {
    /// The part of the row that does not come from a look's figures.
    pub(super) fn rate_row(&self, bounds: &Bounds) -> RateRow {
        let (asked, source) = self.site.asked();
        let rung = &self.standing.rung;
        let in_force = asked.min(rung.limit());
        let why = match rung.reason {
            Reason::AsAsked => why(rung, source),
            Reason::Rows { .. } | Reason::Overrun => {
                format!("{}, MONITOR_MAX_RATE={}", why(rung, source), bounds.rows_per_s)
            }
            _ => format!("{}, MONITOR_MAX_OVERHEAD={}%", why(rung, source), bounds.overhead * 100.0),
        };
        RateRow {
            function: self.site.id(),
            asked,
            rate: in_force,
            fidelity: fidelity(in_force, rung.is_counted),
            why,
            ..RateRow::default()
        }
    }

    /// Has a row written, if it says something new.
    pub(super) fn tell(&mut self, row: RateRow) {
        let says_something_new = self.standing.stored.as_ref().is_none_or(|last| {
            let same = (last.asked.to_bits(), last.rate.to_bits(), last.fidelity)
                == (row.asked.to_bits(), row.rate.to_bits(), row.fidelity);
            let moved = |a: f64, b: f64| (a - b).abs() > 0.1 * a.max(b);
            // By the same clock for all functions, so that their rows, which share pages, go in one batch.
            let period = |row: &RateRow| row.at_ns.div_euclid(limits::RATE_ROWS_INTERVAL.as_nanos() as i64);
            let aged = period(&row) > period(last);
            // The figures beside a change are those of the time before it.
            !same
                || self.standing.is_news
                || aged
                    && (moved(last.calls_per_s, row.calls_per_s) || moved(last.rows_per_s, row.rows_per_s))
        });
        if says_something_new {
            let rate = |row: &RateRow| (row.rate.to_bits(), row.fidelity);
            self.standing.is_news = self.standing.stored.as_ref().is_none_or(|last| rate(last) != rate(&row));
            self.standing.stored = Some(row.clone());
            self.standing.due = Some(row);
        }
    }
}
