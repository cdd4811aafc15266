//! The calls that threads summed up themselves, because their rings were filling up. A slot holds the sum of the calls
//! of one function below one caller.
//!
//! Takes the slots of all threads; gives the calls that were added to each slot since it was last taken, callers before
//! callees. If the caller of a slot shares a row itself, the slot is taken in the same drain as that of the caller or
//! in a later one, so that the row of the caller is known. Each call is taken once.

use std::collections::{HashMap, HashSet};

use super::parents::Fate;
use super::{Moment, Trees};
use crate::accountant::Part;
use crate::by_number::NumberMap;
use crate::growth::MakeRoom as _;
use crate::limits;
use crate::record::{Fold, Header, Kept, Outcome};
use crate::thread::fold_slot::SharedCalls;

/// The calls that were taken from slots.
#[derive(Debug, Default)]
pub(super) struct TakenBursts {
    /// The calls and the version of each slot when it was last taken, by the place of the thread and the number of the
    /// slot.
    slots: HashMap<(usize, usize), (SharedCalls, u64)>,
    /// The rows of the slots that were taken lately, by the span that their callees name as their caller. They are kept
    /// because a callee may be added to its slot just after the slot of its caller was taken.
    young: NumberMap<u64, TakenRow>,
    old: NumberMap<u64, TakenRow>,
    /// The calls for whose row there was no memory in the last drain.
    pub(super) waiting: Vec<SharedCalls>,
    /// The number of calls of each function that were added to a row and are not counted as recorded yet.
    in_rows: HashMap<u32, u64>,
    /// True if the calls under way were ended because the process exits, so that each of them has a row of its own.
    are_callers_ended: bool,
}

/// The row of calls that were taken from a slot.
#[derive(Debug, Clone, Copy)]
struct TakenRow {
    site: u32,
    row: u64,
    /// The span of the nearest caller that is not in a slot itself.
    top: u64,
}

impl TakenBursts {
    fn row(&self, span: u64) -> Option<TakenRow> {
        self.young.get(&span).or_else(|| self.old.get(&span)).copied()
    }

    fn note_row(&mut self, span: u64, row: TakenRow) {
        if self.young.len() >= limits::FOLDS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        if self.young.make_room(1) {
            self.young.insert(span, row);
        }
    }

    /// Returns true if there is memory to note that calls of one more slot are taken.
    fn make_room(&mut self) -> bool {
        self.slots.make_room(1) && self.young.make_room(1) && self.in_rows.make_room(1)
    }
}

impl Trees {
    /// Returns the calls that threads have added to their slots since the last drain, and adds their callers to
    /// `parents`.
    pub(super) fn take_bursts(&mut self, moment: &Moment<'_>) -> Vec<SharedCalls> {
        let mut taken = std::mem::take(&mut self.bursts.waiting);
        for (place, state) in self.rings.states().enumerate() {
            let Some(bursts) = state.bursts.get() else { continue };
            let before = &self.bursts.slots;
            let is_new = |slot, version| before.get(&(place, slot)).is_none_or(|(_, last)| *last != version);
            let mut read = bursts.read(self.bursts.are_callers_ended, is_new);
            let mut spans: HashSet<u64> = HashSet::new();
            loop {
                let waiting = read.len();
                read.retain(|(slot, calls, version)| {
                    let is_known = !calls.is_below
                        || spans.contains(&calls.parent)
                        || self.bursts.row(calls.parent).is_some();
                    // Calls that cannot be noted as taken, or have no room for their row, stay in their slot until the
                    // next drain.
                    let has_room = is_known
                        && taken.make_room(1)
                        && spans.make_room(1)
                        && self.bursts.make_room()
                        && self.folds.make_room(taken.len() + 1);
                    if has_room {
                        spans.insert(calls.span);
                        let earlier = self.bursts.slots.insert((place, *slot), (*calls, *version));
                        taken.push(earlier.map_or(*calls, |(earlier, _)| calls.growth_since(&earlier)));
                        bursts.note_taken(*slot, *version);
                    }
                    !has_room
                });
                if read.len() == waiting {
                    break;
                }
            }
        }
        for calls in taken.iter().filter(|calls| !calls.is_below) {
            let Some(parent) = self.parents.enter(calls.parent, calls.start, moment.now) else { continue };
            // The callee is noted with no calls: the number of the burst would deny a row to the first calls, whose
            // records may come later than these sums.
            self.parents.get_mut(parent).count_all(calls.site, 0);
        }
        taken
    }

