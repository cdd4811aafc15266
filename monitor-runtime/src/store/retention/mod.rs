//! Deletes rows that are older than the age bound, and the oldest rows when the size bound is near. What is left is made
//! quick to read: windows are joined into chunks.
//!
//! Takes a connection, the bounds and the time; gives the number of deleted rows. Each transaction is short, so that
//! nobody waits long for the write lock. The module opens nothing.
//!
//! While batches come, each batch deletes about as many calls as it brings, in its own transaction: the freed pages are
//! filled again before they are written, so expiry costs no writing of its own. A step in a transaction of its own would
//! write each page twice more, to the log and to the database.

mod calls;
mod small_tables;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use self::calls::{delete_calls, find_due};
use super::chunks;
use super::harden::pages_used;
use super::id_cache::IdCache;
use super::logs;
use super::schema::SLICE_NS;

/// Call ids that a step deletes in a transaction of its own, which takes half a millisecond, with captured values 2 ms.
/// The first commit to a log that begins anew, one step in 140, also holds the lock while the disk syncs the log's
/// header, because without that sync a loss of power in this moment could damage the file.
const STEP_CALLS: i64 = 2048;

/// Call ids that the transaction of a batch deletes at most. It deletes as many as the batch brings, because a page that
/// is freed and not filled again in the same transaction is written for nothing. If that was not enough before, it
/// deletes twice as many, so that the store does not stay at its bound for ever.
const BATCH_CALLS_MAX: i64 = 6144;

/// The fewest calls of a batch that deletes expired calls itself. A smaller batch leaves expiry to steps in
/// transactions of their own, because they change fewer pages.
const BATCH_CALLS_MIN: usize = 256;

/// While batches come, steps leave to the batches those calls that are past the age bound by no more than this time,
/// and by no more than a sixteenth of the bound.
const LEFT_TO_BATCHES_NS: i64 = 60 * 1_000_000_000;
const LEFT_TO_BATCHES_SHARE: i64 = 16;

/// The pause between two steps that delete expired rows of the small tables.
const TIDY_NS: i64 = 60 * 1_000_000_000;

/// The bounds in force.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) age_ns: i64,
    /// Pages in use above which the oldest calls are deleted.
    pub(crate) pages_evict: u64,
    /// Bytes that log lines may take.
    pub(crate) log_bytes_max: u64,
}

/// The state between two steps.
#[derive(Debug, Default)]
pub(crate) struct Retention {
    /// Time at which the small tables last had no expired rows.
    tidied_ns: Option<i64>,
    /// Time of the last batch that deleted calls for itself.
    batch_ns: Option<i64>,
    /// True if a write found no room: the next step evicts even below the bound.
    pub(crate) is_pressed: bool,
}

/// The result of a step.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// Rows that were deleted.
    pub(crate) rows: u64,
    /// True if there is more to do.
    pub(crate) more: bool,
}

impl Retention {
    /// Does one step: deletes the first of the rows that are due, in the order calls, windows, slices, small tables, and
    /// then builds a chunk of windows.
    pub(crate) fn step(
        &mut self,
        connection: &Connection,
        ids: &mut IdCache,
        bounds: Bounds,
        now_ns: i64,
    ) -> rusqlite::Result<Step> {
        let cutoff = now_ns.saturating_sub(bounds.age_ns);
        let is_pressed = std::mem::take(&mut self.is_pressed);
        let left_to_batches = bounds.left_to_batches_ns();
        let batches_come =
            self.batch_ns.is_some_and(|at| (0..left_to_batches).contains(&now_ns.saturating_sub(at)));
        let calls_cutoff = if batches_come { cutoff.saturating_sub(left_to_batches) } else { cutoff };
        let is_tidy = self.tidied_ns.is_some_and(|at| (0..TIDY_NS).contains(&now_ns.saturating_sub(at)));
        if let Some(due) = find_due(connection, bounds.pages_evict, calls_cutoff, is_pressed, !is_tidy)? {
            let transaction = begin(connection)?;
            let (rows, _) = delete_calls(&transaction, due, STEP_CALLS)?;
            transaction.commit()?;
            return Ok(Step { rows, more: true });
        }
        if is_pressed || pages_used(connection)? > bounds.pages_evict {
            let rows = logs::evict(connection)? + small_tables::evict_windows(connection)?;
            if rows > 0 {
                return Ok(Step { rows, more: true });
            }
        }
        let rows = small_tables::expire_slices(begin(connection)?, cutoff.div_euclid(SLICE_NS))?;
        if rows > 0 {
            return Ok(Step { rows, more: true });
        }
        if is_tidy {
            return Ok(Step::default());
        }
        let (rows, more) = small_tables::delete_expired(begin(connection)?, ids, (cutoff, now_ns))?;
        let more = more || chunks::build(begin(connection)?, now_ns)?;
        if !more {
            self.tidied_ns = Some(now_ns);
        }
        Ok(Step { rows, more })
    }

    /// Deletes calls that are due in the transaction of a batch, about as many as the batch brings.
    pub(crate) fn delete_for_batch(
        &mut self,
        transaction: &Connection,
        bounds: Bounds,
        now_ns: i64,
        calls: usize,
    ) -> rusqlite::Result<()> {
        if calls < BATCH_CALLS_MIN {
            return Ok(());
        }
        self.batch_ns = Some(now_ns);
        let coming = i64::try_from(calls).unwrap_or(i64::MAX);
        let cutoff = now_ns.saturating_sub(bounds.age_ns);
        let overdue = cutoff.saturating_sub(bounds.left_to_batches_ns() / 2);
        let mut gone = 0;
        while let Some(due) = find_due(transaction, bounds.pages_evict, cutoff, false, false)? {
            let expires = (overdue..cutoff).contains(&due.range.at_ns);
            let max = if expires { coming } else { coming.saturating_mul(2) }.min(BATCH_CALLS_MAX);
            if gone >= max {
                break;
            }
            gone += delete_calls(transaction, due, max - gone)?.1;
        }
        Ok(())
    }
}

impl Bounds {
    /// Returns the time past the age bound for which steps leave calls to batches.
    fn left_to_batches_ns(self) -> i64 {
        LEFT_TO_BATCHES_NS.min(self.age_ns / LEFT_TO_BATCHES_SHARE)
    }
}

fn begin(connection: &Connection) -> rusqlite::Result<Transaction<'_>> {
    Transaction::new_unchecked(connection, TransactionBehavior::Immediate)
}
