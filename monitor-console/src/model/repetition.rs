//! Repetitions: a function that one parent call calls again and again, one call after the other (N+1).
//!
//! The rules distinguish a repetition that one call could replace from loops that are meant: calls that overlap, calls
//! that are tried again after failures, recursion, work at the start of a process, and a caller that was handed the
//! list.

use foldhash::{HashMap, HashMapExt as _, HashSet, HashSetExt as _};

use anyhow::Result;
use serde_json::Value;

use super::forest::Forest;
use super::names::Name;
use super::number::to_f64;
use super::rows::{Row, Rows, mark_process};
use crate::store::Store;

/// The fewest calls under one parent call that are a repetition.
const CALLS_MIN: u64 = 10;
/// The fewest parent calls with a repetition.
const PARENTS_MIN: u64 = 3;
/// The number of calls from which a single parent call is enough.
const CALLS_OF_ONE_PARENT: u64 = 100;
/// The smallest share of the parents' time that a repetition takes.
const SHARE_MIN: f64 = 0.2;
/// The least time that all repetitions of a pair take together.
const TOTAL_NS_MIN: f64 = 5e6;
/// The time after the start of a process, in ns, within which a call of a function that is called once is
/// initialization.
const START_NS: i64 = 5_000_000_000;
/// The share of the repeated calls that a list among the caller's arguments has to explain.
const LIST_TOLERANCE: f64 = 0.1;

/// A function that is called repeatedly below one call of another.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Repetition {
    /// The calling function.
    pub(crate) caller: Name,
    /// The repeated function.
    pub(crate) callee: Name,
    /// The number of parent calls with a repetition that were read.
    pub(crate) parents: u64,
    /// The number of parent calls that the rows of these parents stand for.
    pub(crate) weight: f64,
    /// The most calls of the callee under one parent call.
    pub(crate) most: u64,
    /// The id of the parent call with the most calls, and of one of those calls.
    pub(crate) example: (i64, i64),
    /// The position of the store that the example is from.
    pub(crate) store: usize,
    /// The time of the repeated calls below the parent call of the example, in ns.
    pub(crate) example_ns: f64,
    /// The share of the time of all these parents that the repeated calls take.
    pub(crate) share: f64,
    /// The time of the repeated calls of all parents, in ns.
    pub(crate) total_ns: f64,
    /// The time that one call instead of each repetition would save, in ns.
    pub(crate) saved_ns: f64,
    /// The start of the earliest of these parent calls.
    pub(crate) since_ns: i64,
}

/// Finds the repetitions among rows of a store, the one that costs most first.
pub(crate) fn find(store: &Store, rows: &Rows, forest: &Forest) -> Result<Vec<Repetition>> {
    find_in(&[store], rows, forest)
}

/// Finds the repetitions among rows of several stores, the one that costs most first.
pub(crate) fn find_in(stores: &[&Store], rows: &Rows, forest: &Forest) -> Result<Vec<Repetition>> {
    let mut starts = HashMap::new();
    for (position, store) in stores.iter().enumerate() {
        let marked = read_starts(store)?.into_iter();
        starts.extend(marked.map(|(process, start)| (mark_process(position, process), start)));
    }
    let mut found = collect(rows, forest, &starts);
    let mut handed = Vec::new();
    for repetition in &found {
        let (parent, _) = repetition.example;
        let Some(store) = stores.get(repetition.store).or(stores.first()) else { continue };
        handed.push(read_args(store, parent)?.is_some_and(|args| holds_list(&args, repetition.most)));
    }
    let mut handed = handed.into_iter();
    found.retain(|_| !handed.next().unwrap_or(false));
    Ok(found)
}

/// Reads when each process started.
fn read_starts(store: &Store) -> Result<HashMap<i64, i64>> {
    let mut starts = HashMap::new();
    store.read_rows("SELECT process_id, started_ns FROM processes", [], |row| {
        starts.insert(row.get(0)?, row.get(1)?);
        Ok(())
    })?;
    Ok(starts)
}

