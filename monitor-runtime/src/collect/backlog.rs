//! The backlog: records between the rings and the store, bounded in bytes.
//!
//! Takes runs of records, each of one thread; gives them back in order, the oldest first, or gives up the oldest `ok`
//! calls when the store is down. Failures outlive the others: an evicted run leaves its failed calls behind, up to a
//! bound of their own. Pure. It does not know what becomes of the calls it gives up.

use std::collections::VecDeque;

use crate::accountant::{Accountant, Part};
use crate::batch::decode::{Pending, PendingCall, PendingLine};
use crate::growth::MakeRoom as _;
use crate::record::{Record, decode};
use crate::ring::journal::Held;

/// Records of one thread, in order.
#[derive(Debug, Default)]
pub(super) struct Segment {
    thread: u32,
    words: Vec<u64>,
    /// The number of words that were taken already.
    taken: usize,
    /// The ring that the records come from.
    ring: u32,
    /// The position after each record in that ring.
    ends: VecDeque<u64>,
    /// The journal blocks that hold the records.
    held: Held,
}

impl Segment {
    pub(super) fn new(thread: u32, words: Vec<u64>, ring: u32, ends: VecDeque<u64>, held: Held) -> Self {
        Self { thread, words, taken: 0, ring, ends, held }
    }

    fn bytes(&self) -> usize {
        // The segment itself counts as well, because each failure that was sent past its ring has a segment of its own.
        size_of::<Self>() + (self.words.capacity() + self.ends.capacity()) * size_of::<u64>()
    }

    /// Visits the rows that were not taken.
    pub(super) fn for_each_row(&mut self, mut visit: impl FnMut(&Pending<'_>)) {
        let place = (self.thread, self.ring);
        for_each_row(&self.words[self.taken..], place, &mut self.ends, |waiting, _| visit(&waiting));
    }

    fn is_done(&self) -> bool {
        self.taken >= self.words.len()
    }
}

/// The queue of records.
#[derive(Debug)]
pub(super) struct Backlog {
    segments: VecDeque<Segment>,
    /// Failures that were saved from eviction.
    failures: VecDeque<Segment>,
    bytes: usize,
    failure_bytes: usize,
    accountant: &'static Accountant,
}

/// The divisor of the bound: failures saved from eviction may take the bound divided by this number.
const FAILURES_SHARE: usize = 4;

impl Backlog {
    pub(super) fn new(accountant: &'static Accountant) -> Self {
        let (segments, failures) = (VecDeque::new(), VecDeque::new());
        Self { segments, failures, bytes: 0, failure_bytes: 0, accountant }
    }

    /// Adds records, which are counted already. If they exceed the bound, [`Self::evict`] makes room. Gives the records
    /// back if the machine has no memory for one more segment.
    pub(super) fn push(&mut self, segment: Segment) -> Result<(), Segment> {
        if !self.segments.make_room(1) {
            self.accountant.note_refused(Part::Backlog);
            return Err(segment);
        }
        self.bytes += segment.bytes();
        self.segments.push_back(segment);
        self.settle_account();
        Ok(())
    }

    /// Reports the bytes that are held to the accountant.
    fn settle_account(&self) {
        self.accountant.set(Part::Backlog, self.bytes());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.failures.is_empty()
    }

    /// Returns the bytes that are held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.failure_bytes
    }

    /// Returns how full the backlog is, 0 to 1.
    pub(super) fn pressure(&self) -> f64 {
        self.bytes() as f64 / self.accountant.limit(Part::Backlog).max(1) as f64
    }

    /// Returns true if more is held than there is room for.
    pub(super) fn is_over(&self) -> bool {
        self.bytes() > self.accountant.limit(Part::Backlog)
    }

