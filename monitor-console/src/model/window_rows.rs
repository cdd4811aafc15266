//! Rows of windows, by the ids of functions: from chunks where the store has them, one by one otherwise.
//!
//! Takes the first and the last window; gives the figures of each function in each of them, or their sums. A chunk holds
//! thirty windows of a function in one row, so most of a long span is read in a thirtieth of the rows.

use anyhow::Result;
use monitor_runtime::batch::CallStats;
use monitor_runtime::store::chunks;
use rusqlite::Row;

use crate::store::Store;

/// The most windows of functions that are looked up one by one. Six hours have 2160 windows.
pub(super) const LOOKUPS_MAX: i64 = 100_000;

/// The figures of a function in a window, or their sum over windows that follow each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WindowRow<'a> {
    /// The window, or the first one of a sum, counted from the Unix epoch.
    pub(crate) at: i64,
    /// The id of the function.
    pub(crate) function: i64,
    /// The figures.
    pub(crate) stats: CallStats,
    /// The bytes of the histogram.
    pub(crate) histogram: &'a [u8],
}

/// The windows to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// The first and the last window.
    pub(super) span: (i64, i64),
    /// The ids of the functions; `None` for all functions.
    pub(super) functions: Option<&'a [i64]>,
    /// The processes, each in a row of its own; `None` for the sum over all processes.
    pub(super) processes: Option<&'a [i64]>,
    /// The amount of time that each row covers.
    pub(super) grain: Grain,
}

/// The amount of time that a row covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grain {
    /// Each row covers one window.
    Window,
    /// A row covers all the windows whose sum the store has, so a caller that adds windows up reads fewer rows.
    Sum,
}

/// Hands each row to a closure. The rows of a function come in the order of time.
pub(super) fn visit(store: &Store, wanted: Wanted<'_>, mut found: impl FnMut(WindowRow<'_>)) -> Result<()> {
    let (first, last) = wanted.span;
    let Some((first, last)) = find_bounds(store, first, last)? else { return Ok(()) };
    let reader = Reader::new(store, wanted)?;
    if wanted.processes.is_some() || !store.has_chunks()? {
        return reader.read_windows(first, last, &mut found);
    }
    // A window that comes late takes its chunk back, so all is read from one state of the store.
    store.read_together(|| {
        let mut next = first;
        for (from, upto) in list_chunks(store, chunks::find(first), chunks::find(last))? {
            reader.read_windows(
                next,
                from.saturating_mul(chunks::WINDOWS).saturating_sub(1).min(last),
                &mut found,
            )?;
            reader.read_chunks((from, upto), (first, last), &mut found)?;
            next = upto.saturating_add(1).saturating_mul(chunks::WINDOWS);
        }
        reader.read_windows(next, last, &mut found)
    })
}

/// Returns the first and the last window of the store within a span; `None` if there is none.
pub(super) fn find_bounds(store: &Store, first: i64, last: i64) -> Result<Option<(i64, i64)>> {
    let from = "SELECT MIN(window) FROM latency_window WHERE window BETWEEN ?1 AND ?2";
    let until = "SELECT MAX(window) FROM latency_window WHERE window BETWEEN ?1 AND ?2";
    let from = store.read_integer(from, [first, last])?;
    Ok(from.zip(store.read_integer(until, [first, last])?))
}

/// Returns the complete chunks of a span, as ranges that follow each other.
fn list_chunks(store: &Store, first: i64, last: i64) -> Result<Vec<(i64, i64)>> {
    let sql = "SELECT chunk FROM latency_chunked
               WHERE chunk BETWEEN ?1 AND ?2 AND functions_upto IS NULL ORDER BY chunk";
    let mut ranges: Vec<(i64, i64)> = Vec::new();
    store.read_rows(sql, [first, last], |row| {
        let chunk: i64 = row.get(0)?;
        match ranges.last_mut() {
            Some((_, upto)) if chunk.checked_sub(1) == Some(*upto) => *upto = chunk,
            _ => ranges.push((chunk, chunk)),
        }
        Ok(())
    })?;
    Ok(ranges)
}

/// The statements for the wanted rows.
struct Reader<'a> {
    store: &'a Store,
    grain: Grain,
    /// The number of functions; `None` for all.
    functions_number: Option<usize>,
    /// The functions and the processes, as JSON arrays.
    functions: Option<String>,
    processes: Option<String>,
    /// The columns of [`read_window`].
    columns: &'static str,
}

