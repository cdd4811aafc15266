//! Reads and writes the tables that users control processes with: `sampling`, `breaker` and `guard_hold`.
//!
//! Takes a connection; gives rates and holds. A row that is missing means that nobody set anything. The tables are read
//! several times a second, and anybody who writes to the file can put texts of any length there, so a text is looked at by
//! its length first, which SQLite knows without reading it. The file does not decide what becomes of an error.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::limits::{CONTROL_TEXT_BYTES_MAX, GUARDS_MAX, PATTERN_BYTES_MAX, SET_RATES_MAX};
use crate::store::error::collect_rows;
use crate::store::{Hold, SetHold, SetRate};

/// The text that is returned in place of a text that is too long.
const TOO_LONG: &str = "(a text that is too long)";

/// Reads the hold on this process's breaker, or on every process's if this process has none of its own.
pub(super) fn read_hold(connection: &Connection, run_uuid: &str) -> rusqlite::Result<Option<SetHold>> {
    let row = connection.query_row(
        "SELECT iif(octet_length(hold) <= ?2, hold, 'auto'), iif(octet_length(reason) <= ?2, reason, ?3),
                iif(octet_length(set_by) <= ?2, set_by, ?3), set_ns FROM breaker
         WHERE process_id = 0 OR process_id = (SELECT id FROM process WHERE run_uuid = ?1)
         ORDER BY process_id DESC LIMIT 1",
        params![run_uuid, CONTROL_TEXT_BYTES_MAX, TOO_LONG],
        |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
    );
    let Some((hold, reason, set_by, set_ns)) = row.optional()? else { return Ok(None) };
    Ok(Some(SetHold { hold: to_hold(&hold), reason, set_by, set_ns }))
}

/// Reads the holds on guards of this process. A guard has the hold that is set for this process, else that for every process.
pub(super) fn read_guard_holds(
    connection: &Connection,
    run_uuid: &str,
) -> rusqlite::Result<Vec<(String, SetHold)>> {
    // In a query with `max`, SQLite takes the other columns from the row that has the maximum.
    let mut select = connection.prepare(
        "SELECT name, iif(octet_length(hold) <= ?2, hold, 'auto'), iif(octet_length(reason) <= ?2, reason, ?3),
                iif(octet_length(set_by) <= ?2, set_by, ?3), set_ns, max(process_id) FROM guard_hold
         WHERE octet_length(name) <= ?2
           AND (process_id = 0 OR process_id = (SELECT id FROM process WHERE run_uuid = ?1))
         GROUP BY name ORDER BY name LIMIT ?4",
    )?;
    let rows = select.query_map(
        params![run_uuid, CONTROL_TEXT_BYTES_MAX, TOO_LONG, i64::try_from(GUARDS_MAX).unwrap_or(i64::MAX)],
        |row| {
            let hold = to_hold(&row.get::<_, String>(1)?);
            Ok((row.get(0)?, SetHold { hold, reason: row.get(2)?, set_by: row.get(3)?, set_ns: row.get(4)? }))
        },
    )?;
    collect_rows(rows)
}

fn to_hold(word: &str) -> Hold {
    match word {
        "open" => Hold::Open,
        "closed" => Hold::Closed,
        _ => Hold::Auto,
    }
}

/// Reads the rates. Returns `None` if `PRAGMA data_version` is still `seen`, because then no other connection has changed
/// the file. `seen` becomes the version that was read.
pub(super) fn read_rates(
    connection: &Connection,
    seen: &mut Option<i64>,
) -> rusqlite::Result<Option<Vec<SetRate>>> {
    let version: i64 = connection.query_row("PRAGMA data_version", [], |row| row.get(0))?;
    if *seen == Some(version) {
        return Ok(None);
    }
    let mut select = connection.prepare(
        "SELECT pattern, rate, iif(octet_length(coalesce(set_by, '')) <= ?1, coalesce(set_by, ''), ?2) FROM sampling
         WHERE octet_length(pattern) <= ?3 ORDER BY coalesce(set_ns, 0) DESC, pattern DESC LIMIT ?4",
    )?;
    let bounds = params![CONTROL_TEXT_BYTES_MAX, TOO_LONG, PATTERN_BYTES_MAX.cast_signed(), SET_RATES_MAX];
    let rows = select.query_map(bounds, |row| {
        Ok(SetRate { pattern: row.get(0)?, rate: row.get(1)?, set_by: row.get(2)? })
    })?;
    let mut rates = collect_rows(rows)?;
    // The latest rate wins where several patterns match, so it comes last.
    rates.reverse();
    *seen = Some(version);
    Ok(Some(rates))
}

/// Sets the rate of a pattern, or removes it if `rate` is `None`. Returns the number of changed rows.
pub(super) fn set_rate(
    connection: &Connection,
    pattern: &str,
    rate: Option<f64>,
    set_by: &str,
    now_ns: i64,
) -> rusqlite::Result<usize> {
    match rate {
        Some(rate) => connection.execute(
            "INSERT INTO sampling VALUES (?1, ?2, ?3, ?4) ON CONFLICT (pattern)
             DO UPDATE SET rate = excluded.rate, set_ns = excluded.set_ns, set_by = excluded.set_by",
            params![pattern, rate, now_ns, set_by],
        ),
        None => connection.execute("DELETE FROM sampling WHERE pattern = ?1", [pattern]),
    }
}
