//! Figures of functions over a span of time: counts, times and durations, summed over windows or half hours, and over stores.
//!
//! Counts, totals and maxima are exact sums. Histograms are merged exactly too, so a percentile is that of all calls of the
//! span. A window that an older version wrote has no histogram and adds nothing to percentiles.

#![allow(clippy::single_match_else, reason = "both cases are equal")]

use anyhow::{Result, bail};
use foldhash::HashMap;
use monitor_runtime::batch::CallStats;
use monitor_runtime::histogram::Histogram;
use monitor_runtime::store::schema::SLICE_NS;

use super::number::to_f64;
use super::period::Period;
use super::window_rows::{self, Grain, Wanted};
use crate::pattern::{self, Pattern};
use crate::report;
use crate::store::Store;

/// The first schema version whose windows have histograms.
const FIRST_VERSION_WITH_HISTOGRAMS: i64 = 2;

/// The span over which figures are summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    /// The windows of 10 s from the first to the last, counted from the Unix epoch.
    Windows(i64, i64),
    /// The half hours that retention has left.
    Whole,
}

impl Span {
    /// Returns the span over which the figures of a period are summed: each window that has a part of the period, as a
    /// whole.
    pub(crate) fn from_period(period: Period) -> Self {
        if period.is_whole() {
            return Self::Whole;
        }
        let (first, last) = period.to_windows();
        Self::Windows(first, last)
    }
}

/// The figures of a function.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Sums {
    /// The function, and where it is.
    pub(crate) function: String,
    pub(crate) file: String,
    pub(crate) line: i64,
    pub(crate) group_name: Option<String>,
    /// Calls by outcome.
    pub(crate) calls: i64,
    pub(crate) errors: i64,
    pub(crate) panics: i64,
    pub(crate) cancelled: i64,
    /// Calls with a row, and calls whose row was lost; windows do not have these counts.
    pub(crate) recorded: Option<i64>,
    pub(crate) dropped: Option<i64>,
    /// The time of the outermost calls; of calls within calls of the same function; of cancelled calls.
    pub(crate) total_ns: i64,
    pub(crate) nested_ns: i64,
    pub(crate) cancelled_ns: Option<i64>,
    /// The time outside of monitored callees, the time being polled, and the number of roots; older stores lack them.
    pub(crate) self_ns: Option<i64>,
    pub(crate) busy_ns: Option<i64>,
    pub(crate) roots: Option<i64>,
    /// The longest call.
    pub(crate) max_ns: i64,
    /// The share of calls that the attribute asks rows for.
    pub(crate) sample_rate: Option<f64>,
    /// True if some calls were only counted.
    pub(crate) is_estimated: bool,
    /// The durations.
    pub(crate) histogram: Histogram,
}

impl Sums {
    /// Returns the failed calls.
    pub(crate) fn failed(&self) -> i64 {
        self.errors.saturating_add(self.panics).saturating_add(self.cancelled)
    }

    /// Returns the mean duration of a call in ns; 0 without calls.
    pub(crate) fn mean_ns(&self) -> f64 {
        let all = self.total_ns.saturating_add(self.nested_ns).saturating_add(self.cancelled_ns.unwrap_or(0));
        if self.calls > 0 { to_f64(all) / to_f64(self.calls) } else { 0.0 }
    }

    /// Returns the duration that this share of the calls did not exceed, in ns; `None` without durations.
    pub(crate) fn percentile(&self, share: f64) -> Option<u64> {
        let max = u64::try_from(self.max_ns).unwrap_or(0);
        (self.histogram.total() > 0).then(|| self.histogram.percentile(share, max))
    }

