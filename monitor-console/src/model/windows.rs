//! Figures of functions by windows of 10 s: counts and histograms of all calls, exact whatever was sampled.

use std::collections::hash_map::Entry;

use anyhow::{Result, bail};
use foldhash::HashMap;
use monitor_runtime::histogram::Histogram;

use super::names::{Name, Names};
use super::period::Period;
use super::scope::Scope;
use super::window_rows::{self, Grain, IS_IN_SCOPE, Wanted, WindowRow};
use crate::store::Store;

/// The first schema version whose windows have histograms.
const FIRST_VERSION_WITH_HISTOGRAMS: i64 = 2;

/// A function in a window.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Window {
    /// The window, counted from the Unix epoch.
    pub(crate) at: i64,
    /// The function, a number of the names that were filled while reading.
    pub(crate) function: Name,
    /// Calls that ended in the window.
    pub(crate) calls: u64,
    /// Calls that failed.
    pub(crate) failed: u64,
    /// The time of all calls.
    pub(crate) total_ns: u64,
    /// The time of all calls outside of the monitored calls that they made; 0 in older stores.
    pub(crate) self_ns: u64,
    /// The longest call.
    pub(crate) max_ns: u64,
    /// True if some calls were only counted.
    pub(crate) is_estimated: bool,
    /// The durations.
    pub(crate) histogram: Histogram,
}

impl Window {
    fn new(function: Name, row: WindowRow<'_>) -> Self {
        Self {
            at: row.at,
            function,
            calls: row.stats.calls,
            failed: row.stats.failed(),
            total_ns: row.stats.total_ns,
            self_ns: row.stats.self_ns,
            max_ns: row.stats.max_ns,
            is_estimated: row.stats.is_estimated,
            histogram: Histogram::from_bytes(row.histogram),
        }
    }

    /// Adds the figures of another process in the same window.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.failed = self.failed.saturating_add(other.failed);
        self.total_ns = self.total_ns.saturating_add(other.total_ns);
        self.self_ns = self.self_ns.saturating_add(other.self_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
        self.is_estimated |= other.is_estimated;
        self.histogram.merge(&other.histogram);
    }
}

/// The windows to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Selection<'a> {
    /// The span.
    pub(crate) period: Period,
    /// The function whose windows are read; `None` for all functions.
    pub(crate) function: Option<&'a str>,
    /// The process whose windows are read; `None` for the sum over all processes.
    pub(crate) process: Option<i64>,
}

/// Reads windows, those of a function in the order of time. Functions of one name are several rows.
pub(crate) fn read(store: &Store, selection: Selection<'_>, names: &mut Names) -> Result<Vec<Window>> {
    let processes = selection.process.map(|process| vec![process]);
    let functions = selection.function.as_ref().map(std::slice::from_ref);
    read_of(store, &Scope { period: selection.period, processes }, functions, names)
}

/// Reads windows of the processes of a scope, those of a function in the order of time. Functions of one name, and several
/// processes in one window, are several rows.
pub(crate) fn read_of(
    store: &Store,
    scope: &Scope,
    functions: Option<&[&str]>,
    names: &mut Names,
) -> Result<Vec<Window>> {
    let mut windows = Vec::new();
    visit(store, scope, functions, Grain::Window, names, |name, row| windows.push(Window::new(name, row)))?;
    Ok(windows)
}

/// Adds up the windows of each function. Windows are added up as they are read, so memory holds one for each function and
/// not for each 10 s.
pub(crate) fn add_up(store: &Store, scope: &Scope, names: &mut Names) -> Result<HashMap<Name, Window>> {
    let mut sums: HashMap<Name, Window> = HashMap::default();
    visit(store, scope, None, Grain::Sum, names, |name, row| {
        let window = Window::new(name, row);
        match sums.entry(name) {
            Entry::Occupied(mut sum) => sum.get_mut().merge(&window),
            Entry::Vacant(place) => drop(place.insert(window)),
        }
    })?;
    Ok(sums)
}

