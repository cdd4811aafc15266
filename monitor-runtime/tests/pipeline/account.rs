//! Compares the rows and counts in the store with the calls that the model saw. Every call must be accounted for: in a
//! row, in a folded failure, or in a count with its reason.

use std::collections::{HashMap, HashSet};

use super::ledger::Entries;
use super::program::{ALWAYS, FUNCTIONS, Functions, Program, Seen, error_text};
use crate::batch::{CallRow, CallStats};
use crate::collect::health::Health;
use crate::record::{Kept, Outcome};

const OUTCOMES: [Outcome; 4] = [Outcome::Ok, Outcome::Error, Outcome::Panic, Outcome::Cancelled];

/// Asserts that the store and the health report account for every call.
pub(super) fn check(
    program: &Program,
    functions: &Functions,
    seen: &[Seen],
    entries: &Entries,
    health: &Health,
) {
    each_call_has_one_row(entries);
    let mut dropped = 0;
    for function in 0..FUNCTIONS {
        let id = functions.id(function);
        let figures = figures(entries, id);
        dropped += figures.dropped;
        counts_are_exact(id, &figures, seen.iter().filter(|call| call.function == function));
        let of_function = entries.calls.iter().filter(|row| row.function == id);
        let in_rows: u64 = of_function.map(CallRow::calls).sum();
        assert_eq!(in_rows, figures.recorded, "each call that counts as recorded is in a row: {figures:?}");
        for outcome in &OUTCOMES[1..] {
            no_failure_is_lost(id, function, *outcome, seen, entries);
        }
    }
    rows_say_what_was_seen(program, functions, seen, entries);
    let reported = health.dropped.total() + health.folded_errors;
    assert_eq!(dropped, reported, "every loss has a reason: {health:?}");
    if program.is_ample() {
        assert_eq!(dropped, 0, "rows are lost although there is room: {health:?}");
    }
}

impl Program {
    /// Returns true if there is enough memory for all calls and the store never refuses a row.
    fn is_ample(&self) -> bool {
        self.rings_bytes >= 32 << 20
            && self.memory_bytes >= 64 << 20
            && !self.answers.contains(&super::ledger::Answer::Rejected)
    }
}

fn each_call_has_one_row(entries: &Entries) {
    let mut spans = HashSet::new();
    for row in &entries.calls {
        assert!(spans.insert(row.span_id), "written twice: {row:?}");
        assert!(row.trace_id != 0 && row.busy_ns <= row.duration_ns, "{row:?}");
    }
}

/// Sums the windows of a function.
pub(super) fn figures(entries: &Entries, id: u32) -> CallStats {
    let of_function = entries.windows.iter().filter(|((function, _), _)| *function == id);
    of_function.fold(CallStats::default(), |sum, (_, window)| CallStats {
        calls: sum.calls + window.calls,
        errors: sum.errors + window.errors,
        panics: sum.panics + window.panics,
        cancelled: sum.cancelled + window.cancelled,
        recorded: sum.recorded + window.recorded,
        sampled_out: sum.sampled_out + window.sampled_out,
        dropped: sum.dropped + window.dropped,
        total_ns: sum.total_ns + window.total_ns,
        ..sum
    })
}

fn counts_are_exact<'a>(id: u32, figures: &CallStats, seen: impl Iterator<Item = &'a Seen>) {
    let mut counts = [0; 4];
    seen.for_each(|call| counts[call.outcome as usize] += 1);
    let CallStats { calls, errors, panics, cancelled, recorded, sampled_out, dropped, .. } = *figures;
    let ok = calls - errors - panics - cancelled;
    assert_eq!([ok, errors, panics, cancelled], counts, "calls of function {id} by outcome");
    assert_eq!(calls, recorded + sampled_out + dropped, "conservation: {figures:?}");
}