    /// Adds the figures of the same function in another store.
    pub(crate) fn merge(&mut self, other: &Self) {
        let add = |a: Option<i64>, b: Option<i64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (one, other) => one.or(other),
        };
        self.calls = self.calls.saturating_add(other.calls);
        self.errors = self.errors.saturating_add(other.errors);
        self.panics = self.panics.saturating_add(other.panics);
        self.cancelled = self.cancelled.saturating_add(other.cancelled);
        self.recorded = add(self.recorded, other.recorded);
        self.dropped = add(self.dropped, other.dropped);
        self.total_ns = self.total_ns.saturating_add(other.total_ns);
        self.nested_ns = self.nested_ns.saturating_add(other.nested_ns);
        self.cancelled_ns = add(self.cancelled_ns, other.cancelled_ns);
        self.self_ns = add(self.self_ns, other.self_ns);
        self.busy_ns = add(self.busy_ns, other.busy_ns);
        self.roots = add(self.roots, other.roots);
        self.max_ns = self.max_ns.max(other.max_ns);
        self.is_estimated |= other.is_estimated;
        self.histogram.merge(&other.histogram);
    }
}

/// Returns true if the store has the figures of windows, which a span needs.
pub(crate) fn has_windows(store: &Store) -> Result<bool> {
    Ok(store.read_version()? >= FIRST_VERSION_WITH_HISTOGRAMS)
}

/// Returns the start of the earliest half hour that has calls, or, if it is later, the start of the earliest process,
/// in ns since the Unix epoch; `None` without calls.
pub(crate) fn find_first_counted(store: &Store) -> Result<Option<i64>> {
    let sql = format!(
        "SELECT MAX(MIN(slice) * {SLICE_NS}, COALESCE((SELECT MIN(started_ns) FROM process), 0)) FROM slice
         HAVING COUNT(*) > 0"
    );
    store.read_integer(&sql, [])
}

/// Reads the figures of the functions that a pattern selects, a row for each function.
pub(crate) fn read(store: &Store, pattern: Option<&Pattern>, span: Span) -> Result<Vec<Sums>> {
    let version = store.read_version()?;
    if version < FIRST_VERSION_WITH_HISTOGRAMS && span != Span::Whole {
        bail!(
            "{} has schema version {version}, whose windows have no histograms, so --since cannot give percentiles: \
             run a program with a newer version of monitored on this store, or leave --since out",
            store.path().display()
        );
    }
    let newer = store.has_span_blocks()?;
    let mut sums = match span {
        Span::Windows(first, last) => read_windows(store, (first, last), newer)?,
        // A batch that is written in between would change the totals and not the half hours that were read before.
        Span::Whole => store.read_together(|| read_slices(store, pattern, newer))?,
    };
    let mut found = Vec::new();
    let sql = "SELECT id, name, file, line, group_name, sample_rate FROM function
               WHERE ?1 IS NULL OR name GLOB ?1 OR name GLOB ?2 ORDER BY id";
    store.read_rows(sql, pattern::to_optional_globs(pattern), |row| {
        let cells = report::read_cells(row, 6)?;
        if let Some(sums) = sums.remove(&cells[0].to_integer().unwrap_or(0)) {
            let text = |at: usize| cells[at].as_text().map(str::to_owned);
            found.push(Sums {
                function: text(1).unwrap_or_default(),
                file: text(2).unwrap_or_default(),
                line: cells[3].to_integer().unwrap_or(0),
                group_name: text(4),
                sample_rate: cells[5].to_number(),
                ..sums
            });
        }
        Ok(())
    })?;
    Ok(found)
}

/// The columns that windows and half hours share, behind the function's id. The last ones are in newer stores.
const FIGURES: [&str; 7] = ["calls", "errors", "panics", "cancelled", "total_ns", "max_ns", "estimated"];
const NEWER_FIGURES: [&str; 5] = ["self_ns", "busy_ns", "cancelled_ns", "nested_ns", "roots"];

/// Returns the columns to select, and the number of the first column behind them.
fn list_figures(newer: bool) -> (String, usize) {
    let mut columns = vec!["function_id"];
    columns.extend(FIGURES);
    if newer {
        columns.extend(NEWER_FIGURES);
    }
    (columns.join(", "), columns.len())
}