/// Reads the captured arguments of a call; `None` if it has none.
pub(crate) fn read_args(store: &Store, call_id: i64) -> Result<Option<String>> {
    let row = store.read_first_row("SELECT args FROM calls WHERE call_id = ?1", [call_id])?;
    Ok(row.and_then(|row| row.first().and_then(|cell| cell.as_text().map(str::to_owned))))
}

/// Returns the repetitions among rows, whatever the callers' arguments are. `starts` are those of the processes.
fn collect(rows: &Rows, forest: &Forest, starts: &HashMap<i64, i64>) -> Vec<Repetition> {
    let recursive = find_recursive_pairs(rows, forest);
    let once = find_functions_called_once(&rows.rows);
    let mut found: HashMap<(Name, Name), Repetition> = HashMap::new();
    let mut parent_ns: HashMap<(Name, Name), f64> = HashMap::new();
    for (at, parent) in rows.rows.iter().enumerate() {
        let is_start = once.contains(&(parent.process, parent.function))
            && starts
                .get(&parent.process)
                .is_some_and(|start| parent.start_ns.saturating_sub(*start) < START_NS);
        if is_start {
            continue;
        }
        for (callee, group) in group_children(rows, forest, at) {
            if recursive.contains(&(parent.function, callee)) {
                continue;
            }
            let Some(run) = Run::measure(parent, &group) else { continue };
            let pair = (parent.function, callee);
            *parent_ns.entry(pair).or_default() += to_f64(parent.duration_ns) * parent.weight;
            found.entry(pair).or_insert_with(|| Repetition::new(pair)).add(parent, &run);
        }
    }
    let mut found: Vec<_> = found
        .into_iter()
        .map(|(pair, repetition)| {
            let whole = parent_ns.get(&pair).copied().unwrap_or(0.0).max(1.0);
            Repetition { share: (repetition.total_ns / whole).min(1.0), ..repetition }
        })
        .filter(|repetition| {
            let is_usual = repetition.parents >= PARENTS_MIN || repetition.most >= CALLS_OF_ONE_PARENT;
            is_usual && repetition.share >= SHARE_MIN && repetition.total_ns >= TOTAL_NS_MIN
        })
        .collect();
    found.sort_by(|a, b| {
        b.saved_ns.total_cmp(&a.saved_ns).then_with(|| (a.caller, a.callee).cmp(&(b.caller, b.callee)))
    });
    found
}

/// The calls of one function below one parent call, one after the other. Where parent calls share a row, these are
/// their mean, the number of calls rounded up.
struct Run {
    calls: u64,
    total_ns: f64,
    example: i64,
}

impl Run {
    /// Measures the calls. Returns `None` if they are few, mostly failed, overlap, or take more than the parent's
    /// time or a small share of it, or if they do not belong to the same sample as the parent.
    fn measure(parent: &Row, group: &[&Row]) -> Option<Self> {
        let parents = parent.shared.max(1);
        let below: u64 = group.iter().map(|row| u64::from(row.shared)).sum();
        let calls = below.div_ceil(u64::from(parents));
        let failed: u64 = group.iter().filter(|row| row.is_failed).map(|row| u64::from(row.shared)).sum();
        if calls < CALLS_MIN || failed * 2 >= below {
            return None;
        }
        let is_same_sample = |row: &&Row| (row.weight_of_one() / parent.weight_of_one() - 1.0).abs() < 0.01;
        let below_ns: f64 =
            group.iter().map(|row| to_f64(row.duration_ns.max(0)) * f64::from(row.shared)).sum();
        let total_ns = below_ns / f64::from(parents);
        // Clocks of two threads may differ by a little, and calls that follow one another may share a moment.
        let slack = |row: &Row| (row.duration_ns / 20).max(1_000);
        let overlaps =
            group.windows(2).any(|pair| pair[1].start_ns.saturating_add(slack(pair[1])) < pair[0].end_ns());
        let fits = total_ns <= to_f64(parent.duration_ns) * 1.01;
        let is_large = total_ns >= SHARE_MIN * to_f64(parent.duration_ns);
        let is_run = group.iter().all(is_same_sample) && !overlaps && fits && is_large;
        is_run.then(|| Self { calls, total_ns, example: group[0].call_id })
    }
}