impl<'a> Reader<'a> {
    fn new(store: &'a Store, wanted: Wanted<'_>) -> Result<Self> {
        let columns = if store.has_span_blocks()? { COLUMNS } else { COLUMNS_2 };
        Ok(Self {
            store,
            grain: wanted.grain,
            functions_number: wanted.functions.map(<[i64]>::len),
            functions: wanted.functions.map(serde_json::to_string).transpose()?,
            processes: wanted.processes.map(serde_json::to_string).transpose()?,
            columns,
        })
    }

    /// Reads single windows from the first to the last.
    fn read_windows(&self, first: i64, last: i64, found: &mut impl FnMut(WindowRow<'_>)) -> Result<()> {
        if first > last {
            return Ok(());
        }
        let are_few = |number: usize| {
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            last.saturating_sub(first).saturating_add(1).saturating_mul(number) <= LOOKUPS_MAX
        };
        let is_lookup = self.functions_number.is_some_and(are_few);
        let sql = if is_lookup { select_by_lookup(self.columns) } else { select_by_scan(self.columns) };
        self.store.read_rows(&sql, (first, last, &self.processes, &self.functions), |row| {
            found(read_window(row)?);
            Ok(())
        })
    }

    /// Reads the chunks of a range, as far as their windows lie within a span.
    fn read_chunks(
        &self,
        range: (i64, i64),
        (first, last): (i64, i64),
        found: &mut impl FnMut(WindowRow<'_>),
    ) -> Result<()> {
        let sql = select_chunks(self.functions.is_some());
        self.store.read_rows(&sql, (range.0, range.1, &self.functions), |row| {
            let (chunk, function) = chunks::split_id(row.get(0)?);
            let start = chunk * chunks::WINDOWS;
            let mut entries = chunks::entries(row.get_ref(1)?.as_blob().unwrap_or_default());
            let Some(sum) = entries.next() else { return Ok(()) };
            if self.grain == Grain::Sum && first <= start && start + chunks::WINDOWS - 1 <= last {
                found(WindowRow { at: start, function, stats: sum.stats, histogram: sum.histogram });
                return Ok(());
            }
            for entry in entries {
                let at = start + entry.position;
                if (first..=last).contains(&at) {
                    found(WindowRow { at, function, stats: entry.stats, histogram: entry.histogram });
                }
            }
            Ok(())
        })
    }
}

/// The columns of `latency_window` that [`read_window`] reads, and those in stores before version 3, which lack some.
const COLUMNS: &str =
    "w.window, w.function_id, w.calls, w.errors, w.panics, w.cancelled, w.roots, w.total_ns, w.self_ns,
  w.busy_ns, w.nested_ns, w.cancelled_ns, w.max_ns, w.estimated, w.histogram";
const COLUMNS_2: &str =
    "w.window, w.function_id, w.calls, w.errors, w.panics, w.cancelled, 0, w.total_ns, 0, 0, 0, 0,
  w.max_ns, w.estimated, w.histogram";

fn read_window<'row>(row: &'row Row<'_>) -> Result<WindowRow<'row>> {
    let number =
        |at: usize| row.get_ref(at).ok().and_then(|v| v.as_i64().ok()).unwrap_or(0).max(0).cast_unsigned();
    Ok(WindowRow {
        at: row.get(0)?,
        function: row.get(1)?,
        stats: CallStats {
            calls: number(2),
            errors: number(3),
            panics: number(4),
            cancelled: number(5),
            roots: number(6),
            total_ns: number(7),
            self_ns: number(8),
            busy_ns: number(9),
            nested_ns: number(10),
            cancelled_ns: number(11),
            max_ns: number(12),
            is_estimated: number(13) != 0,
            ..CallStats::default()
        },
        histogram: row.get_ref(14)?.as_blob().unwrap_or_default(),
    })
}

/// Returns the statement that looks up each of the functions `?4`, a JSON array, in each window from `?1` to `?2`. The key of
/// the table begins with the window, so a scan would read all functions of all windows.
fn select_by_lookup(columns: &str) -> String {
    format!(
        "WITH RECURSIVE n(window) AS (SELECT ?1 UNION ALL SELECT window + 1 FROM n WHERE window < ?2)
         SELECT {columns} FROM n CROSS JOIN latency_window w
         WHERE w.window = n.window AND w.function_id IN (SELECT value FROM json_each(?4)) AND {IS_IN_SCOPE}
         ORDER BY w.window"
    )
}

/// Returns the statement that reads all windows from `?1` to `?2`, and leaves out other functions than those of `?4`, if it is
/// not NULL.
fn select_by_scan(columns: &str) -> String {
    format!(
        "SELECT {columns} FROM latency_window w
         WHERE w.window BETWEEN ?1 AND ?2 AND (?4 IS NULL OR w.function_id IN (SELECT value FROM json_each(?4)))
           AND {IS_IN_SCOPE} ORDER BY w.window"
    )
}

/// Returns the statement that reads the chunks from `?1` to `?2`, of the functions `?3`, a JSON array, or of all.
fn select_chunks(are_some: bool) -> String {
    let first = format!("(d.chunk << {})", chunks::FUNCTION_BITS);
    let rows = if are_some {
        format!("c.id IN (SELECT {first} + value FROM json_each(?3))")
    } else {
        format!("c.id BETWEEN {first} AND {first} + {} AND ?3 IS NULL", (1_i64 << chunks::FUNCTION_BITS) - 1)
    };
    format!(
        "SELECT c.id, c.windows FROM latency_chunked d CROSS JOIN latency_chunk c
         WHERE d.chunk BETWEEN ?1 AND ?2 AND {rows} ORDER BY d.chunk"
    )
}

/// The condition that a row of `latency_window w` is of the processes `?3`, a JSON array. NULL stands for all processes, whose
/// sum is the row that is shown.
pub(super) const IS_IN_SCOPE: &str =
    "(CASE WHEN ?3 IS NULL THEN w.shown = 1 ELSE w.process_id IN (SELECT value FROM json_each(?3)) END)";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use monitor_runtime::batch::{ProcessRow, Program};
    use monitor_runtime::histogram::Histogram;
    use monitor_runtime::store::schema::WINDOW_NS;
    use monitor_runtime::store::{SqliteStore, Store as _, StoreOptions};

    use super::*;
    use crate::store::tests::store_of;

    /// The first window of a chunk, some days after the start of the epoch.
    const FIRST: i64 = 100_020;

    #[test]
    fn chunks_are_found_by_the_ids_of_their_rows() {
        let (_folder, store) = store_of("");
        for (are_some, wanted) in [(false, "(rowid>? AND rowid<?)"), (true, "(rowid=?)")] {
            let mut plan = String::new();
            let sql = format!("EXPLAIN QUERY PLAN {}", select_chunks(are_some));
            store
                .read_rows(&sql, (1, 9, "[3]"), |row| {
                    plan += &row.get::<_, String>(3)?;
                    plan += "\n";
                    Ok(())
                })
                .unwrap();
            assert!(plan.contains(&format!("SEARCH c USING INTEGER PRIMARY KEY {wanted}")), "{plan}");
            assert!(!plan.contains("ORDER BY"), "{plan}");
        }
    }

    #[test]
    fn a_lookup_uses_the_key_for_window_and_function() {
        let (_folder, store) = store_of("");
        let mut plan = String::new();
        let sql = format!("EXPLAIN QUERY PLAN {}", select_by_lookup("w.calls"));
        store
            .read_rows(&sql, (1, 9, None::<String>, r#"["shop::pay","shop::ship"]"#), |row| {
                plan += &row.get::<_, String>(3)?;
                plan += "\n";
                Ok(())
            })
            .unwrap();
        assert!(plan.contains("SEARCH w USING PRIMARY KEY (window=? AND function_id=?)"), "{plan}");
    }

    /// The figures of a row, with the bytes of its histogram decoded.
    type Found = (i64, i64, CallStats, Histogram);

    fn read(store: &Store, span: (i64, i64), functions: Option<&[i64]>, grain: Grain) -> Vec<Found> {
        let mut found = Vec::new();
        let wanted = Wanted { span, functions, processes: None, grain };
        visit(store, wanted, |row| {
            found.push((row.function, row.at, row.stats, Histogram::from_bytes(row.histogram)));
        })
        .unwrap();
        found
    }

    /// Adds up the rows of each function.
    fn add_up(rows: &[Found]) -> Vec<(i64, CallStats, Histogram)> {
        let mut functions: Vec<i64> = rows.iter().map(|(function, ..)| *function).collect();
        functions.sort_unstable();
        functions.dedup();
        let sum = |function: &i64| {
            let (mut stats, mut histogram) = (CallStats::default(), Histogram::default());
            for (_, _, part, durations) in rows.iter().filter(|(other, ..)| other == function) {
                stats.merge(part);
                histogram.merge(durations);
            }
            (*function, stats, histogram)
        };
        functions.iter().map(sum).collect()
    }

    /// Lets a recorder build the chunks of a store.
    fn build_chunks(store: &Store, now_ns: i64) {
        let process = ProcessRow {
            run_uuid: "7".repeat(32),
            service: "shop".to_owned(),
            version: "1".to_owned(),
            host: "here".to_owned(),
            pid: 7,
            started_ns: now_ns,
            program: Program::default(),
        };
        let mut writer = SqliteStore::open(&StoreOptions::file(store.path()), process, now_ns).unwrap();
        while writer.retain(now_ns).unwrap().more {}
    }

    /// Returns statements that insert random windows of four functions.
    fn make_windows(random: &mut fastrand::Rng) -> String {
        let functions =
            (1..=4).map(|id| format!("INSERT INTO function VALUES ({id}, 'f{id}', 'a.rs', 1, NULL, 1.0);"));
        let mut statements: Vec<String> = functions.collect();
        let share = random.f64();
        for (window, function) in (0..150 * 4).map(|n| (FIRST + n / 4, n % 4 + 1)) {
            if random.f64() > share {
                continue;
            }
            let (calls, bucket) = (random.u64(1..1000), random.i32(0..700));
            let bytes = Histogram::from_buckets(&[(bucket, calls), (bucket / 2, 3)]).to_bytes();
            let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            statements.push(format!(
                "INSERT INTO latency_window VALUES ({window}, {function}, 1, 1, {calls}, 1, 2, 3, 4, {}, 6, 7, 8, 9,
                 {bucket}, 0, 0, 0, {}, x'{}');",
                calls * 1000,
                random.bool(),
                hex.concat()
            ));
        }
        statements.concat()
    }

