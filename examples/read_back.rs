//! A program that records calls and then reads its own store.
//!
//! The example shows that the store is an ordinary SQLite file whose views are its interface. The queries below are
//! sent by `rusqlite`; the same SQL works from any language, while the program runs and afterwards.
//!
//! The file is temporary unless `MONITOR_DB` names another one:
//!
//! ```text
//! MONITOR_DB=calls.db cargo run --example read_back
//! sqlite3 -readonly calls.db 'SELECT function, calls, errors FROM functions'
//! cargo run -p monitor-console -- --db calls.db errors
//! ```
#![allow(clippy::print_stdout, reason = "an example shows its result")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use monitored::{Config, monitor};
use rusqlite::{Connection, OpenFlags};

#[monitor]
fn invoice(customer: &str, items: &[u32]) -> Result<u32, String> {
    let total = items.iter().map(|item| price(*item)).sum::<Result<u32, String>>()?;
    send(customer, total);
    Ok(total)
}

#[monitor]
fn price(item: u32) -> Result<u32, String> {
    if item % 10 == 9 { Err(format!("item {item} has no price")) } else { Ok(item * 3) }
}

#[monitor(slow = "2ms")]
fn send(customer: &str, total: u32) {
    let pause = if total > 250 { Duration::from_millis(3) } else { Duration::ZERO };
    std::thread::sleep(pause);
    assert!(!customer.is_empty(), "an invoice needs a customer");
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = std::env::var_os("MONITOR_DB").map_or_else(|| folder.path().join("calls.db"), PathBuf::from);
    monitored::init(Config::new().db(&path).service("read_back"))?;
    for number in 0..100_u32 {
        // The result is ignored, because the report below shows the failures.
        let _ = invoice("ada", &[number, number + 1, number % 7]);
    }
    monitored::flush(Duration::from_secs(10))?;
    report(&path)?;
    Ok(())
}

fn report(path: &Path) -> rusqlite::Result<()> {
    let store = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    println!("{:<24} {:>6} {:>6} {:>9} {:>9}", "function", "calls", "failed", "p50 µs", "max µs");
    let mut functions = store.prepare(
        "SELECT function, calls, errors + panics + cancelled, p50_ms * 1000, max_ms * 1000
         FROM functions ORDER BY total_ms DESC",
    )?;
    let mut rows = functions.query([])?;
    while let Some(row) = rows.next()? {
        let (function, calls, failed): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (median, longest): (f64, f64) = (row.get(3)?, row.get(4)?);
        println!("{function:<24} {calls:>6} {failed:>6} {median:>9.2} {longest:>9.2}");
    }

    let (message, count): (String, i64) = store.query_row(
        "SELECT message, count FROM error_groups ORDER BY count DESC, message LIMIT 1",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    println!("\nmost frequent failure: {message} ({count} times)");

    let (args, slowest): (String, f64) = store.query_row(
        "SELECT args, duration_ms FROM slow_calls ORDER BY duration_ms DESC LIMIT 1",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    println!("slowest send: {args} took {slowest:.1} ms");

    // `parent_id` of a call is the `span_id` of its caller. This join counts the invoices that failed for a price.
    let failed: i64 = store.query_row(
        "SELECT count(*) FROM errors AS child JOIN calls AS parent ON child.parent_id = parent.span_id
         WHERE child.function LIKE '%price' AND parent.outcome = 'error'",
        [],
        |row| row.get(0),
    )?;
    println!("invoices that failed for a price: {failed}");
    Ok(())
}