impl Repetition {
    fn new((caller, callee): (Name, Name)) -> Self {
        Self {
            caller,
            callee,
            parents: 0,
            weight: 0.0,
            most: 0,
            example: (0, 0),
            store: 0,
            example_ns: 0.0,
            share: 0.0,
            total_ns: 0.0,
            saved_ns: 0.0,
            since_ns: i64::MAX,
        }
    }

    fn add(&mut self, parent: &Row, run: &Run) {
        self.parents += 1;
        self.weight += parent.weight;
        if run.calls > self.most {
            self.most = run.calls;
            self.example = (parent.call_id, run.example);
            self.store = parent.store();
            self.example_ns = run.total_ns;
        }
        self.total_ns += run.total_ns * parent.weight;
        #[expect(clippy::cast_precision_loss, reason = "a number of calls")]
        let share_saved = 1.0 - 1.0 / run.calls as f64;
        self.saved_ns += run.total_ns * share_saved * parent.weight;
        self.since_ns = self.since_ns.min(parent.start_ns);
    }
}

/// Groups the calls below a call by function, each group by start.
fn group_children<'a>(rows: &'a Rows, forest: &Forest, at: usize) -> Vec<(Name, Vec<&'a Row>)> {
    let mut groups: HashMap<Name, Vec<&Row>> = HashMap::new();
    for child in forest.children(at) {
        groups.entry(rows.rows[child].function).or_default().push(&rows.rows[child]);
    }
    for group in groups.values_mut() {
        group.sort_by_key(|row| (row.start_ns, row.call_id));
    }
    groups.into_iter().collect()
}

/// Returns the pairs of caller and callee in which the callee leads back to the caller: those within one component of
/// the graph of calls.
fn find_recursive_pairs(rows: &Rows, forest: &Forest) -> HashSet<(Name, Name)> {
    let mut callees: HashMap<Name, HashSet<Name>> = HashMap::new();
    for (at, row) in rows.rows.iter().enumerate() {
        if let Some(parent) = forest.parent(at) {
            callees.entry(rows.rows[parent].function).or_default().insert(row.function);
        }
    }
    let components = find_components(&callees);
    let pairs = callees.iter().flat_map(|(caller, all)| all.iter().map(|callee| (*caller, *callee)));
    pairs.filter(|(caller, callee)| components.get(caller) == components.get(callee)).collect()
}

/// Returns the number of the component of each function: functions that lead to each other have the same one. This is Kosaraju's
/// algorithm, whose time is linear in the pairs: a program of a thousand functions can have a hundred thousand of them.
fn find_components(callees: &HashMap<Name, HashSet<Name>>) -> HashMap<Name, usize> {
    let mut callers: HashMap<Name, HashSet<Name>> = HashMap::new();
    for (caller, all) in callees {
        for callee in all {
            callers.entry(*callee).or_default().insert(*caller);
        }
    }
    let functions: HashSet<Name> = callees.keys().chain(callers.keys()).copied().collect();
    let mut seen = HashSet::new();
    let mut finished = Vec::with_capacity(functions.len());
    for function in functions {
        walk(function, callees, &mut seen, |function| finished.push(function));
    }
    seen.clear();
    let mut components = HashMap::new();
    for (number, function) in finished.into_iter().rev().enumerate() {
        walk(function, &callers, &mut seen, |function| {
            components.insert(function, number);
        });
    }
    components
}

