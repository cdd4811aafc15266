//! The rows of calls: which calls have one of their own, and which share one.
//!
//! Takes the calls of a drain with their callers; decides for each, callers before callees. It also foresees the rows
//! of calls under way, because their callees are decided before them.

use std::sync::atomic::Ordering;

use super::bursts::header_of;
use super::drained::{Drained, Row};
use super::parents::{Fate, Parent, Slot};
use super::under_way::{self, CallsUnderWay, UnderWay};
use super::{Moment, Trees, is_loop};
use crate::growth::{collect_all, collect_most};
use crate::platform::clock::ticks;
use crate::record::{Header, Kept, Outcome, place};
use crate::thread::fold_slot::SharedCalls;

impl Trees {
    /// Notes each call at its caller, and finds those that are one of many.
    pub(super) fn enter(&mut self, calls: &mut [Drained], moment: &Moment<'_>) {
        for call in calls.iter_mut().filter(|call| call.header.parent != 0) {
            let header = &call.header;
            let Some(parent) = self.parents.enter(header.parent, header.start, moment.now) else { continue };
            call.parent = Some(parent);
            let number = self.parents.get_mut(parent).count(header.site);
            if self.fold_after > 0 && number > self.fold_after && may_share(header, moment) {
                call.row = Row::OneOfMany;
            }
        }
        // A callee may have outlived its caller, so all callers are known only now.
        for call in calls {
            call.own = self.parents.find(call.header.span);
            if let (Some(_), Some(parent), Row::OneOfMany) = (call.own, call.parent, call.row)
                && is_loop(self.parents.get(parent), call.end(), moment.clock)
            {
                call.row = Row::Own;
            }
        }
    }

    /// Foresees which of the calls under way that have callees in this drain will share a row, because as many like
    /// them have ended.
    pub(super) fn predict(&mut self, calls: &[Drained], bursts: &[SharedCalls], moment: &Moment<'_>) {
        let ended_or_named = |parent: &Parent| parent.is_named || parent.fate != Fate::Own;
        let of_bursts = bursts.iter().filter_map(|calls| self.parents.find(calls.parent));
        // Most calls have the same caller as the call before.
        let runs = calls.chunk_by(|call, next| call.parent == next.parent);
        let mut open: Vec<Slot> = collect_most(runs.filter_map(|run| run[0].parent).chain(of_bursts));
        open.sort_unstable();
        open.dedup();
        // Callers that end in this drain are decided with their records. Without memory for them nothing is foreseen.
        let Some(mut ended) = collect_all(calls.iter().filter_map(|call| call.own)) else { return };
        ended.sort_unstable();
        let has_ended = |slot: &Slot| ended.binary_search(slot).is_ok();
        open.retain(|slot| !has_ended(slot) && !ended_or_named(self.parents.get(*slot)));
        if open.is_empty() || !self.has_repeats() {
            return;
        }
        let any = calls.first().map(|call| call.header).or_else(|| bursts.first().map(header_of));
        let (under_way, Some(any)) = (under_way::calls(self.rings), any) else { return };
        for slot in open {
            let header = Header { span: self.parents.get(slot).span, ..any };
            self.fate_of(&header, &under_way, moment, 0);
        }
    }

    /// Returns true if some function was called so often by one caller that calls may share a row.
    fn has_repeats(&mut self) -> bool {
        let limit = self.fold_after;
        self.parents.iter_mut().any(|parent| parent.callees.iter().any(|(_, calls)| *calls >= limit))
    }

    /// Returns the expected [`Fate`] of the call under way that has this header's span.
    fn fate_of(&mut self, call: &Header, calls: &CallsUnderWay, moment: &Moment<'_>, depth: usize) -> Fate {
        let known = self.parents.find(call.span).map(|slot| self.parents.get(slot));
        if let Some(parent) = known.filter(|parent| parent.fate != Fate::Own || parent.is_named) {
            return parent.fate;
        }
        let found = calls.get(&call.span).filter(|found| found.parent != 0 && depth < calls.len());
        let Some(UnderWay { site, parent }) = found.copied() else { return Fate::Own };
        let above = self.fate_of(&Header { span: parent, ..*call }, calls, moment, depth + 1);
        let caller = self.parents.find(parent).map(|slot| self.parents.get(slot));
        let is_one_of_many = caller.is_some_and(|caller| {
            caller.calls_to(site) >= self.fold_after && !is_loop(caller, ticks(), moment.clock)
        });
        let owner = match above {
            Fate::Shared(row) => row,
            Fate::Own if is_one_of_many => parent,
            Fate::Own => return Fate::Own,
        };
        let Some(row) = self.folds.span_of((owner, site), call, moment.now) else { return Fate::Own };
        let fate = Fate::Shared(row);
        let Some(slot) = self.parents.enter(call.span, ticks(), moment.now) else { return Fate::Own };
        self.parents.get_mut(slot).fate = fate;
        fate
    }

    /// Decides which calls share a row, callers before callees. A call with a row of its own below calls that share one
    /// is put below their row.
    pub(super) fn decide_rows(
        &mut self,
        calls: &mut [Drained],
        rings: &mut [(usize, Vec<u64>)],
        moment: &Moment<'_>,
    ) {
        for call in calls.iter_mut().rev() {
            let Some(parent) = call.parent else { continue };
            let Parent { fate, span, .. } = *self.parents.get(parent);
            let own = call.own.map(|own| self.parents.get(own));
            let is_named = own.is_some_and(|own| own.is_named);
            let foreseen = own.map_or(Fate::Own, |own| own.fate);
            let is_expected = fate != Fate::Own || foreseen != Fate::Own;
            let may_share = call.row == Row::OneOfMany || is_expected && may_share(&call.header, moment);
            let shares = may_share && !is_named;
            let above = if let Fate::Shared(row) = fate { row } else { span };
            let key = (above, call.header.site);
            let row = shares.then(|| self.folds.span_of(key, &call.header, moment.now)).flatten();
            let own_fate = if let Some(row) = row {
                call.row = Row::Shared(key);
                Fate::Shared(row)
            } else {
                call.row = Row::Own;
                if foreseen == Fate::Shared(call.header.span) {
                    self.folds.part_from(key, call.header.span);
                }
                self.parents.get_mut(parent).is_named |= fate == Fate::Own;
                if above != call.header.parent {
                    rings[call.ring as usize].1[call.at as usize + place::PARENT] = above;
                }
                Fate::Own
            };
            if let Some(own) = call.own {
                self.parents.get_mut(own).fate = own_fate;
            }
        }
    }
}

/// Returns true if a call may share a row: it did not fail, and it was not slow.
fn may_share(header: &Header, moment: &Moment<'_>) -> bool {
    if header.outcome != Outcome::Ok || !matches!(header.kept, Kept::Sampled | Kept::First) {
        return false;
    }
    let Some(function) = moment.functions.get(header.site) else { return true };
    match function.site.slow_ns() {
        Some(declared) => moment.clock.duration_ns(header.duration) < declared,
        None => header.duration < function.site.slow_ticks.load(Ordering::Relaxed),
    }
}