/// Hands windows as [`read_of`] reads them to a closure, or sums of windows.
pub(crate) fn visit(
    store: &Store,
    scope: &Scope,
    functions: Option<&[&str]>,
    grain: Grain,
    names: &mut Names,
    mut found: impl FnMut(Name, WindowRow<'_>),
) -> Result<()> {
    require_histograms(store)?;
    let functions = functions.map(serde_json::to_string).transpose()?;
    // Names are looked up once for each function and not for each window.
    let mut known: HashMap<i64, Name> = HashMap::default();
    let all = "SELECT id, name FROM function WHERE ?1 IS NULL OR name IN (SELECT value FROM json_each(?1))";
    store.read_rows(all, [&functions], |row| {
        known.insert(row.get(0)?, names.add(&String::from_utf8_lossy(row.get_ref(1)?.as_bytes()?)));
        Ok(())
    })?;
    let ids = functions.is_some().then(|| known.keys().copied().collect::<Vec<_>>());
    let (functions, processes) = (ids.as_deref(), scope.processes.as_deref());
    let mut last = None;
    let wanted = Wanted { span: scope.period.to_windows(), functions, processes, grain };
    window_rows::visit(store, wanted, |row| {
        // Rows of a function come together.
        if last.is_none_or(|(id, _)| id != row.function) {
            last = known.get(&row.function).map(|name| (row.function, *name));
        }
        if let Some((_, name)) = last {
            found(name, row);
        }
    })
}

/// The calls of all functions in a window.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Load {
    /// The window, counted from the Unix epoch.
    pub(crate) at: i64,
    /// Calls that ended in the window.
    pub(crate) calls: f64,
    /// Calls that failed.
    pub(crate) failed: f64,
}

/// Counts the calls of all functions in each window of a scope, in the order of time; a window that the store lacks is left
/// out.
pub(crate) fn count_calls(store: &Store, scope: &Scope) -> Result<Vec<Load>> {
    require_histograms(store)?;
    let (first, last) = scope.period.to_windows();
    // `TOTAL` adds floats, which do not overflow whatever a damaged store holds.
    let sql = format!(
        "SELECT w.window, TOTAL(w.calls), TOTAL(w.errors + w.panics + w.cancelled) FROM latency_window w
         WHERE w.window BETWEEN ?1 AND ?2 AND {IS_IN_SCOPE} GROUP BY w.window"
    );
    let mut found = Vec::new();
    store.read_rows(&sql, (first, last, scope.processes_json()), |row| {
        found.push(Load { at: row.get(0)?, calls: row.get(1)?, failed: row.get(2)? });
        Ok(())
    })?;
    Ok(found)
}

/// Fails on a store of the first version, whose windows lack columns that are read here.
fn require_histograms(store: &Store) -> Result<()> {
    let version = store.read_version()?;
    if version < FIRST_VERSION_WITH_HISTOGRAMS {
        bail!(
            "{} has schema version {version}, whose windows have no histograms: run a program with a newer version of \
             monitored on this store",
            store.path().display()
        );
    }
    Ok(())
}

/// Returns the first and the last window of the store within a span; `None` if there is none.
pub(crate) fn find_bounds(store: &Store, period: Period) -> Result<Option<(i64, i64)>> {
    let (first, last) = period.to_windows();
    window_rows::find_bounds(store, first, last)
}

/// Returns true if the store has windows later than this one.
pub(crate) fn has_later(store: &Store, window: i64) -> Result<bool> {
    Ok(store.read_integer("SELECT 1 FROM latency_window WHERE window > ?1 LIMIT 1", [window])?.is_some())
}

/// The sum of windows of one function.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Sum {
    /// The number of windows.
    pub(crate) windows: u64,
    /// Calls.
    pub(crate) calls: u64,
    /// Calls that failed.
    pub(crate) failed: u64,
    /// The longest call.
    pub(crate) max_ns: u64,
    /// True if some calls were only counted.
    pub(crate) is_estimated: bool,
    /// The durations.
    pub(crate) histogram: Histogram,
}