    /// Adds calls that threads have summed up to the rows that they share. Calls for whose row there is no memory wait
    /// for the next drain.
    pub(super) fn add_bursts(&mut self, mut bursts: Vec<SharedCalls>, moment: &Moment<'_>) {
        bursts.retain(|calls| !self.add_burst(calls, moment));
        self.bursts.waiting = bursts;
    }

    /// Adds calls to the row that they share. Returns false if there is no memory for the row.
    fn add_burst(&mut self, calls: &SharedCalls, moment: &Moment<'_>) -> bool {
        let known = if calls.is_below { self.bursts.row(calls.parent) } else { None };
        let (above, top) = if let Some(TakenRow { site, row, top }) = known {
            self.learn_edges_to(site, &[calls.site]);
            (row, top)
        } else {
            (self.row_above(calls.parent), calls.parent)
        };
        let key = (above, calls.site);
        let header = header_of(calls);
        let Some(row) = self.folds.span_of(key, &header, moment.now) else {
            self.rings.home.accountant.note_refused(Part::Trees);
            return false;
        };
        self.folds.add_all(key, &header, calls.thread, &fold_of(calls));
        *self.bursts.in_rows.entry(calls.site).or_default() += calls.calls;
        self.bursts.note_row(calls.span, TakenRow { site: calls.site, row, top });
        if let Some(top) = self.parents.find(top) {
            self.parents.get_mut(top).below.add_folded(calls.site, calls.weight);
        }
        true
    }

    /// Hands over the calls that were added to rows since they were last handed over: the function and their number.
    /// Those for which `take` returns false are handed over again. They are recorded from now on and not from the moment
    /// at which their tally counted them, because a kill loses the calls that are still in a slot.
    pub(in crate::collect) fn take_shared(&mut self, mut take: impl FnMut(u32, u64) -> bool) {
        self.bursts.in_rows.retain(|site, calls| !take(*site, *calls));
    }

    /// Takes from now on the calls of all slots, because the process exits and every call under way is given a row.
    pub(in crate::collect) fn end_callers(&mut self) {
        self.bursts.are_callers_ended = true;
    }

    /// Returns the span of the row below which the callees of this caller share rows: the row that the caller shares,
    /// or its own. A caller that does not share a row keeps a row of its own from now on.
    fn row_above(&mut self, caller: u64) -> u64 {
        let Some(parent) = self.parents.find(caller) else { return caller };
        let parent = self.parents.get_mut(parent);
        match parent.fate {
            Fate::Shared(row) => row,
            Fate::Own => {
                parent.is_named = true;
                caller
            }
        }
    }
}

/// Returns the header of an average call among these.
pub(super) fn header_of(calls: &SharedCalls) -> Header {
    let SharedCalls { site, span, parent, trace, start, .. } = *calls;
    let mean = |ticks: u64| ticks / calls.calls.max(1);
    Header {
        site,
        outcome: Outcome::Ok,
        kept: Kept::Sampled,
        is_async: false,
        start,
        duration: mean(calls.total),
        span,
        parent,
        trace,
        weight: 1.0,
        args_bytes: 0,
        fields_bytes: 0,
        busy: 0,
        self_ticks: mean(calls.busy),
        is_nested: false,
    }
}

fn fold_of(calls: &SharedCalls) -> Fold {
    let SharedCalls { calls, total, longest, end, busy, weight, .. } = *calls;
    Fold { calls, total, longest, end, busy, weight }
}
