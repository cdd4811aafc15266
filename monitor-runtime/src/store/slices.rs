//! Writes slices of half an hour into `slice`, and their histograms into `slice_bucket`.
//!
//! Takes rows that hold a whole slice, which replace the stored ones, and rows that hold what came since, which are
//! added to them; gives a row for each process that called the function in the slice. A stored sum never overflows: it
//! stays at the largest integer. The caller opens and commits the transaction.

use rusqlite::Connection;

use super::id_cache::IdCache;
use super::rows::signed;
use super::schema::SLICE_NS;
use crate::batch::{CallStats, SliceRow, Update};

/// Returns the clause of an insert for a slice that is stored already: empty if the new row replaces it, else one that
/// adds the new row to it. `sums` are the columns that are added up.
fn on_conflict(update: Update, sums: &[&str]) -> String {
    if update == Update::Replace {
        return String::new();
    }
    // SQLite turns a sum that does not fit an integer into a float, and a STRICT table refuses floats.
    let sum = |name: &str| format!("min({name} + excluded.{name}, {})", i64::MAX);
    let sums = sums.iter().map(|name| format!("{name} = {}", sum(name)));
    // The number falls if calls that were counted as recorded have lost their rows since. Calls of the stored row that
    // were not in their shared row yet are among those that the new row calls dropped.
    let recorded =
        format!("recorded = max({} - {} - {}, 0)", sum("calls"), sum("sampled_out"), sum("dropped"));
    let others = ["max_ns = max(max_ns, excluded.max_ns)", "estimated = max(estimated, excluded.estimated)"];
    let all: Vec<String> = sums.chain([recorded]).chain(others.map(str::to_owned)).collect();
    format!(" ON CONFLICT (slice, function_id, process_id) DO UPDATE SET {}", all.join(", "))
}

fn insert_or(update: Update) -> &'static str {
    if update == Update::Replace { "INSERT OR REPLACE" } else { "INSERT" }
}

/// Writes slices and their buckets.
pub(crate) fn write(
    transaction: &Connection,
    ids: &IdCache,
    process_id: i64,
    rows: &[SliceRow],
) -> rusqlite::Result<()> {
    for update in [Update::Replace, Update::Add] {
        let mut rows = rows.iter().filter(|row| row.update == update).peekable();
        if rows.peek().is_some() {
            write_with(transaction, ids, process_id, rows, update)?;
        }
    }
    Ok(())
}

fn write_with<'a>(
    transaction: &Connection,
    ids: &IdCache,
    process_id: i64,
    rows: impl Iterator<Item = &'a SliceRow>,
    update: Update,
) -> rusqlite::Result<()> {
    let sums = [
        "calls",
        "errors",
        "panics",
        "cancelled",
        "sampled_out",
        "dropped",
        "roots",
        "total_ns",
        "self_ns",
        "busy_ns",
        "nested_ns",
        "cancelled_ns",
    ];
    // The columns after the three ids are those of `CallStats::to_words`, in the same order.
    let mut replace = transaction.prepare(&format!(
        "{} INTO slice VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18){}",
        insert_or(update),
        on_conflict(update, &sums)
    ))?;
    let added =
        " ON CONFLICT (function_id, bucket, slice, process_id) DO UPDATE SET count = count + excluded.count";
    let mut bucket = transaction.prepare(&format!(
        "{} INTO slice_bucket VALUES (?1, ?2, ?3, ?4, ?5){}",
        insert_or(update),
        if update == Update::Add { added } else { "" }
    ))?;
    for row in rows {
        let Some(function_id) = ids.function_id(row.function) else { continue };
        let slice = row.start_ns.div_euclid(SLICE_NS);
        let mut cells = [0; 3 + CallStats::WORDS + 1];
        cells[..3].copy_from_slice(&[slice, function_id, process_id]);
        cells[3..3 + CallStats::WORDS].copy_from_slice(&row.stats.to_words().map(signed));
        cells[3 + CallStats::WORDS] = i64::from(row.stats.is_estimated);
        replace.execute(cells)?;
        for (index, count) in &row.buckets {
            bucket.execute([slice, function_id, i64::from(*index), process_id, signed(*count)])?;
        }
    }
    Ok(())
}
