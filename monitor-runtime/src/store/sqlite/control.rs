//! Reads and writes the tables that users control processes with: `sampling` and `breaker`.
//!
//! Takes a connection; gives rates and holds. A row that is missing means that nobody set anything. It does not decide
//! what becomes of an error.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::store::{Hold, SetHold, SetRate};

/// Reads the hold on this process's breaker, or on every process's if this process has none of its own.
pub(super) fn read_hold(connection: &Connection, run_uuid: &str) -> rusqlite::Result<Option<SetHold>> {
    let row = connection.query_row(
        "SELECT hold, reason, set_by, set_ns FROM breaker
         WHERE process_id = 0 OR process_id = (SELECT id FROM process WHERE run_uuid = ?1)
         ORDER BY process_id DESC LIMIT 1",
        [run_uuid],
        |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
    );
    let Some((hold, reason, set_by, set_ns)) = row.optional()? else { return Ok(None) };
    let hold = match hold.as_str() {
        "open" => Hold::Open,
        "closed" => Hold::Closed,
        _ => Hold::Auto,
    };
    Ok(Some(SetHold { hold, reason, set_by, set_ns }))
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
        "SELECT pattern, rate, coalesce(set_by, '') FROM sampling ORDER BY coalesce(set_ns, 0), pattern",
    )?;
    let rows = select
        .query_map([], |row| Ok(SetRate { pattern: row.get(0)?, rate: row.get(1)?, set_by: row.get(2)? }))?;
    let rates = rows.collect::<rusqlite::Result<Vec<_>>>()?;
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
