//! Records between the rings and the store, bounded in bytes: where the oldest `ok` records give way
//! when the store is down. Pure.
//!
//! In: runs of records, each from one thread. Out: the same, oldest first, or the calls that had to
//! go. Failures outlive the rest: what is evicted keeps its failed calls, up to a bound of their own.

use std::collections::VecDeque;

use crate::batch::decode::Waiting;
use crate::record::{Outcome, Record, decode};
use crate::ring::journal::Held;

/// Records of one thread, in order.
#[derive(Debug, Default)]
pub(crate) struct Segment {
    pub(crate) thread: u32,
    pub(crate) words: Vec<u64>,
    /// Words already taken.
    pub(crate) taken: usize,
    /// The ring it comes from.
    ring: u32,
    /// Where its records end there.
    ends: VecDeque<u64>,
    /// Where it lies in the journal.
    pub(crate) held: Held,
}

impl Segment {
    pub(crate) fn new(thread: u32, words: Vec<u64>, ring: u32, ends: VecDeque<u64>, held: Held) -> Self {
        Self { thread, words, taken: 0, ring, ends, held }
    }

    fn bytes(&self) -> usize {
        // A failure that came around the rings is a segment of its own: what holds it counts.
        size_of::<Self>() + (self.words.capacity() + self.ends.capacity()) * size_of::<u64>()
    }

    fn is_done(&self) -> bool {
        self.taken >= self.words.len()
    }
}

/// The queue.
#[derive(Debug)]
pub(crate) struct Backlog {
    segments: VecDeque<Segment>,
    failures: VecDeque<Segment>,
    bytes: usize,
    failure_bytes: usize,
    bytes_max: usize,
}

/// Share of the bound that failures saved from eviction may take.
const FAILURES_SHARE: usize = 4;

