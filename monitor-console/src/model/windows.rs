//! Figures of functions by windows of 10 s: counts and histograms of all calls, exact whatever was sampled.

use anyhow::{Result, bail};
use foldhash::HashMap;
use monitor_runtime::histogram::Histogram;
use monitor_runtime::store::schema::WINDOW_NS;

use super::names::{Name, Names};
use super::period::Period;
use super::scope::Scope;
use crate::store::Store;

/// The first schema version whose windows have histograms.
const FIRST_VERSION_WITH_HISTOGRAMS: i64 = 2;
/// The most windows that are looked up one by one for a function. Six hours have 2160.
const LOOKUPS_MAX: i64 = 100_000;

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

/// Reads windows in the order of time. Functions of one name are several rows.
pub(crate) fn read(store: &Store, selection: Selection<'_>, names: &mut Names) -> Result<Vec<Window>> {
    let processes = selection.process.map(|process| vec![process]);
    read_of(store, &Scope { period: selection.period, processes }, selection.function, names)
}

/// Reads windows of the processes of a scope in the order of time. Functions of one name, and several processes in one
/// window, are several rows.
pub(crate) fn read_of(
    store: &Store,
    scope: &Scope,
    function: Option<&str>,
    names: &mut Names,
) -> Result<Vec<Window>> {
    let mut windows = Vec::new();
    visit(store, scope, function, names, |window| windows.push(window))?;
    Ok(windows)
}

/// Hands windows as [`read_of`] reads them to a closure, one at a time: a span of all functions can hold more windows than fit
/// into memory.
pub(crate) fn visit(
    store: &Store,
    scope: &Scope,
    function: Option<&str>,
    names: &mut Names,
    mut found: impl FnMut(Window),
) -> Result<()> {
    let version = store.read_version()?;
    if version < FIRST_VERSION_WITH_HISTOGRAMS {
        bail!(
            "{} has schema version {version}, whose windows have no histograms: run a program with a newer version of \
             monitored on this store",
            store.path().display()
        );
    }
    let Some((first, last)) = find_bounds(store, scope.period)? else { return Ok(()) };
    let self_ns = if store.has_span_blocks()? { "w.self_ns" } else { "0" };
    let columns = format!(
        "w.window, w.function_id, w.calls, w.errors + w.panics + w.cancelled, w.total_ns, {self_ns}, w.max_ns, w.estimated,
         w.histogram"
    );
    let who =
        "(CASE WHEN ?3 IS NULL THEN w.shown = 1 ELSE w.process_id IN (SELECT value FROM json_each(?3)) END)";
    // The key of the table begins with the window, so a function is looked up in each window; a scan would read all
    // functions of all windows.
    let by_lookup = format!(
        "WITH RECURSIVE n(window) AS (SELECT ?1 UNION ALL SELECT window + 1 FROM n WHERE window < ?2)
         SELECT {columns} FROM n CROSS JOIN function f CROSS JOIN latency_window w
           ON w.window = n.window AND w.function_id = f.id
         WHERE f.name = ?4 AND {who} ORDER BY w.window"
    );
    let by_scan = format!(
        "SELECT {columns} FROM latency_window w
         WHERE w.window BETWEEN ?1 AND ?2
           AND (?4 IS NULL OR w.function_id IN (SELECT id FROM function WHERE name = ?4)) AND {who} ORDER BY w.window"
    );
    let is_lookup = function.is_some() && last.saturating_sub(first) < LOOKUPS_MAX;
    let sql = if is_lookup { by_lookup } else { by_scan };
    // Names are looked up once for each function and not for each window.
    let mut functions: HashMap<i64, Name> = HashMap::default();
    store.read_rows("SELECT id, name FROM function WHERE ?1 IS NULL OR name = ?1", [function], |row| {
        functions.insert(row.get(0)?, names.add(&String::from_utf8_lossy(row.get_ref(1)?.as_bytes()?)));
        Ok(())
    })?;
    store.read_rows(&sql, (first, last, scope.processes_json(), function), |row| {
        let number = |at: usize| {
            row.get_ref(at).ok().and_then(|v| v.as_i64().ok()).unwrap_or(0).max(0).cast_unsigned()
        };
        let Some(function) = functions.get(&row.get(1)?) else { return Ok(()) };
        found(Window {
            at: row.get(0)?,
            function: *function,
            calls: number(2),
            failed: number(3),
            total_ns: number(4),
            self_ns: number(5),
            max_ns: number(6),
            is_estimated: number(7) != 0,
            histogram: Histogram::from_bytes(row.get_ref(8)?.as_blob().unwrap_or_default()),
        });
        Ok(())
    })
}

/// Returns the first and the last window of the store within a span; `None` if there is none.
pub(crate) fn find_bounds(store: &Store, period: Period) -> Result<Option<(i64, i64)>> {
    let [from, until] = [period.from_ns, period.until_ns].map(|ns| ns.div_euclid(WINDOW_NS));
    let first = "SELECT MIN(window) FROM latency_window WHERE window BETWEEN ?1 AND ?2";
    let last = "SELECT MAX(window) FROM latency_window WHERE window BETWEEN ?1 AND ?2";
    let first = store.read_integer(first, [from, until])?;
    Ok(first.zip(store.read_integer(last, [from, until])?))
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