/// Calls `finish` in post-order with each function that can be reached from this one and was not seen yet.
fn walk(
    from: Name,
    next: &HashMap<Name, HashSet<Name>>,
    seen: &mut HashSet<Name>,
    mut finish: impl FnMut(Name),
) {
    let list = |function: Name| next.get(&function).into_iter().flatten();
    if !seen.insert(from) {
        return;
    }
    let mut open = vec![(from, list(from))];
    while let Some((function, rest)) = open.last_mut() {
        if let Some(reached) = rest.find(|function| seen.insert(**function)) {
            open.push((*reached, list(*reached)));
        } else {
            finish(*function);
            open.pop();
        }
    }
}

/// Returns the functions that a process called once, each with the process.
fn find_functions_called_once(rows: &[Row]) -> HashSet<(i64, Name)> {
    let mut calls: HashMap<(i64, Name), f64> = HashMap::new();
    for row in rows {
        *calls.entry((row.process, row.function)).or_default() += row.weight;
    }
    calls.into_iter().filter(|(_, calls)| *calls < 1.5).map(|(key, _)| key).collect()
}

/// Returns true if the arguments hold a list with about as many items as there are calls: the caller was handed the
/// items that it goes through.
fn holds_list(args: &str, calls: u64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "a number of items")]
    let is_alike = |items: u64| items > 0 && (items as f64 / calls as f64 - 1.0).abs() <= LIST_TOLERANCE;
    match serde_json::from_str::<Value>(args) {
        Ok(Value::Object(arguments)) => arguments.values().filter_map(count_items).any(is_alike),
        _ => false,
    }
}

/// Returns the number of items of a captured list, also of one that was truncated; `None` for any other value.
pub(crate) fn count_items(value: &Value) -> Option<u64> {
    match value {
        Value::Array(items) => {
            let note = items.last().and_then(Value::as_str).and_then(read_number_of_items);
            Some(note.unwrap_or(items.len() as u64))
        }
        Value::String(text) => read_number_of_items(text),
        _ => None,
    }
}

