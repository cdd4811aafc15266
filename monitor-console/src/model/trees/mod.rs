//! Whole trees of calls with the time that each call spent itself: what flame graphs and timelines are drawn from.
//!
//! Takes the newest rows of a span, and their callers that began before it, cut to the span; gives the rows below the
//! entry points, callers before callees. A callee that outlives its caller is clipped to the caller here. The self time
//! of a call is its duration without the time that its callees cover, as `cover` defines it. If all rows have the same
//! weight, it is never negative, whatever clocks and stores say. For sync calls it is the time that the recorder adds
//! up in `self_ms` of `functions`. Of an async call the waits belong to it as well, so that the times of a tree add up
//! to the duration of its root.
//!
//! Each row counts with its own weight, because callees can be sampled at another rate than their caller: by their own
//! `sample`, or because slow and failed calls are always kept. A callee then stands for callees below other calls too,
//! so one call can be left with a negative time. The sum over the calls of a stack estimates their time without bias.

pub(crate) mod stacks;
pub(crate) mod lanes;

use std::collections::HashMap;

use anyhow::Result;

use super::basis::Basis;
use super::cover::{Stretch, measure_cover};
use super::forest::Forest;
use super::names::Name;
use super::number::to_f64;
use super::period::Period;
use super::rows::{Row, Rows};
use crate::pattern::Pattern;
use crate::store::Store;
use crate::terminal;

/// The most columns of a name in an export, because each event of a timeline repeats the name.
const NAME_COLUMNS: usize = 500;

/// A call of a tree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Node {
    /// The position of the row.
    pub(crate) row: usize,
    /// The caller's position among the nodes; `None` for an entry point.
    pub(crate) caller: Option<usize>,
    /// The time that all calls which the row stands for spent themselves, in ns. An estimate, which is negative if
    /// callees stand for callees of other calls as well.
    pub(crate) self_ns: f64,
}

/// Trees of calls.
#[derive(Debug, Default)]
pub(crate) struct Trees {
    /// The rows that were read.
    pub(crate) rows: Rows,
    /// The calls by caller.
    pub(crate) forest: Forest,
    /// The calls below the entry points, callers before their callees.
    pub(crate) nodes: Vec<Node>,
    /// The rows of the span that were left out, because the bound was reached.
    pub(crate) left_out: u64,
    /// File and line of each function.
    pub(crate) sources: HashMap<Name, (String, i64)>,
    last_write_ns: Option<i64>,
}

impl Trees {
    /// Loads the trees of a span from all these stores, of at most `limit` rows. With a pattern the trees begin at the outermost calls of the functions that
    /// it selects.
    pub(crate) fn load_all(
        stores: &[&Store],
        period: Period,
        pattern: Option<&Pattern>,
        limit: usize,
    ) -> Result<Self> {
        let rows = Rows::load_all_with_callers(stores, pattern, period, limit)?;
        let mut trees = Self::arrange(rows, pattern);
        if trees.rows.is_cut {
            let mut all = 0_u64;
            for store in stores {
                all = all.saturating_add(count_rows(store, period)?);
            }
            trees.left_out = all.saturating_sub((trees.rows.rows.len() - trees.rows.callers) as u64);
        }
        trees.last_write_ns = Basis::default().with_last_write_of(stores)?.last_write_ns;
        for store in stores {
            trees.read_sources(store)?;
        }
        Ok(trees)
    }

    /// Loads the trees of these calls of a store.
    pub(crate) fn load_calls(store: &Store, calls: &[i64], pattern: Option<&Pattern>) -> Result<Self> {
        let mut trees = Self::arrange(Rows::load_calls(store, calls)?, pattern);
        trees.last_write_ns = Basis::default().with_last_write(store)?.last_write_ns;
        trees.read_sources(store)?;
        Ok(trees)
    }