impl Backlog {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let (segments, failures) = (VecDeque::new(), VecDeque::new());
        Self { segments, failures, bytes: 0, failure_bytes: 0, bytes_max }
    }

    pub(crate) fn push(&mut self, segment: Segment) {
        self.bytes += segment.bytes();
        self.segments.push_back(segment);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.failures.is_empty()
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.failure_bytes
    }

    /// How full it is, 0 to 1.
    pub(crate) fn pressure(&self) -> f64 {
        self.bytes() as f64 / self.bytes_max.max(1) as f64
    }

    /// Makes room until the bound is kept: the oldest `ok` calls go, failed ones are moved aside; when
    /// those pass their own bound, the oldest of them go as well. `gone` is told of each; `keep` puts what
    /// is moved aside into the journal again, so that the blocks it lay in can go, if there is room for it.
    pub(crate) fn evict(
        &mut self,
        mut gone: impl FnMut(&Waiting<'_>),
        mut keep: impl FnMut(&Waiting<'_>, &[u64]) -> Option<Held>,
    ) {
        let failures_max = self.bytes_max / FAILURES_SHARE;
        while self.bytes > self.bytes_max - failures_max {
            let Some(mut segment) = self.segments.pop_front() else { break };
            self.bytes -= segment.bytes();
            let (thread, ring) = (segment.thread, segment.ring);
            let before = std::mem::take(&mut segment.held);
            let mut saved = Segment { thread, ring, ..Segment::default() };
            each(&mut segment, |waiting, words| {
                if waiting.header.outcome == Outcome::Ok {
                    gone(&waiting);
                } else {
                    saved.words.extend_from_slice(words);
                    saved.ends.push_back(waiting.end.1);
                    match keep(&waiting, words) {
                        Some(held) => saved.held.extend(held),
                        None => saved.held.extend_from_slice(&before),
                    }
                }
            });
            if !saved.words.is_empty() {
                self.failure_bytes += saved.bytes();
                self.failures.push_back(saved);
            }
        }
        while self.failure_bytes > failures_max {
            let Some(mut segment) = self.failures.pop_front() else { break };
            self.failure_bytes -= segment.bytes();
            each(&mut segment, |waiting, _| gone(&waiting));
        }
    }

    /// Hands over the oldest calls, those saved from eviction first, as long as `take` says so; and where
    /// they lie in the journal, to be held on: for so many calls, then for so many more.
    pub(crate) fn take(&mut self, mut take: impl FnMut(&Waiting<'_>) -> bool) -> Vec<(usize, Held)> {
        let mut held = Vec::new();
        for (queue, bytes) in
            [(&mut self.failures, &mut self.failure_bytes), (&mut self.segments, &mut self.bytes)]
        {
            while let Some(segment) = queue.front_mut() {
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

fn take_from(segment: &mut Segment, take: &mut impl FnMut(&Waiting<'_>) -> bool) -> bool {
    while !segment.is_done() {
        let Some((record, used)) = decode(&segment.words[segment.taken..]) else {
            // Not reached: what lies here was decoded when it was drained.
            segment.taken = segment.words.len();
            return true;
        };
        segment.taken += used;
        if let Record::Call(header, values, value_bytes) = record {
            let end = (segment.ring, segment.ends.pop_front().unwrap_or(0));
            if !take(&Waiting { thread: segment.thread, header, values, value_bytes, end }) {
                return false;
            }
        }
    }
    true
}

fn each(segment: &mut Segment, mut visit: impl FnMut(Waiting<'_>, &[u64])) {
    let mut last = segment.taken;
    while let Some((record, used)) = decode(&segment.words[last..]) {
        if let Record::Call(header, values, value_bytes) = record {
            let end = (segment.ring, segment.ends.pop_front().unwrap_or(0));
            let waiting = Waiting { thread: segment.thread, header, values, value_bytes, end };
            visit(waiting, &segment.words[last..last + used]);
        }
        last += used;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Header;

    fn call(site: u32, outcome: Outcome) -> Vec<u64> {
        Header::any(site, outcome).encode(0).to_vec()
    }

    #[test]
    fn everything_that_went_in_comes_out_or_is_told_of() {
        let mut backlog = Backlog::new(64 * 100);
        let (mut lost, mut folded) = (Vec::new(), Vec::new());
        for site in 0..400 {
            let outcome = if site % 5 == 0 { Outcome::Error } else { Outcome::Ok };
            let ends = [u64::from(site) * 8 + 8].into();
            backlog.push(Segment::new(1, call(site, outcome), 1, ends, Held::new()));
            let gone = |waiting: &Waiting<'_>| match waiting.header.outcome {
                Outcome::Ok => lost.push(waiting.header.site),
                _ => folded.push(waiting.header.site),
            };
            backlog.evict(gone, |_, _| Some(Held::new()));
            assert!(backlog.bytes() <= 64 * 100);
        }
        let mut taken = Vec::new();
        backlog.take(|waiting| {
            taken.push(waiting.header.site);
            assert_eq!(waiting.end, (1, u64::from(waiting.header.site) * 8 + 8), "it knows its place");
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
        let mut backlog = Backlog::new(64 * 200);
        for site in 0..1000 {
            let outcome = if site % 100 == 7 { Outcome::Panic } else { Outcome::Ok };
            let ends = [u64::from(site) * 8 + 8].into();
            backlog.push(Segment::new(1, call(site, outcome), 1, ends, Held::new()));
            let gone = |waiting: &Waiting<'_>| assert_eq!(waiting.header.outcome, Outcome::Ok);
            backlog.evict(gone, |_, _| Some(Held::new()));
        }
        let mut failed = 0;
        backlog.take(|waiting| {
            failed += u32::from(waiting.header.outcome == Outcome::Panic);
            true
        });
        assert_eq!(failed, 10);
    }

    #[test]
    fn taking_stops_where_it_is_told_to_and_goes_on_from_there() {
        let mut backlog = Backlog::new(1 << 20);
        let two = [call(1, Outcome::Ok), call(2, Outcome::Ok)].concat();
        backlog.push(Segment::new(1, two, 1, [8, 16].into(), Held::new()));
        backlog.push(Segment::new(2, call(3, Outcome::Ok), 2, [8].into(), Held::new()));
        for expected in 1..=3 {
            let mut seen = Vec::new();
            backlog.take(|waiting| {
                seen.push(waiting.header.site);
                false
            });
            assert_eq!(seen, [expected]);
        }
        assert!(backlog.is_empty());
    }
}