/// Adds the figures of a row of [`list_figures`] to those of its function.
fn add_row<'a>(sums: &'a mut HashMap<i64, Sums>, row: &rusqlite::Row<'_>, newer: bool) -> &'a mut Sums {
    let number =
        |at: usize| -> i64 { row.get_ref(at).ok().and_then(|value| value.as_i64().ok()).unwrap_or(0) };
    let own = sums.entry(number(0)).or_default();
    for (at, figure) in
        [&mut own.calls, &mut own.errors, &mut own.panics, &mut own.cancelled, &mut own.total_ns]
            .into_iter()
            .enumerate()
    {
        *figure = figure.saturating_add(number(at + 1));
    }
    own.max_ns = own.max_ns.max(number(6));
    own.is_estimated |= number(7) != 0;
    if newer {
        let optional = [&mut own.self_ns, &mut own.busy_ns, &mut own.cancelled_ns, &mut own.roots];
        for (figure, at) in optional.into_iter().zip([8, 9, 10, 12]) {
            *figure = Some(figure.unwrap_or(0).saturating_add(number(at)));
        }
        own.nested_ns = own.nested_ns.saturating_add(number(11));
    }
    own
}

/// Reads the figures of windows by function. They are summed here and not by SQLite, which would sort a row for each
/// function and window.
fn read_windows(store: &Store, span: (i64, i64), newer: bool) -> Result<HashMap<i64, Sums>> {
    let wanted = Wanted { span, functions: None, processes: None, grain: Grain::Sum };
    let mut sums: HashMap<i64, (CallStats, Histogram)> = HashMap::default();
    window_rows::visit(store, wanted, |row| {
        let (stats, histogram) = sums.entry(row.function).or_default();
        stats.merge(&row.stats);
        histogram.merge_bytes(row.histogram);
    })?;
    Ok(sums
        .into_iter()
        .map(|(function, (stats, histogram))| (function, summarize(&stats, histogram, newer)))
        .collect())
}

/// Returns the figures of windows. Windows do not tell how many calls have a row.
fn summarize(stats: &CallStats, histogram: Histogram, newer: bool) -> Sums {
    let number = |figure: u64| i64::try_from(figure).unwrap_or(i64::MAX);
    let if_newer = |figure: u64| newer.then(|| number(figure));
    Sums {
        calls: number(stats.calls),
        errors: number(stats.errors),
        panics: number(stats.panics),
        cancelled: number(stats.cancelled),
        total_ns: number(stats.total_ns),
        nested_ns: number(stats.nested_ns),
        cancelled_ns: if_newer(stats.cancelled_ns),
        self_ns: if_newer(stats.self_ns),
        busy_ns: if_newer(stats.busy_ns),
        roots: if_newer(stats.roots),
        max_ns: number(stats.max_ns),
        is_estimated: stats.is_estimated,
        histogram,
        ..Sums::default()
    }
}

/// A function and a process that called it, by their ids.
type FunctionOfRun = (i64, i64);

/// The figures of half hours that only these have, and the number of their calls.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    calls: i64,
    recorded: i64,
    max_ns: i64,
    is_estimated: bool,
}

/// Reads the figures of half hours by function.
///
/// Those of a function in a run are what its total, one row, has more than the half hours that retention has deleted. Only
/// where the number of calls says that this is not so, because an older version deleted half hours or has no totals, are the
/// half hours and their buckets read.
fn read_slices(store: &Store, pattern: Option<&Pattern>, newer: bool) -> Result<HashMap<i64, Sums>> {
    let mut rest = count_slices(store, pattern)?;
    let mut sums = HashMap::default();
    read_totals(store, pattern, &mut rest, &mut sums)?;
    if rest.is_empty() {
        return Ok(sums);
    }
    let (columns, next) = list_figures(newer);
    let sql = format!("SELECT {columns}, recorded, dropped, process_id FROM slice");
    store.read_rows(&sql, [], |row| {
        let number = |at: usize| row.get::<_, i64>(at).unwrap_or(0);
        if rest.contains_key(&(number(0), number(next + 2))) {
            let own = add_row(&mut sums, row, newer);
            add_rows_of_calls(own, number(next), number(next + 1));
        }
        Ok(())
    })?;
    let mut histograms = HashMap::default();
    read_histograms_of_slices(store, &rest, &mut histograms)?;
    for (function, histogram) in histograms {
        if let Some(own) = sums.get_mut(&function) {
            own.histogram.merge(&histogram);
        }
    }
    Ok(sums)
}