    fn read_sources(&mut self, store: &Store) -> Result<()> {
        let mut sources = HashMap::new();
        store.read_rows("SELECT name, file, line FROM function ORDER BY id", [], |row| {
            let text = |at: usize| -> Result<String> {
                Ok(String::from_utf8_lossy(row.get_ref(at)?.as_bytes()?).into_owned())
            };
            sources.insert(text(0)?, (text(1)?, row.get_ref(2)?.as_i64().unwrap_or(0)));
            Ok(())
        })?;
        for node in &self.nodes {
            let function = self.rows.rows[node.row].function;
            if let Some(source) = sources.get(self.rows.names.text(function)) {
                self.sources.entry(function).or_insert_with(|| source.clone());
            }
        }
        Ok(())
    }

    /// Arranges rows as trees, and measures the time of each call itself.
    pub(crate) fn arrange(rows: Rows, pattern: Option<&Pattern>) -> Self {
        let forest = Forest::plant(&rows.rows);
        let selected: Option<Vec<Name>> = pattern.map(|pattern| rows.select_functions(pattern));
        let is_selected =
            |at: usize| selected.as_ref().is_none_or(|s| s.binary_search(&rows.rows[at].function).is_ok());
        let mut nodes = Vec::new();
        // The callers on the way to a call may be outside of the trees, so a row comes with its caller's node, if it has one,
        // and with the span to which it is clipped.
        let mut rest: Vec<(usize, Option<usize>, (i64, i64))> = (0..rows.rows.len())
            .filter(|at| forest.parent(*at).is_none())
            .map(|at| (at, None, ALWAYS))
            .collect();
        let mut below: Vec<&Row> = Vec::new();
        while let Some((at, caller, within)) = rest.pop() {
            if caller.is_none() && !is_selected(at) {
                rest.extend(forest.children(at).map(|child| (child, None, ALWAYS)));
                continue;
            }
            let row = &rows.rows[at];
            let time = Stretch::new(row).clip(within);
            let span = (time.start_ns, time.end_ns);
            let mut self_ns = to_f64(time.sum_ns) * row.weight_of_one();
            below.clear();
            below.extend(forest.children(at).map(|child| &rows.rows[child]));
            below.sort_by(|a, b| a.weight_of_one().total_cmp(&b.weight_of_one()));
            for callees in below.chunk_by(|a, b| a.weight_of_one().total_cmp(&b.weight_of_one()).is_eq()) {
                let covered = measure_cover(time, callees.iter().copied().map(Stretch::new));
                self_ns -= to_f64(covered) * callees[0].weight_of_one();
            }
            rest.extend(forest.children(at).map(|child| (child, Some(nodes.len()), span)));
            nodes.push(Node { row: at, caller, self_ns });
        }
        Self { rows, forest, nodes, ..Self::default() }
    }

    /// Returns the names of functions and threads by number, each safe for a terminal and cut to a bounded length.
    pub(crate) fn show_name(&self, name: Name) -> String {
        let text = self.rows.names.text(name);
        // A character takes at most four bytes, and an escape is longer than the character.
        let head: String = text.chars().take(NAME_COLUMNS + 1).collect();
        let shown = terminal::escape(&head);
        terminal::truncate_end(&shown, NAME_COLUMNS).into_owned()
    }

    /// Returns the basis of a picture that is drawn from these trees.
    pub(crate) fn basis(&self) -> Basis {
        let rows = || self.nodes.iter().map(|node| &self.rows.rows[node.row]);
        Basis {
            rows: self.nodes.len() as u64,
            since_ns: rows().map(|row| row.start_ns).min(),
            until_ns: rows().map(|row| row.start_ns).max(),
            is_estimated: self.is_estimated(),
            // The basis need not say that rows were cut where `left_out` tells how many rows are missing.
            is_cut: self.rows.is_cut && self.left_out == 0,
            last_write_ns: self.last_write_ns,
            ..Basis::default()
        }
    }

    /// Returns true if the trees stand for more calls than they hold.
    pub(crate) fn is_estimated(&self) -> bool {
        self.left_out > 0 || self.nodes.iter().any(|node| self.rows.rows[node.row].weight_of_one() > 1.0)
    }
}