fn no_failure_is_lost(id: u32, function: usize, outcome: Outcome, seen: &[Seen], entries: &Entries) {
    let failed = seen.iter().filter(|call| call.function == function && call.outcome == outcome).count();
    let rows = entries.calls.iter().filter(|row| row.function == id && row.outcome == outcome).count();
    let folded = entries.folded.values().filter(|row| row.function == id && row.outcome == outcome);
    let folded = folded.map(|row| row.count as usize).sum::<usize>();
    // The recorder also folds failures whose rows the store rejects for good.
    assert_eq!(rows + folded, failed, "{outcome:?}: {rows} rows, {folded} folded");
}

/// Asserts that each row agrees with the call that the model saw. The number that a call captured identifies its row;
/// a call that was only counted captured none.
fn rows_say_what_was_seen(program: &Program, functions: &Functions, seen: &[Seen], entries: &Entries) {
    let seen: HashMap<u64, &Seen> = seen.iter().map(|call| (call.number, call)).collect();
    let mut numbers = HashMap::new();
    for row in &entries.calls {
        let Some(number) = captured_number(row) else {
            // Calls that share a row may all have been summed up on their thread, which keeps no arguments.
            let has_none = row.kept != Kept::Sampled || row.shared.is_some();
            assert!(has_none, "a sampled call has its arguments: {row:?}");
            continue;
        };
        assert!(numbers.insert(row.span_id, number).is_none());
        let call = seen[&number];
        assert_eq!((functions.id(call.function), call.outcome), (row.function, row.outcome), "{row:?}");
        assert_eq!(entries.threads[&row.thread], call.thread, "{row:?}");
        if let Some(error) = row.error.as_ref().filter(|_| row.outcome == Outcome::Error) {
            assert_eq!(*error, error_text(number));
        }
        assert!(row.weight >= 1.0, "{row:?}");
        if program.max_rate == 0 && row.kept == Kept::Sampled && is_always_recorded(call, &seen) {
            assert!(
                (row.weight - row.calls() as f64).abs() < f64::EPSILON,
                "a call that is always recorded has weight 1: {row:?}"
            );
        }
    }
    let distinct: HashSet<&u64> = numbers.values().collect();
    assert_eq!(distinct.len(), numbers.len(), "a number is in two rows");
    // Calls that share a row are below the row of their caller's, and that may be shared as well.
    let is_shared: HashSet<u64> =
        entries.calls.iter().filter(|row| row.shared.is_some()).map(|row| row.span_id).collect();
    let in_trees = entries.calls.iter().filter(|row| row.parent_id != 0 && row.shared.is_none());
    if program.is_ample() && program.max_rate == 0 {
        let spans: HashSet<u64> = entries.calls.iter().map(|row| row.span_id).collect();
        let orphan = entries.calls.iter().find(|row| row.shared.is_some() && !spans.contains(&row.parent_id));
        assert!(orphan.is_none(), "the row of the caller is missing: {orphan:?}");
    }
    for row in in_trees.filter(|row| !is_shared.contains(&row.parent_id)) {
        if let (Some(number), Some(parent)) = (numbers.get(&row.span_id), numbers.get(&row.parent_id)) {
            assert!(is_parent(*parent, seen[number], &seen), "{parent} of {row:?}");
        }
    }
}

/// Returns true if this is the caller of a call, or the next one further out that was not only counted.
fn is_parent(parent: u64, call: &Seen, seen: &HashMap<u64, &Seen>) -> bool {
    let mut caller = call.parent;
    while let Some(number) = caller.filter(|number| *number != parent) {
        let between = seen[&number];
        caller = between.parent.filter(|_| between.function >= ALWAYS);
    }
    caller.is_some()
}

/// Returns the number that the call captured.
fn captured_number(row: &CallRow) -> Option<u64> {
    let args = row.args.as_ref()?;
    Some(args.strip_prefix(r#"{"number":"#)?.strip_suffix('}')?.parse().expect("a number"))
}

/// Returns true if neither the call nor any of its callers is of a function whose rate may change.
fn is_always_recorded(call: &Seen, seen: &HashMap<u64, &Seen>) -> bool {
    let mut call = call;
    loop {
        if call.function >= ALWAYS {
            return false;
        }
        match call.parent {
            Some(parent) => call = seen[&parent],
            None => return true,
        }
    }
}