    #[test]
    fn chunks_give_what_single_windows_give() {
        for seed in 0..6 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (_folder, store) = store_of(&make_windows(&mut random));
            let spans: Vec<(i64, i64)> = (0..5)
                .map(|_| {
                    let first = FIRST + random.i64(-10..170);
                    (first, first + random.i64(0..160))
                })
                .collect();
            let answer = |span: (i64, i64), functions: Option<&[i64]>| {
                let mut windows = read(&store, span, functions, Grain::Window);
                // The sort keeps the order of a function's windows.
                windows.sort_by_key(|(function, ..)| *function);
                assert!(
                    windows.is_sorted_by_key(|(function, at, ..)| (*function, *at)),
                    "{span:?}, seed {seed}"
                );
                let sums = add_up(&read(&store, span, functions, Grain::Sum));
                assert_eq!(sums, add_up(&windows), "{span:?}, seed {seed}");
                windows
            };
            let ask_all = || {
                spans
                    .iter()
                    .map(|span| [answer(*span, None), answer(*span, Some(&[2, 3]))])
                    .collect::<Vec<_>>()
            };
            let single = ask_all();
            build_chunks(&store, (FIRST + 140) * WINDOW_NS);
            let complete = "SELECT COUNT(*) FROM latency_chunked WHERE functions_upto IS NULL";
            assert!(store.read_integer(complete, []).unwrap() >= Some(1), "seed {seed}");
            assert_eq!(ask_all(), single, "seed {seed}");
            // A chunk that a window was written to since is not read.
            let writer = rusqlite::Connection::open(store.path()).unwrap();
            let chunk = [chunks::find(FIRST + random.i64(0..150))];
            writer.execute("UPDATE latency_chunk SET windows = x'00' WHERE id >> 32 = ?1", chunk).unwrap();
            writer.execute("DELETE FROM latency_chunked WHERE chunk = ?1", chunk).unwrap();
            assert_eq!(ask_all(), single, "seed {seed}");
        }
    }
}
