//! `why`: what the slow and the failed calls of a function have in common against its other calls, where their time goes,
//! and when they happened.
//!
//! The question is answered on the function's rows: their captured values (`attributes`), their place in the trees
//! (`parts`) and their times (`when`). The rows are split (`split`), and the shares of each value on both sides are
//! compared (`lift`). An answer that lacks rows says so.

mod facts;
mod attributes;
mod debug_text;
mod split;
mod lift;
mod parts;
mod when;

pub(crate) use facts::{Bounds, CallFacts, Facts, read_all};
pub(crate) use lift::{Condition, Lift};
pub(crate) use parts::{Part, PartName};
pub(crate) use split::Cut;
pub(crate) use when::When;

/// The fewest rows that a side of a comparison needs.
pub(crate) const ROWS_MIN: f64 = 20.0;

/// The kind of calls that is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// The slow calls.
    Slow,
    /// The failed calls.
    Failed,
    /// The calls that a person chose.
    Chosen,
}

impl Group {
    /// Returns the group as a word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Failed => "failed",
            Self::Chosen => "chosen",
        }
    }
}

/// The answer for one kind of calls.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    /// The kind.
    pub(crate) group: Group,
    /// The duration from which a call counts as slow, and how the bound was found; `None` for failed calls.
    pub(crate) cut: Option<Cut>,
    /// The rows of the group, and of the other calls.
    pub(crate) rows: [u64; 2],
    /// The calls that the rows of both sides stand for.
    pub(crate) calls: [f64; 2],
    /// The mean duration of the group and of the others, in ns.
    pub(crate) mean_ns: [f64; 2],
    /// The values that the group has in common, the largest difference first; `Err` says why there is no answer.
    pub(crate) common: Result<Vec<Lift>, String>,
    /// The parts of the calls' time, the largest difference first.
    pub(crate) parts: Vec<Part>,
    /// The moments at which the calls of the group happened.
    pub(crate) when: When,
    /// A typical call of the group: the one of median duration.
    pub(crate) example: Option<i64>,
    /// The position of the store that the example is from.
    pub(crate) example_store: usize,
}

/// Answers for slow or for failed calls; `None` if the function has no such calls.
pub(crate) fn answer(facts: &Facts, group: Group) -> Option<Answer> {
    let calls = &facts.calls;
    let cut = match group {
        Group::Slow => Some(split::find(calls)?),
        Group::Failed | Group::Chosen => None,
    };
    let is_in = |call: &CallFacts| match (group, &cut) {
        (Group::Slow, Some(cut)) => call.duration_ns >= cut.from_ns,
        _ => call.is_failed,
    };
    let members: Vec<bool> = calls.iter().map(is_in).collect();
    compare(calls, group, cut, &members)
}

/// Answers for the calls that a person chose; `None` if no row is among them.
pub(crate) fn answer_chosen(facts: &Facts, is_chosen: impl Fn(&CallFacts) -> bool) -> Option<Answer> {
    let members: Vec<bool> = facts.calls.iter().map(is_chosen).collect();
    compare(&facts.calls, Group::Chosen, None, &members)
}

/// Compares the members of a group with the other calls; `None` without members.
fn compare(calls: &[CallFacts], group: Group, cut: Option<Cut>, members: &[bool]) -> Option<Answer> {
    if !members.contains(&true) {
        return None;
    }
    let side = |wanted: bool| {
        calls.iter().zip(members).filter(move |(_, is_in)| **is_in == wanted).map(|(call, _)| call)
    };
    let sides = [side(true).collect::<Vec<_>>(), side(false).collect::<Vec<_>>()];
    let weight = |side: &[&CallFacts]| side.iter().map(|call| call.weight).sum::<f64>();
    let time =
        |side: &[&CallFacts]| side.iter().map(|call| to_f64(call.duration_ns) * call.weight).sum::<f64>();
    let mean = |side: &[&CallFacts]| if side.is_empty() { 0.0 } else { time(side) / weight(side) };
    let mut by_duration = sides[0].clone();
    by_duration.sort_by_key(|call| (call.duration_ns, call.call_id));
    let typical = by_duration.get(by_duration.len() / 2);
    Some(Answer {
        group,
        rows: [sides[0].len() as u64, sides[1].len() as u64],
        calls: [weight(&sides[0]), weight(&sides[1])],
        mean_ns: [mean(&sides[0]), mean(&sides[1])],
        common: lift::find(&sides, group),
        parts: parts::compare(&sides),
        when: When::describe(calls, members),
        example: typical.map(|call| call.call_id),
        example_store: typical.map_or(0, |call| call.store),
        cut,
    })
}

#[expect(clippy::cast_precision_loss, reason = "figures are shown with three digits")]
fn to_f64(ns: i64) -> f64 {
    ns as f64
}

#[cfg(test)]
mod tests;