/// Reads the number from `[10000000 items, truncated]`.
fn read_number_of_items(text: &str) -> Option<u64> {
    let (number, _) = text.strip_prefix('[')?.split_once(" items, truncated]")?;
    number.trim_end_matches('+').parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use crate::model::forest::tests::row;

    const MS: i64 = 1_000_000;

    #[test]
    fn functions_that_lead_to_each_other_are_one_component() {
        let pairs = [(1, 2), (2, 3), (3, 1), (3, 4), (4, 5), (5, 5), (6, 4), (4, 7), (7, 4)];
        let mut callees: HashMap<Name, HashSet<Name>> = HashMap::new();
        for (caller, callee) in pairs {
            callees.entry(caller).or_default().insert(callee);
        }
        let components = find_components(&callees);
        let recursive: Vec<_> =
            pairs.into_iter().filter(|(caller, callee)| components[caller] == components[callee]).collect();
        assert_eq!(recursive, [(1, 2), (2, 3), (3, 1), (5, 5), (4, 7), (7, 4)]);
        // A chain that is far longer than a stack of calls could be.
        let chain = (0..200_000).map(|at| (at, HashSet::from_iter([at + 1]))).collect();
        assert_eq!(find_components(&chain).values().collect::<HashSet<_>>().len(), 200_001);
    }

    /// Three calls of function 0 that each call function 1 `calls` times, 1 ms each, `step` apart.
    fn parents(calls: i64, step: i64) -> Vec<Row> {
        let mut rows = Vec::new();
        for parent in 1..=3 {
            let (span, start_ns) = (parent * 1000, parent * 1_000 * MS);
            rows.push(Row { start_ns, duration_ns: calls * step.max(MS), ..row(span, None) });
            rows.extend((0..calls).map(|n| Row {
                function: 1,
                start_ns: start_ns + n * step,
                duration_ns: MS,
                ..row(span + n + 1, Some(span))
            }));
        }
        rows
    }

    fn collected(rows: Vec<Row>) -> Vec<Repetition> {
        let rows = Rows { rows, ..Rows::default() };
        collect(&rows, &Forest::plant(&rows.rows), &HashMap::new())
    }

    #[test]
    fn calls_one_after_the_other_are_a_repetition() {
        let found = collected(parents(20, MS));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].parents, found[0].most), (3, 20));
        assert!((found[0].share - 1.0).abs() < 1e-9 && (found[0].saved_ns - 57e6).abs() < 1e3, "{found:?}");
    }

    #[test]
    fn few_calls_overlapping_calls_small_shares_and_few_parents_are_none() {
        assert_eq!(collected(parents(9, MS)), []);
        assert_eq!(collected(parents(20, MS / 2)), []);
        assert_eq!(collected(parents(20, 6 * MS)), []);
        let mut two = parents(20, MS);
        two.retain(|row| row.span < 3000);
        assert_eq!(collected(two), []);
    }

    #[test]
    fn one_parent_is_enough_for_a_hundred_calls_also_if_they_share_a_row() {
        let shared = Row { function: 1, shared: 150, weight: 150.0, duration_ns: MS, ..row(2, Some(1)) };
        let found = collected(vec![Row { duration_ns: 160 * MS, ..row(1, None) }, shared]);
        assert_eq!((found.len(), found[0].most), (1, 150));
    }

    #[test]
    fn the_calls_below_parents_that_share_a_row_count_by_parent() {
        let below = |calls: u32, duration_ns: i64| {
            let parent = Row { shared: 836, weight: 836.0, duration_ns: MS, ..row(1, None) };
            let weight = f64::from(calls);
            collected(vec![
                parent,
                Row { function: 1, shared: calls, weight, duration_ns, ..row(2, Some(1)) },
            ])
        };
        assert_eq!(below(836, 500), []);
        let found = below(836 * 150, 6_000);
        assert_eq!((found.len(), found[0].most), (1, 150));
        assert!(
            (found[0].share - 0.9).abs() < 1e-9 && (found[0].total_ns - 752.4e6).abs() < 1e3,
            "{found:?}"
        );
    }

    #[test]
    fn attempts_recursion_and_another_sample_are_none() {
        let mut failed = parents(20, MS);
        failed
            .iter_mut()
            .filter(|row| row.function == 1 && row.span % 2 == 0)
            .for_each(|row| row.is_failed = true);
        assert_eq!(collected(failed), []);
        let mut recursive = parents(20, MS);
        recursive.push(row(9_000, Some(1_001)));
        assert_eq!(collected(recursive), []);
        let mut other = parents(20, MS);
        other.iter_mut().filter(|row| row.function == 0).for_each(|row| row.weight = 10.0);
        assert_eq!(collected(other), []);
    }

    #[test]
    fn a_call_at_the_start_of_its_process_is_initialization() {
        let shared = Row { function: 1, shared: 150, weight: 150.0, duration_ns: MS, ..row(2, Some(1)) };
        let rows =
            Rows { rows: vec![Row { duration_ns: 160 * MS, ..row(1, None) }, shared], ..Rows::default() };
        let forest = Forest::plant(&rows.rows);
        assert_eq!(collect(&rows, &forest, &HashMap::from_iter([(1, -MS)])), []);
        assert_eq!(collect(&rows, &forest, &HashMap::from_iter([(1, -2 * START_NS)])).len(), 1);
    }

    #[test]
    fn a_list_among_the_arguments_explains_as_many_calls() {
        assert!(holds_list("{\"ids\":[1,2,3,4]}", 4));
        assert!(holds_list(r#"{"ids":[1,2,3,"[1000 items, truncated]"]}"#, 1000));
        assert!(holds_list(r#"{"x":1,"ids":"[50 items, truncated]"}"#, 49));
        assert!(!holds_list("{\"ids\":[1,2,3,4]}", 41));
        assert!(!holds_list("{\"customer\":1}", 41));
        assert!(!holds_list("not json", 41));
    }
}
