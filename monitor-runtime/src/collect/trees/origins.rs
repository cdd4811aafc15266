//! The causes of failures: which failed callee made a call fail.
//!
//! Takes failed calls, callees before their callers; gives causes for the rows of the callers. A failed callee is
//! remembered at its caller until the caller's record comes. Where the caller's record comes first, because the two
//! travelled through different rings, the caller is remembered for two drains.

use super::causes::FailureOrigin;
use super::drained::Drained;
use super::parents::Slot;
use super::{Moment, Trees, is_loop};
use crate::batch::Cause;
use crate::batch::failures::{FailedCall, FailedCallees};
use crate::by_number::NumberMap;
use crate::capture::to_text;
use crate::growth::MakeRoom as _;
use crate::limits;
use crate::record::{Header, Outcome, Record, decode, unpack};

/// A failure whose cause may come late.
#[derive(Debug)]
pub(super) struct LateFailure {
    site: u32,
    outcome: Outcome,
    text: String,
}

impl Trees {
    /// Finds the causes of the failures among the calls, callees first.
    pub(super) fn trace_failures(
        &mut self,
        calls: &[Drained],
        rings: &[(usize, Vec<u64>)],
        moment: &Moment<'_>,
    ) {
        let mut failures = calls.iter().filter(|call| call.header.outcome.is_failure()).peekable();
        if failures.peek().is_none() && self.late.iter().all(NumberMap::is_empty) {
            return;
        }
        let mut late: NumberMap<u64, LateFailure> = NumberMap::default();
        for call in failures {
            let Header { site, span, outcome, .. } = call.header;
            let Some(function) = moment.functions.get(site) else { continue };
            let text = error_text(&rings[call.ring as usize].1[call.at as usize..]);
            let failed = FailedCall { site, span, outcome, text: &text, name: &function.name };
            let cause = call.own.and_then(|own| self.parents.get(own).failed.cause_of(&failed));
            if let Some(parent) = call.parent {
                self.remember(parent, &failed, cause.as_ref());
                self.find_late(call.header.parent, &failed, cause.as_ref(), &late, moment);
            }
            let begins_tree = |parent| is_loop(self.parents.get(parent), call.end(), moment.clock);
            let is_tree = call.parent.is_none_or(begins_tree);
            if cause.is_none() && late.len() < self.failed_max() / 8 && late.make_room(1) {
                let text = text.chars().take(limits::FAILURE_TEXT_BYTES_MAX).collect();
                late.insert(span, LateFailure { site, outcome, text });
            }
            if cause.is_some() || is_tree {
                self.causes.insert(span, FailureOrigin { cause: cause.map(Box::new), is_tree });
            }
        }
        let [before, last] = &mut self.late;
        *before = std::mem::replace(last, late);
    }

    /// Remembers a failed callee at its caller.
    fn remember(&mut self, parent: Slot, failed: &FailedCall<'_>, cause: Option<&Cause>) {
        let failed_max = self.failed_max();
        let callees = &mut self.parents.get_mut(parent).failed;
        if self.failed >= failed_max {
            self.causes.lost += 1;
            return;
        }
        let before = callees.len();
        callees.remember(failed, cause);
        self.failed += callees.len() - before;
    }

    /// Gives this cause to a caller whose record came before that of its failed callee, unless its row is written
    /// already.
    fn find_late(
        &mut self,
        caller: u64,
        failed: &FailedCall<'_>,
        cause: Option<&Cause>,
        now: &NumberMap<u64, LateFailure>,
        moment: &Moment<'_>,
    ) {
        let found = self.late.iter().chain([now]).find_map(|late| late.get(&caller));
        let Some(LateFailure { site, outcome, text }) = found else { return };
        let Some(function) = moment.functions.get(*site) else { return };
        let above = FailedCall { site: *site, span: caller, outcome: *outcome, text, name: &function.name };
        let mut callees = FailedCallees::default();
        callees.remember(failed, cause);
        if let Some(cause) = callees.cause_of(&above) {
            let is_tree = self.causes.take(caller).is_some_and(|origin| origin.is_tree);
            self.causes.insert(caller, FailureOrigin { cause: Some(Box::new(cause)), is_tree });
        }
    }

    /// Returns the origin of the failure of a call whose row is about to be written.
    pub(in super::super) fn take_origin(&mut self, span: u64) -> Option<FailureOrigin> {
        self.causes.take(span)
    }
}

/// Returns the text of the error or panic of the record at the start of these words.
fn error_text(words: &[u64]) -> String {
    let Some((Record::Call(header, values, bytes), _)) = decode(words) else { return String::new() };
    let before = usize::from(header.args_bytes) + usize::from(header.fields_bytes);
    let mut unpacked = Vec::new();
    // Without memory for its text, a failure is compared by an empty one.
    unpack(&values[before / 8..], bytes.saturating_sub(before / 8 * 8), &mut unpacked);
    match unpacked.get(before % 8..) {
        Some(tokens) if !tokens.is_empty() => to_text(tokens),
        _ => String::new(),
    }
}