/// Adds numbers of calls that have a row, and of calls whose row was lost.
fn add_rows_of_calls(own: &mut Sums, recorded: i64, dropped: i64) {
    own.recorded = Some(own.recorded.unwrap_or(0).saturating_add(recorded));
    own.dropped = Some(own.dropped.unwrap_or(0).saturating_add(dropped));
}

/// Counts the calls in the half hours of each function and run. They are added up here and not by SQLite, which would sort
/// them.
fn count_slices(store: &Store, pattern: Option<&Pattern>) -> Result<HashMap<FunctionOfRun, Counted>> {
    let sql = "SELECT function_id, process_id, calls, recorded, max_ns, estimated FROM slice
               WHERE ?1 IS NULL OR function_id IN (SELECT id FROM function WHERE name GLOB ?1 OR name GLOB ?2)";
    let mut counted: HashMap<FunctionOfRun, Counted> = HashMap::default();
    store.read_rows(sql, pattern::to_optional_globs(pattern), |row| {
        let number = |at: usize| row.get::<_, i64>(at).unwrap_or(0);
        let own = counted.entry((number(0), number(1))).or_default();
        own.calls = own.calls.saturating_add(number(2));
        own.recorded = own.recorded.saturating_add(number(3));
        own.max_ns = own.max_ns.max(number(4));
        own.is_estimated |= number(5) != 0;
        Ok(())
    })?;
    Ok(counted)
}

/// The columns of totals that are read behind the function's id.
const TOTALS: [&str; 13] = [
    "calls",
    "errors",
    "panics",
    "cancelled",
    "dropped",
    "roots",
    "total_ns",
    "self_ns",
    "busy_ns",
    "nested_ns",
    "cancelled_ns",
    "histogram",
    "process_id",
];

/// Adds the figures of the functions and runs of which the totals tell those of the half hours, and takes them out of
/// `counted`.
fn read_totals(
    store: &Store,
    pattern: Option<&Pattern>,
    counted: &mut HashMap<FunctionOfRun, Counted>,
    sums: &mut HashMap<i64, Sums>,
) -> Result<()> {
    if !store.has(&["function_total"])? {
        return Ok(());
    }
    let total = TOTALS.map(|figure| format!("t.{figure}")).join(", ");
    // The columns of what retention has deleted follow in the same order.
    let (expired, join) = if store.has(&["function_expired"])? {
        let join =
            "LEFT JOIN function_expired x ON x.process_id = t.process_id AND x.function_id = t.function_id";
        (TOTALS.map(|figure| format!("x.{figure}")).join(", "), join)
    } else {
        (TOTALS.map(|_| "NULL").join(", "), "")
    };
    let sql = format!(
        "SELECT t.function_id, {total}, {expired} FROM function_total t {join}
         WHERE ?1 IS NULL OR t.function_id IN (SELECT id FROM function WHERE name GLOB ?1 OR name GLOB ?2)"
    );
    store.read_rows(&sql, pattern::to_optional_globs(pattern), |row| {
        let number = |at: usize| row.get_ref(at).ok().and_then(|value| value.as_i64().ok()).unwrap_or(0);
        let left = |at: usize| number(1 + at).saturating_sub(number(1 + TOTALS.len() + at)).max(0);
        let histogram = |at: usize| -> Result<Histogram> {
            Ok(Histogram::from_bytes(row.get_ref(at)?.as_blob_or_null()?.unwrap_or_default()))
        };
        let key = (number(0), number(13));
        let Some(of_slices) = counted.get(&key).copied().filter(|counted| counted.calls == left(0)) else {
            return Ok(());
        };
        counted.remove(&key);
        let durations = histogram(12)?;
        let expired = histogram(12 + TOTALS.len())?;
        let durations = if expired.total() > 0 { durations.without(&expired) } else { durations };
        let own = sums.entry(key.0).or_default();
        let part = Sums {
            calls: left(0),
            errors: left(1),
            panics: left(2),
            cancelled: left(3),
            recorded: Some(of_slices.recorded),
            dropped: Some(left(4)),
            roots: Some(left(5)),
            total_ns: left(6),
            self_ns: Some(left(7)),
            busy_ns: Some(left(8)),
            nested_ns: left(9),
            cancelled_ns: Some(left(10)),
            max_ns: of_slices.max_ns,
            is_estimated: of_slices.is_estimated,
            histogram: durations,
            ..Sums::default()
        };
        own.merge(&part);
        Ok(())
    })
}