/// Counts the rows of a span. The ids of a range follow each other, so its rows are only counted one by one at the borders of
/// the span and where retention has left nothing but failures.
fn count_rows(store: &Store, period: Period) -> Result<u64> {
    // Ranges of older stores do not tell where retention has left failures alone. The newest range has ids in reserve.
    let (is_whole, newest) = if store.has_span_blocks()? {
        ("r.failed_only = 0", "SELECT COALESCE(MAX(id), 0) AS id FROM call")
    } else {
        ("FALSE", "SELECT 0 AS id")
    };
    let sql = format!(
        "SELECT SUM(CASE
           WHEN r.min_start_ns < ?1 OR r.max_start_ns > ?2
             THEN (SELECT COUNT(*) FROM calls c
                   WHERE c.call_id BETWEEN r.first_call AND r.last_call AND c.start_ns BETWEEN ?1 AND ?2)
           WHEN {is_whole} THEN MAX(MIN(r.last_call, newest.id) - r.first_call + 1, 0)
           ELSE (SELECT COUNT(*) FROM calls c WHERE c.call_id BETWEEN r.first_call AND r.last_call) END)
         FROM call_range r CROSS JOIN ({newest}) newest
         WHERE r.max_start_ns >= ?1 AND r.min_start_ns <= ?2 AND r.first_call <= r.last_call"
    );
    let all = store.read_integer(&sql, [period.from_ns, period.until_ns])?;
    Ok(all.and_then(|all| u64::try_from(all).ok()).unwrap_or(0))
}