    /// Makes room until the bound is kept: gives up the oldest `ok` calls and log lines, and moves failed calls and
    /// errors aside. When those exceed their own bound, the oldest of them are given up as well. `lose` is handed each
    /// row that is given up, and the row's copy in the journal is settled, because others may hold its block and a
    /// recoverer would write the row. `keep` copies a failure into the journal again, so that the blocks that held it so far can
    /// be released. It returns the blocks of the copy, or `None` if there is no room for it.
    pub(super) fn evict(
        &mut self,
        mut lose: impl FnMut(&Pending<'_>),
        mut keep: impl FnMut(&Pending<'_>, &[u64]) -> Option<Held>,
    ) {
        let bytes_max = self.accountant.limit(Part::Backlog);
        let (failures_max, accountant) = (bytes_max / FAILURES_SHARE, self.accountant);
        while self.bytes > bytes_max - failures_max {
            let Some(mut segment) = self.segments.pop_front() else { break };
            self.bytes -= segment.bytes();
            let (thread, ring) = (segment.thread, segment.ring);
            let before = std::mem::take(&mut segment.held);
            let mut saved = Segment { thread, ring, ..Segment::default() };
            let (has_place, mut holds_before) = (self.failures.make_room(1), false);
            let mut given_up = Vec::new();
            let Segment { words, taken, ends, .. } = &mut segment;
            for_each_row(&words[*taken..], (thread, ring), ends, |waiting, words| {
                let is_saved = waiting.has_priority()
                    && has_place
                    && saved.words.make_room(words.len())
                    && saved.ends.make_room(1);
                if is_saved {
                    saved.words.extend_from_slice(words);
                    saved.ends.push_back(waiting.end().1);
                    let held = keep(&waiting, words);
                    let more =
                        held.as_deref().unwrap_or(&before[..if holds_before { 0 } else { before.len() }]);
                    holds_before |= held.is_none();
                    // Blocks for which there is no memory are released, although after a kill a recoverer would still
                    // need them.
                    if saved.held.make_room(more.len()) {
                        saved.held.extend_from_slice(more);
                    } else {
                        accountant.note_refused(Part::Journal);
                    }
                } else {
                    note_given_up(&mut given_up, &waiting, words);
                    lose(&waiting);
                }
            });
            for block in &before {
                block.settle(ring, &given_up);
            }
            if !saved.words.is_empty() {
                self.failure_bytes += saved.bytes();
                self.failures.push_back(saved);
            }
        }
        while self.failure_bytes > failures_max {
            let Some(mut segment) = self.failures.pop_front() else { break };
            self.failure_bytes -= segment.bytes();
            let Segment { thread, words, taken, ring, ends, held } = &mut segment;
            let mut given_up = Vec::new();
            for_each_row(&words[*taken..], (*thread, *ring), ends, |waiting, words| {
                note_given_up(&mut given_up, &waiting, words);
                lose(&waiting);
            });
            for block in held {
                block.settle(*ring, &given_up);
            }
        }
        self.settle_account();
    }

    /// Hands over the oldest rows, those saved from eviction first, until `take` returns false. Returns an entry for
    /// each run of rows that was begun: the number of its rows that were handed over, and the journal blocks that hold
    /// the run.
    pub(super) fn take(&mut self, take: impl FnMut(&Pending<'_>) -> bool) -> Vec<(usize, Held)> {
        let held = self.take_from_queues(take);
        self.settle_account();
        held
    }

    fn take_from_queues(&mut self, mut take: impl FnMut(&Pending<'_>) -> bool) -> Vec<(usize, Held)> {
        let mut held = Vec::new();
        for (queue, bytes) in
            [(&mut self.failures, &mut self.failure_bytes), (&mut self.segments, &mut self.bytes)]
        {
            while let Some(segment) = queue.front_mut() {
                if !held.make_room(1) {
                    return held;
                }
                let mut calls = 0;
                let more = take_from(segment, &mut |waiting| {
                    calls += 1;
                    take(waiting)
                });
                held.push((calls, segment.held.clone()));
                if segment.is_done() {
                    *bytes -= segment.bytes();
                    queue.pop_front();
                }
                if !more {
                    return held;
                }
            }
        }
        held
    }
}

/// Notes the position of a call that is given up. A call for which there is no memory may get a row from a recoverer.
fn note_given_up(positions: &mut Vec<u64>, waiting: &Pending<'_>, words: &[u64]) {
    if matches!(waiting, Pending::Call(_)) && positions.make_room(1) {
        positions.push(waiting.end().1.saturating_sub(words.len() as u64));
    }
}

/// Takes rows from a segment until `take` returns false. Returns true if it reached the end of the segment.
fn take_from(segment: &mut Segment, take: &mut impl FnMut(&Pending<'_>) -> bool) -> bool {
    let Segment { thread, words, taken, ring, ends, .. } = segment;
    while *taken < words.len() {
        let Some((record, used)) = decode(&words[*taken..]) else {
            // This is unreachable, because the words were decoded when they were drained.
            *taken = words.len();
            return true;
        };
        *taken += used;
        if let Some(waiting) = to_pending(record, *thread, *ring, ends)
            && !take(&waiting)
        {
            return false;
        }
    }
    true
}

/// Visits the rows among the records of one thread and ring, each with its words. Takes the position after each row
/// from the queue.
pub(super) fn for_each_row(
    words: &[u64],
    (thread, ring): (u32, u32),
    ends: &mut VecDeque<u64>,
    mut visit: impl FnMut(Pending<'_>, &[u64]),
) {
    let mut last = 0;
    while let Some((record, used)) = decode(&words[last..]) {
        if let Some(waiting) = to_pending(record, thread, ring, ends) {
            visit(waiting, &words[last..last + used]);
        }
        last += used;
    }
}

/// Returns the content of a record that becomes a row: a call, calls that share the row, or a log line.
fn to_pending<'a>(
    record: Record<'a>,
    thread: u32,
    ring: u32,
    ends: &mut VecDeque<u64>,
) -> Option<Pending<'a>> {
    let (header, fold, values, value_bytes) = match record {
        Record::Call(header, values, bytes) => (header, None, values, bytes),
        Record::Fold(header, fold, values, bytes) => (header, Some(fold), values, bytes),
        Record::Line(line, body, fields) => {
            let end = (ring, ends.pop_front().unwrap_or(0));
            return Some(Pending::Line(PendingLine { thread, line, body, fields, end }));
        }
        Record::Folded(..) | Record::Thread(_) | Record::Skip => return None,
    };
    let end = (ring, ends.pop_front().unwrap_or(0));
    Some(Pending::Call(PendingCall { thread, header, values, value_bytes, fold, end }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::record::{Header, LogLevel, LogLine, Outcome};

    /// Returns the call that a row is about.
    fn call_of<'a>(pending: &'a Pending<'_>) -> &'a PendingCall<'a> {
        match pending {
            Pending::Call(call) => call,
            Pending::Line(line) => panic!("{line:?} is no call"),
        }
    }

    fn call(site: u32, outcome: Outcome) -> Vec<u64> {
        Header::any(site, outcome).encode(0).to_vec()
    }

    #[test]
    fn everything_that_went_in_comes_out_or_is_told_of() {
        let mut backlog = Backlog::new(Accountant::of_part(Part::Backlog, 64 * 100));
        let (mut lost, mut folded) = (Vec::new(), Vec::new());
        for site in 0..400 {
            let outcome = if site % 5 == 0 { Outcome::Error } else { Outcome::Ok };
            let ends = [u64::from(site) * 8 + 8].into();
            backlog.push(Segment::new(1, call(site, outcome), 1, ends, Held::new())).unwrap();
            let give_up = |waiting: &Pending<'_>| match call_of(waiting).header.outcome {
                Outcome::Ok => lost.push(call_of(waiting).header.site),
                _ => folded.push(call_of(waiting).header.site),
            };
            backlog.evict(give_up, |_, _| Some(Held::new()));
            assert!(backlog.bytes() <= 64 * 100);
        }
        let mut taken = Vec::new();
        backlog.take(|waiting| {
            taken.push(call_of(waiting).header.site);
            assert_eq!(
                waiting.end(),
                (1, u64::from(call_of(waiting).header.site) * 8 + 8),
                "the position in its ring comes along"
            );
            true
        });
        assert!(backlog.is_empty());
        assert_eq!(backlog.bytes(), 0);
        assert!(lost.iter().all(|site| site % 5 != 0) && folded.iter().all(|site| site % 5 == 0));
        assert!(taken.contains(&399) && lost.contains(&1) && folded.contains(&0));
        let mut all: Vec<u32> = [lost, folded, taken].concat();
        all.sort_unstable();
        assert_eq!(all, (0..400).collect::<Vec<_>>());
    }

    #[test]
    fn failures_within_their_own_bound_outlive_any_number_of_other_calls() {
        let mut backlog = Backlog::new(Accountant::of_part(Part::Backlog, 64 * 200));
        for site in 0..1000 {
            let outcome = if site % 100 == 7 { Outcome::Panic } else { Outcome::Ok };
            let ends = [u64::from(site) * 8 + 8].into();
            backlog.push(Segment::new(1, call(site, outcome), 1, ends, Held::new())).unwrap();
            let give_up = |waiting: &Pending<'_>| assert_eq!(call_of(waiting).header.outcome, Outcome::Ok);
            backlog.evict(give_up, |_, _| Some(Held::new()));
        }
        let mut failed = 0;
        backlog.take(|waiting| {
            failed += u32::from(call_of(waiting).header.outcome == Outcome::Panic);
            true
        });
        assert_eq!(failed, 10);
    }

    #[test]
    fn taking_stops_where_it_is_told_to_and_goes_on_from_there() {
        let mut backlog = Backlog::new(Accountant::of_part(Part::Backlog, 1 << 20));
        let two = [call(1, Outcome::Ok), call(2, Outcome::Ok)].concat();
        backlog.push(Segment::new(1, two, 1, [8, 16].into(), Held::new())).unwrap();
        backlog.push(Segment::new(2, call(3, Outcome::Ok), 2, [8].into(), Held::new())).unwrap();
        for expected in 1..=3 {
            let mut seen = Vec::new();
            backlog.take(|waiting| {
                seen.push(call_of(waiting).header.site);
                false
            });
            assert_eq!(seen, [expected]);
        }
        assert!(backlog.is_empty());
    }

    #[test]
    fn log_lines_keep_their_place_among_calls_and_errors_outlive_the_others() {
        let mut backlog = Backlog::new(Accountant::of_part(Part::Backlog, 64 * 200));
        let line = |number: u16| {
            let level = if number % 100 == 7 { LogLevel::Error } else { LogLevel::Warn };
            LogLine::new_folded(number, level, 1, 1).encode().to_vec()
        };
        let mut lost = Vec::new();
        for number in 0..1000_u16 {
            let words = [call(number.into(), Outcome::Ok), line(number)].concat();
            let end = u64::from(number) * 16;
            backlog.push(Segment::new(1, words, 1, [end + 8, end + 16].into(), Held::new())).unwrap();
            backlog.evict(
                |pending| match pending {
                    Pending::Line(pending) => lost.push(pending.line.place),
                    Pending::Call(_) => {}
                },
                |_, _| Some(Held::new()),
            );
        }
        assert!(lost.len() > 500 && lost.iter().all(|place| place % 100 != 7));
        let (mut errors, mut order) = (Vec::new(), Vec::new());
        backlog.take(|pending| {
            match pending {
                Pending::Line(pending) if pending.line.level == LogLevel::Error => {
                    errors.push(pending.line.place);
                }
                Pending::Line(pending) => order.push((pending.end.1, 1, pending.line.place)),
                Pending::Call(call) => order.push((call.end.1, 0, call.header.site as u16)),
            }
            true
        });
        assert_eq!(errors, (0..10).map(|at| at * 100 + 7).collect::<Vec<u16>>());
        assert!(order.len() > 50 && order.is_sorted(), "{order:?}");
        for (end, kind, number) in order {
            assert_eq!(end, u64::from(number) * 16 + 8 * (kind + 1));
        }
    }
}