/// Adds the figures of functions of several stores. Functions of equal name and place are one function. Each comes with
/// the positions of the stores that have it.
pub(crate) fn merge(parts: Vec<Vec<Sums>>) -> Vec<(Sums, Vec<usize>)> {
    let mut places: HashMap<(String, String, i64), usize> = HashMap::default();
    let mut merged: Vec<(Sums, Vec<usize>)> = Vec::new();
    for (position, part) in parts.into_iter().enumerate() {
        for sums in part {
            let key = (sums.function.clone(), sums.file.clone(), sums.line);
            match places.get(&key) {
                Some(place) => {
                    merged[*place].0.merge(&sums);
                    merged[*place].1.push(position);
                }
                None => {
                    places.insert(key, merged.len());
                    merged.push((sums, vec![position]));
                }
            }
        }
    }
    merged
}

/// Reads the histograms of half hours, of these functions and runs. The buckets are added up here and not by SQLite,
/// which would sort them: a thousand functions have millions of them within six hours. They are found by half hour
/// and function, which the table's key begins with, and those of a function come together.
fn read_histograms_of_slices(
    store: &Store,
    wanted: &HashMap<FunctionOfRun, Counted>,
    histograms: &mut HashMap<i64, Histogram>,
) -> Result<()> {
    let mut functions: Vec<i64> = wanted.keys().map(|(function, _)| *function).collect();
    functions.sort_unstable();
    functions.dedup();
    let (mut function, mut buckets): (i64, Vec<(i32, u64)>) = (0, Vec::new());
    let mut keep = |function: i64, buckets: &mut Vec<(i32, u64)>| {
        histograms.entry(function).or_default().merge(&Histogram::from_buckets(buckets));
        buckets.clear();
    };
    let sql = "SELECT b.function_id, b.bucket, b.count, b.process_id FROM json_each(?1) f
               CROSS JOIN (SELECT DISTINCT slice FROM slice) s
               CROSS JOIN slice_bucket b ON b.slice = s.slice AND b.function_id = f.value";
    store.read_rows(sql, [serde_json::to_string(&functions)?], |row| {
        let next: i64 = row.get(0)?;
        if !wanted.contains_key(&(next, row.get(3)?)) {
            return Ok(());
        }
        if next != function {
            keep(function, &mut buckets);
            function = next;
        }
        buckets.push((row.get(1)?, u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0)));
        Ok(())
    })?;
    keep(function, &mut buckets);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use crate::store::tests::store_of;

    /// Two half hours of a function in run 1, and one of it in run 2, all of them with calls of another duration.
    const SLICES: &str = "
        INSERT INTO function VALUES (3, 'shop::pay', 'src/pay.rs', 7, NULL, 1.0);
        INSERT INTO slice VALUES
            (100, 3, 1, 10, 0, 0, 0, 10, 0, 0, 10, 50, 50, 50, 0, 0, 9, 0),
            (101, 3, 1, 20, 0, 0, 0, 20, 0, 0, 20, 60, 60, 60, 0, 0, 9, 0),
            (101, 3, 2, 5, 0, 0, 0, 5, 0, 0, 5, 70, 70, 70, 0, 0, 9, 0);
        INSERT INTO slice_bucket VALUES (100, 3, 80, 1, 10), (101, 3, 96, 1, 20), (101, 3, 96, 2, 3), (101, 3, 40, 2, 2);";

    /// Writes a row of totals of run 1 or 2, with this time of all calls.
    fn total(table: &str, process: i64, calls: i64, ns: i64, buckets: &[(i32, u64)]) -> String {
        let bytes = Histogram::from_buckets(buckets).to_bytes();
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let hex = hex.concat();
        format!(
            "INSERT INTO {table} VALUES
             ({process}, 3, {calls}, 0, 0, 0, 0, {calls}, {ns}, {ns}, {ns}, 0, 0, 99, 1, x'{hex}');"
        )
    }

    #[test]
    fn figures_are_those_of_the_half_hours_whichever_table_has_them() {
        let whole = (35, 180, [(40, 2), (80, 10), (96, 23)].to_vec());
        let run_1 = total("function_total", 1, 30, 110, &[(80, 10), (96, 20)]);
        let run_2 = total("function_total", 2, 5, 70, &[(40, 2), (96, 3)]);
        let longer = total("function_total", 1, 31, 210, &[(80, 10), (96, 20), (120, 1)]);
        // Retention has deleted a half hour of run 1 before the others.
        let expired = total("function_expired", 1, 1, 100, &[(120, 1)]);
        // Retention has deleted the first half hour that is listed.
        let first = total("function_expired", 1, 10, 50, &[(80, 10)]);
        let without_first = (25, 130, [(40, 2), (96, 23)].to_vec());
        let delete_first = "DELETE FROM slice WHERE slice = 100; DELETE FROM slice_bucket WHERE slice = 100;";
        let table = [
            (String::new(), "", &whole),
            (format!("{run_1}{run_2}"), "", &whole),
            // Whole runs need no buckets of half hours.
            (format!("{run_1}{run_2}"), "DELETE FROM slice_bucket;", &whole),
            (run_1.clone(), "DELETE FROM slice_bucket WHERE process_id = 1;", &whole),
            // An older version has deleted a half hour of run 1, or a process has yet to write what its total holds.
            (format!("{longer}{run_2}"), "DELETE FROM slice_bucket WHERE process_id = 2;", &whole),
            (run_2.clone(), "DROP TABLE function_total;", &whole),
            (format!("{longer}{run_2}{expired}"), "DELETE FROM slice_bucket;", &whole),
            (format!("{run_1}{run_2}{first}{delete_first}"), "DELETE FROM slice_bucket;", &without_first),
            (format!("{run_1}{run_2}{delete_first}"), "", &without_first),
            (format!("{run_1}{run_2}{first}{delete_first}"), "DROP TABLE function_expired;", &without_first),
        ];
        for (totals, change, (calls, ns, durations)) in table {
            let (_folder, store) = store_of(&format!("{SLICES}{totals}{change}"));
            for pattern in [None, Some("pay".parse().unwrap())] {
                let sums = read(&store, pattern.as_ref(), Span::Whole).unwrap();
                let [pay] = sums.as_slice() else { panic!("{sums:?}") };
                let times = (pay.total_ns, pay.self_ns, pay.busy_ns);
                assert_eq!((pay.calls, times), (*calls, (*ns, Some(*ns), Some(*ns))), "{totals}{change}");
                assert_eq!((pay.recorded, pay.roots), (Some(*calls), Some(*calls)), "{totals}{change}");
                assert_eq!(
                    (pay.dropped, pay.max_ns, pay.is_estimated),
                    (Some(0), 9, false),
                    "{totals}{change}"
                );
                assert_eq!(pay.histogram, Histogram::from_buckets(durations), "{totals}{change}");
            }
            assert_eq!(read(&store, Some(&"ship".parse().unwrap()), Span::Whole).unwrap(), []);
        }
    }

    #[test]
    fn figures_of_one_function_add_up_and_those_of_another_place_stay_apart() {
        let sums = |line: i64, calls: i64, max_ns: i64| Sums {
            function: "shop::pay".to_owned(),
            line,
            calls,
            total_ns: calls * 10,
            max_ns,
            self_ns: (line == 1).then_some(calls),
            histogram: Histogram::from_buckets(&[(8, calls.unsigned_abs())]),
            ..Sums::default()
        };
        let merged = merge(vec![vec![sums(1, 2, 7)], vec![sums(2, 5, 9), sums(1, 3, 8)]]);
        let figures: Vec<_> = merged
            .iter()
            .map(|(sums, stores)| (sums.line, sums.calls, sums.max_ns, sums.self_ns, stores.as_slice()))
            .collect();
        assert_eq!(figures, [(1, 5, 8, Some(5), &[0, 1][..]), (2, 5, 9, None, &[1][..])]);
        assert_eq!(merged[0].0.histogram.total(), 5);
        assert!((merged[0].0.mean_ns() - 10.0).abs() < 1e-9);
    }
}
