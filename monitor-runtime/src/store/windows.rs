//! Windows of 10 s into `latency_window`: a row for each process that called the function in the window,
//! with its histogram. Where several did, one more row, of process 0, holds the sum of them, with the
//! percentiles of the merged histogram, and is the one that is shown.
//!
//! Most windows belong to one process, which then costs one row and one look for others.

use super::id_cache::Known;
use super::rows::signed;
use super::schema::WINDOW_NS;
use crate::batch::{Figured, Figures, WindowRow};
use crate::histogram::Histogram;
use rusqlite::{Connection, Row, Statement};

/// The process that stands for all that share a window.
const ALL: i64 = 0;

/// Writes windows.
pub(crate) fn write(
    transaction: &Connection,
    known: &Known,
    process_id: i64,
    rows: &[WindowRow],
) -> rusqlite::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(transaction)?;
    for row in rows {
        let Some(function_id) = known.function_id(row.function) else { continue };
        let place = (row.start_ns.div_euclid(WINDOW_NS), function_id);
        let own = Share { figures: row.figures, histogram: Histogram::from_buckets(&row.buckets) };
        table.put(place, process_id, own, row.figured)?;
    }
    Ok(())
}

/// What a process has in a window, or all of them.
#[derive(Debug, Default)]
struct Share {
    figures: Figures,
    histogram: Histogram,
}

impl Share {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let number = |at: usize| row.get::<_, i64>(at).map(|number| u64::try_from(number).unwrap_or(0));
        let figures = Figures {
            calls: number(1)?,
            errors: number(2)?,
            panics: number(3)?,
            cancelled: number(4)?,
            total_ns: number(5)?,
            max_ns: number(6)?,
            is_estimated: number(7)? != 0,
            ..Figures::default()
        };
        Ok(Self { figures, histogram: Histogram::from_bytes(row.get_ref(8)?.as_blob().unwrap_or_default()) })
    }

    fn merge(&mut self, other: &Self) {
        self.figures.merge(&other.figures);
        self.histogram.merge(&other.histogram);
    }
}

/// The statements over `latency_window`.
struct Table<'a> {
    shares: Statement<'a>,
    replace: Statement<'a>,
    hide: Statement<'a>,
}

/// A window by its number, and a function by the store's id.
type Place = (i64, i64);

impl<'a> Table<'a> {
    fn new(transaction: &'a Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            shares: transaction.prepare(
                "SELECT process_id, calls, errors, panics, cancelled, total_ns, max_ns, estimated, histogram
                 FROM latency_window WHERE window = ?1 AND function_id = ?2 AND process_id <> 0",
            )?,
            replace: transaction.prepare(
                "INSERT OR REPLACE INTO latency_window
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            )?,
            hide: transaction.prepare(
                "UPDATE latency_window SET shown = 0
                 WHERE window = ?1 AND function_id = ?2 AND process_id <> 0 AND shown = 1",
            )?,
        })
    }

    fn put(
        &mut self,
        place: Place,
        process_id: i64,
        mut own: Share,
        figured: Figured,
    ) -> rusqlite::Result<()> {
        let mut others: Option<Share> = None;
        let mut found = self.shares.query(place)?;
        while let Some(row) = found.next()? {
            if row.get::<_, i64>(0)? != process_id {
                others.get_or_insert_default().merge(&Share::read(row)?);
            } else if figured == Figured::More {
                own.merge(&Share::read(row)?);
            }
        }
        drop(found);
        self.replace(place, process_id, &own, others.is_none())?;
        if let Some(mut all) = others {
            all.merge(&own);
            self.hide.execute(place)?;
            self.replace(place, ALL, &all, true)?;
        }
        Ok(())
    }

    fn replace(
        &mut self,
        (window, function_id): Place,
        process_id: i64,
        share: &Share,
        is_shown: bool,
    ) -> rusqlite::Result<()> {
        let Share { figures, histogram } = share;
        let Figures { calls, errors, panics, cancelled, total_ns, max_ns, .. } = *figures;
        let percentile = |share| signed(histogram.percentile(share, max_ns));
        self.replace.execute(rusqlite::params![
            window,
            function_id,
            process_id,
            is_shown,
            signed(calls),
            signed(errors),
            signed(panics),
            signed(cancelled),
            signed(total_ns),
            signed(max_ns),
            percentile(0.5),
            percentile(0.95),
            percentile(0.99),
            figures.is_estimated,
            histogram.to_bytes(),
        ])?;
        Ok(())
    }
}