impl Sum {
    /// Adds windows.
    pub(crate) fn from_windows<'a>(windows: impl IntoIterator<Item = &'a Window>) -> Self {
        let mut sum = Self::default();
        for window in windows {
            sum.windows += 1;
            sum.calls = sum.calls.saturating_add(window.calls);
            sum.failed = sum.failed.saturating_add(window.failed);
            sum.max_ns = sum.max_ns.max(window.max_ns);
            sum.is_estimated |= window.is_estimated;
            sum.histogram.merge(&window.histogram);
        }
        sum
    }

    /// Adds the sum of the same function in another store.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.windows += other.windows;
        self.calls = self.calls.saturating_add(other.calls);
        self.failed = self.failed.saturating_add(other.failed);
        self.max_ns = self.max_ns.max(other.max_ns);
        self.is_estimated |= other.is_estimated;
        self.histogram.merge(&other.histogram);
    }

    /// Returns the duration that this share of the calls did not exceed, in ns; `None` without durations.
    pub(crate) fn percentile(&self, share: f64) -> Option<u64> {
        (self.histogram.total() > 0).then(|| self.histogram.percentile(share, self.max_ns))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use monitor_runtime::store::schema::WINDOW_NS;

    use super::*;
    use crate::model::window_rows::LOOKUPS_MAX;
    use crate::store::tests::store_of;

    /// Three functions, two of which have one name, in windows 100 to 103 and one much later, in runs 1 and 2. The row that
    /// is shown holds the calls of both runs.
    fn make_store() -> (tempfile::TempDir, Store) {
        const FUNCTIONS: &str = "INSERT INTO function VALUES (3, 'shop::pay', 'src/pay.rs', 7, NULL, 1.0),
            (4, 'shop::pay', 'src/pay.rs', 9, NULL, 1.0), (5, 'shop::ship', 'src/ship.rs', 7, NULL, 1.0);";
        let windows = [
            (100, 3, 1, 1, 7),
            (100, 3, 2, 0, 2),
            (100, 5, 1, 1, 30),
            (102, 3, 1, 1, 5),
            (102, 4, 1, 1, 4),
            (103, 5, 2, 1, 8),
            (LOOKUPS_MAX * 2, 5, 1, 1, 1),
        ];
        let rows = windows.map(|(window, function, process, shown, calls)| {
            format!(
                "({window}, {function}, {process}, {shown}, {calls}, 1, 0, 1, 0, 90, 80, 80, 0, 0, 9, 9, 9, 9, 0, x'')"
            )
        });
        store_of(&format!("{FUNCTIONS} INSERT INTO latency_window VALUES {};", rows.join(", ")))
    }

    fn scope(first: i64, last: i64, processes: Option<Vec<i64>>) -> Scope {
        Scope { period: Period { from_ns: first * WINDOW_NS, until_ns: last * WINDOW_NS + 5 }, processes }
    }

    #[test]
    fn windows_of_some_functions_are_looked_up_or_scanned_with_the_same_result() {
        let (_folder, store) = make_store();
        let read = |scope: &Scope, functions: Option<&[&str]>| {
            let mut names = Names::default();
            let windows = read_of(&store, scope, functions, &mut names).unwrap();
            windows
                .iter()
                .map(|window| {
                    (window.at, names.text(window.function).to_owned(), window.calls, window.failed)
                })
                .collect::<Vec<_>>()
        };
        let row = |at: i64, name: &str, calls: u64| (at, format!("shop::{name}"), calls, 2);
        let (pay, ship) = (["shop::pay"], ["shop::ship", "shop::unknown"]);
        let all = scope(99, 104, None);
        assert_eq!(read(&all, Some(&pay)), [row(100, "pay", 7), row(102, "pay", 5), row(102, "pay", 4)]);
        assert_eq!(read(&all, Some(&ship)), [row(100, "ship", 30), row(103, "ship", 8)]);
        assert_eq!(read(&all, Some(&[])), []);
        assert_eq!(read(&scope(101, 103, None), Some(&ship)), [row(103, "ship", 8)]);
        assert_eq!(read(&scope(99, 104, Some(vec![2])), Some(&pay)), [row(100, "pay", 2)]);
        assert_eq!(read(&all, None).len(), 5);
        // So many windows are scanned.
        let long = scope(0, LOOKUPS_MAX * 2, None);
        assert_eq!(read(&long, Some(&pay)), read(&all, Some(&pay)));
        assert_eq!(read(&long, Some(&ship)).len(), 3);
    }

    #[test]
    fn calls_of_all_functions_are_counted_by_window() {
        let (_folder, store) = make_store();
        let count = |scope: &Scope| -> Vec<(i64, f64, f64)> {
            let found = count_calls(&store, scope).unwrap();
            found.iter().map(|window| (window.at, window.calls, window.failed)).collect()
        };
        assert_eq!(count(&scope(99, 103, None)), [(100, 37.0, 4.0), (102, 9.0, 4.0), (103, 8.0, 2.0)]);
        assert_eq!(count(&scope(100, 101, Some(vec![2]))), [(100, 2.0, 2.0)]);
        assert_eq!(count(&scope(200, 300, None)), []);
    }

    #[test]
    fn a_store_whose_windows_have_no_histograms_is_refused_with_its_version() {
        let (_folder, store) = store_of("PRAGMA user_version = 1");
        let refused = count_calls(&store, &scope(1, 2, None)).unwrap_err().to_string();
        assert!(refused.contains("has schema version 1"), "{refused}");
    }
}