/// The span of a call that is not clipped.
const ALWAYS: (i64, i64) = (i64::MIN, i64::MAX);

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    #![allow(clippy::cast_possible_truncation, reason = "whole nanoseconds")]
    use super::super::forest::tests::row;
    use super::*;

    /// Returns the row of a call of function `function` from `start` to `end`.
    pub(crate) fn call(span: i64, parent: Option<i64>, function: Name, start: i64, end: i64) -> Row {
        Row { function, start_ns: start, duration_ns: end - start, ..row(span, parent) }
    }

    /// Returns trees of rows whose functions are called `a`, `b`, `c` and `d`.
    pub(crate) fn trees(rows: Vec<Row>, pattern: Option<&str>) -> Trees {
        let mut loaded = Rows { rows, ..Rows::default() };
        for name in ["a", "b", "c", "d"] {
            loaded.names.add(name);
        }
        Trees::arrange(loaded, pattern.map(|text| text.parse().unwrap()).as_ref())
    }

    #[test]
    fn the_rows_of_a_span_are_counted_exactly() {
        let mut script = "INSERT INTO thread VALUES (1, 1, 'main', 1000);".to_owned();
        for range in 0..3 {
            let (first, start) = (range * 10 + 1, 1_000 + range * 100);
            for at in 0..5 {
                let (id, start) = (first + at, range * 100 + at * 10);
                let call =
                    format!("INSERT INTO call VALUES ({id}, 1, 1, {start}, 1, NULL, {id}, 0, 0, 0, 1.0);");
                script.push_str(&call);
            }
            let range = format!(
                "INSERT INTO call_range (first_call, last_call, min_start_ns, max_start_ns, at_ns)
                 VALUES ({first}, {}, {start}, {}, 0);",
                first + 4,
                start + 40
            );
            script.push_str(&range);
        }
        let (_folder, store) = crate::store::tests::store_of(&script);
        let count = |from_ns, until_ns| count_rows(&store, Period { from_ns, until_ns }).unwrap();
        assert_eq!(count_rows(&store, Period::WHOLE).unwrap(), 15);
        assert_eq!((count(1_000, 1_240), count(1_020, 1_210), count(1_100, 1_140)), (15, 10, 5));
        assert_eq!((count(1_041, 1_099), count(0, 1_000), count(1_120, i64::MAX)), (0, 1, 8));
        // Retention has left two failures of the first range, and the last range has ids in reserve.
        let changes = "DELETE FROM call WHERE id IN (1, 3, 4); UPDATE call_range SET failed_only = 1 WHERE first_call = 1;
                       UPDATE call_range SET last_call = 99 WHERE first_call = 21;";
        let (_folder, store) = crate::store::tests::store_of(&format!("{script}{changes}"));
        assert_eq!(count_rows(&store, Period::WHOLE).unwrap(), 12);
        let (_folder, store) =
            crate::store::tests::store_of(&format!("{script}{changes} PRAGMA user_version = 2"));
        assert_eq!(count_rows(&store, Period::WHOLE).unwrap(), 12);
    }

    fn self_times(trees: &Trees) -> Vec<(i64, f64)> {
        let mut times: Vec<_> =
            trees.nodes.iter().map(|node| (trees.rows.rows[node.row].span, node.self_ns)).collect();
        times.sort_by_key(|(span, _)| *span);
        times
    }

    #[test]
    fn self_time_is_what_no_callee_covers() {
        let rows = vec![
            call(1, None, 0, 0, 100),
            call(2, Some(1), 1, 10, 40),
            call(3, Some(1), 1, 30, 60),
            call(4, Some(2), 2, 10, 20),
        ];
        assert_eq!(self_times(&trees(rows, None)), [(1, 50.0), (2, 20.0), (3, 30.0), (4, 10.0)]);
    }

    /// A sync program on one thread that makes random calls, and the rows that the recorder makes of them: calls of a
    /// function below one caller share a row from the third on, and so does everything below them.
    struct Recorded {
        random: fastrand::Rng,
        now: i64,
        rows: Vec<Row>,
        shared: HashMap<(usize, Name), usize>,
        /// The exact self time of each function, and the calls with shared rows.
        self_ns: [i64; 4],
        folded: i64,
    }

    impl Recorded {
        fn call(&mut self, function: Name, caller: Option<usize>, depth: u32) {
            let start = self.now;
            let at = self.find_row(function, caller);
            let mut own = 0;
            let mut compute = |random: &mut fastrand::Rng, now: &mut i64| {
                let ns = random.i64(0..50);
                own += ns;
                *now += ns;
            };
            compute(&mut self.random, &mut self.now);
            for _ in 0..if depth < 4 { self.random.u32(0..9) } else { 0 } {
                let callee = self.random.u32(0..4);
                self.call(callee, Some(at), depth + 1);
                compute(&mut self.random, &mut self.now);
            }
            self.self_ns[function as usize] += own;
            let row = &mut self.rows[at];
            row.last_ns = Some(self.now);
            // The row has the sum until all is recorded.
            row.duration_ns += self.now - start;
        }

        fn find_row(&mut self, function: Name, caller: Option<usize>) -> usize {
            let is_below =
                |row: &&Row| row.function == function && row.parent == caller.map(|at| self.rows[at].span);
            let is_shared = caller.is_some_and(|at| {
                self.rows[at].busy_ns == 0 || self.rows.iter().filter(is_below).count() >= 2
            });
            if let (true, Some(caller)) = (is_shared, caller) {
                if let Some(at) = self.shared.get(&(caller, function)) {
                    self.rows[*at].shared += 1;
                    self.folded += 1;
                    return *at;
                }
                self.shared.insert((caller, function), self.rows.len());
            }
            let span = i64::try_from(self.rows.len()).unwrap() + 1;
            let new = call(span, caller.map(|at| self.rows[at].span), function, self.now, self.now);
            // A busy time of 0 marks rows that calls share.
            self.rows.push(Row { busy_ns: i64::from(!is_shared), ..new });
            self.rows.len() - 1
        }
    }

    #[test]
    fn self_times_of_a_sync_program_are_exact_whatever_rows_its_calls_share() {
        let mut folded = 0;
        for seed in 0..40 {
            let random = fastrand::Rng::with_seed(seed);
            let empty = (Vec::new(), HashMap::new(), [0; 4], 0);
            let (rows, shared, self_ns, none) = empty;
            let mut program = Recorded { random, now: 1_000, rows, shared, self_ns, folded: none };
            program.call(0, None, 0);
            for row in &mut program.rows {
                row.duration_ns /= i64::from(row.shared);
                row.last_ns = row.last_ns.filter(|_| row.shared > 1);
                row.weight = f64::from(row.shared);
            }
            folded += program.folded;
            let trees = trees(program.rows, None);
            let mut found = [0; 4];
            for node in &trees.nodes {
                found[trees.rows.rows[node.row].function as usize] += node.self_ns as i64;
            }
            assert_eq!(found.iter().sum::<i64>(), program.now - 1_000, "{seed}");
            // A shared row has the mean of its calls in whole nanoseconds.
            let is_exact = |(found, exact): (&i64, &i64)| (found - exact).abs() <= program.folded + 1;
            assert!(
                found.iter().zip(&program.self_ns).all(is_exact),
                "{seed}: {found:?} {:?}",
                program.self_ns
            );
        }
        assert!(folded > 1_000, "{folded}");
    }

    #[test]
    fn a_callee_that_outlives_its_caller_is_clipped_with_all_below_it() {
        let rows = vec![call(1, None, 0, 0, 100), call(2, Some(1), 1, 90, 300), call(3, Some(2), 2, 95, 250)];
        assert_eq!(self_times(&trees(rows, None)), [(1, 90.0), (2, 5.0), (3, 5.0)]);
    }

    #[test]
    fn wrong_clocks_and_durations_give_no_negative_time() {
        let rows = vec![
            call(1, None, 0, 1_000, 900),
            call(2, Some(1), 1, 0, i64::MAX),
            call(3, None, 0, i64::MAX, i64::MAX),
            Row { duration_ns: i64::MAX, shared: u32::MAX, ..call(4, None, 0, i64::MIN, i64::MIN) },
        ];
        assert!(trees(rows, None).nodes.iter().all(|node| node.self_ns >= 0.0));
    }

    #[test]
    fn a_pattern_starts_the_trees_at_its_outermost_calls() {
        let rows = vec![
            call(1, None, 0, 0, 100),
            call(2, Some(1), 1, 0, 50),
            call(3, Some(2), 2, 0, 40),
            call(4, Some(3), 1, 0, 30),
            call(5, Some(1), 3, 60, 70),
        ];
        let trees = trees(rows, Some("b"));
        assert_eq!(self_times(&trees), [(2, 10.0), (3, 10.0), (4, 30.0)]);
        assert_eq!(trees.nodes.iter().filter(|node| node.caller.is_none()).count(), 1);
    }

    #[test]
    fn each_row_counts_with_its_own_weight() {
        let weighed = |weight: f64, row: Row| Row { weight, ..row };
        let rows = vec![
            weighed(10.0, call(1, None, 0, 0, 100)),
            weighed(10.0, call(2, Some(1), 1, 0, 50)),
            // Overlaps with the other callees; a slow call, which would have a row in any tree.
            weighed(1.0, call(3, Some(1), 2, 40, 60)),
            Row { shared: 4, ..weighed(400.0, call(4, Some(1), 3, 70, 72)) },
        ];
        let expected = [(1, 1000.0 - 500.0 - 20.0 - 800.0), (2, 500.0), (3, 20.0), (4, 800.0)];
        assert_eq!(self_times(&trees(rows.clone(), None)), expected);
        let below = trees(rows, Some("d"));
        assert_eq!(self_times(&below), [(4, 800.0)]);
        assert!(below.is_estimated());
        let rows = vec![call(1, None, 0, 0, 100), weighed(100.0, call(2, Some(1), 1, 0, 5))];
        assert!(trees(rows.clone(), None).is_estimated(), "the root is no estimate, but its callee is");
        assert!(!trees(vec![rows[0]], None).is_estimated());
    }
}
