//! Counts failures by kind into `error_group`, in the transaction of their batch.
//!
//! Takes failed calls, and counts of failures that got no row for want of room; gives groups, one for each function,
//! outcome and message pattern. A group outlives the rows it was counted from. The number of groups is bounded:
//! failures that would exceed the bound are counted in a group `other` of their function and outcome.

use super::fingerprint::{fingerprint, pattern, without_message};
use super::id_cache::IdCache;
use super::rows::{self, signed};
use crate::batch::{CallRow, FoldedRow};
use crate::limits::FOLDED_KINDS_MAX;
use crate::record::Outcome;
use rusqlite::{Connection, OptionalExtension as _, Statement, params};
use std::collections::HashMap;

/// Pattern of the group that takes failures beyond the bound on groups.
const OTHER: &str = "other";

/// The failures that a batch adds to a group.
#[derive(Debug)]
struct Addition {
    function: u32,
    outcome: Outcome,
    pattern: String,
    count: i64,
    first_ns: i64,
    last_ns: i64,
    example: Option<i64>,
}

/// Counts the failures of a batch. `first_id` is the store's id of the first of its calls.
pub(crate) fn write(
    transaction: &Connection,
    ids: &mut IdCache,
    process_id: i64,
    (calls, first_id): (&[CallRow], i64),
    folded: &[FoldedRow],
) -> rusqlite::Result<()> {
    let mut additions = count_calls(ids, calls, first_id);
    add_folded(transaction, ids, process_id, folded, &mut additions)?;
    if additions.is_empty() {
        return Ok(());
    }
    // Functions that were never given have a default name by now, and are written.
    rows::functions(transaction, ids, process_id)?;
    let mut groups = Groups::new(transaction)?;
    // The order is fixed, so that the same failures make the same groups when the bound is reached.
    let mut additions: Vec<_> = additions.into_iter().collect();
    additions.sort_unstable_by_key(|(fingerprint, addition)| (addition.first_ns, *fingerprint));
    for (fingerprint, addition) in &additions {
        groups.add(ids, *fingerprint, addition)?;
    }
    Ok(())
}

/// Counts the failures among the calls by fingerprint.
fn count_calls(ids: &mut IdCache, calls: &[CallRow], first_id: i64) -> HashMap<i64, Addition> {
    let mut additions: HashMap<i64, Addition> = HashMap::new();
    // Failures tend to repeat, so the fingerprint of the last failure is kept.
    let mut last: Option<(&CallRow, i64)> = None;
    for (call, id) in calls.iter().zip(first_id..).filter(|(call, _)| call.outcome != Outcome::Ok) {
        let same = |other: &CallRow| {
            (other.function, other.outcome, &other.error) == (call.function, call.outcome, &call.error)
        };
        let key = match last {
            Some((other, key)) if same(other) => key,
            _ => {
                let message = call.error.as_deref().unwrap_or(without_message(call.outcome));
                let pattern = pattern(message);
                let key = fingerprint(&ids.function(call.function).name, call.outcome, &pattern);
                additions.entry(key).or_insert_with(|| Addition {
                    function: call.function,
                    outcome: call.outcome,
                    pattern,
                    count: 0,
                    first_ns: call.start_ns,
                    last_ns: call.start_ns,
                    example: None,
                });
                key
            }
        };
        last = Some((call, key));
        if let Some(addition) = additions.get_mut(&key) {
            addition.count += 1;
            addition.first_ns = addition.first_ns.min(call.start_ns);
            addition.last_ns = addition.last_ns.max(call.start_ns);
            addition.example = Some(id);
        }
    }
    additions
}

/// Adds failures that got no row. Their counts are those since the process began, so only the difference from the
/// stored count is added. The fingerprint is made again, because the one of the row may rest on another name of the
/// function than the store has.
fn add_folded(
    transaction: &Connection,
    ids: &mut IdCache,
    process_id: i64,
    folded: &[FoldedRow],
    additions: &mut HashMap<i64, Addition>,
) -> rusqlite::Result<()> {
    if folded.is_empty() {
        return Ok(());
    }
    let mut before =
        transaction.prepare("SELECT count FROM folded WHERE process_id = ?1 AND fingerprint = ?2")?;
    let mut replace = transaction.prepare("INSERT OR REPLACE INTO folded VALUES (?1, ?2, ?3)")?;
    for row in folded {
        let counted: Option<i64> =
            before.query_row([process_id, row.fingerprint], |row| row.get(0)).optional()?;
        let count = signed(row.count).saturating_sub(counted.unwrap_or(0));
        if count <= 0 {
            continue;
        }
        replace.execute([process_id, row.fingerprint, signed(row.count)])?;
        let pattern = pattern(&row.message);
        let key = fingerprint(&ids.function(row.function).name, row.outcome, &pattern);
        let addition = additions.entry(key).or_insert_with(|| Addition {
            function: row.function,
            outcome: row.outcome,
            pattern,
            count: 0,
            first_ns: row.first_ns,
            last_ns: row.last_ns,
            example: None,
        });
        addition.count += count;
        addition.first_ns = addition.first_ns.min(row.first_ns);
        addition.last_ns = addition.last_ns.max(row.last_ns);
    }
    Ok(())
}

/// The statements on `error_group`, and the number of groups.
struct Groups<'a> {
    update: Statement<'a>,
    insert: Statement<'a>,
    count: usize,
}

impl<'a> Groups<'a> {
    fn new(transaction: &'a Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            update: transaction.prepare(
                "UPDATE error_group SET count = count + ?2, first_ns = min(first_ns, ?3),
                   last_ns = max(last_ns, ?4), example_call_id = coalesce(?5, example_call_id)
                 WHERE fingerprint = ?1",
            )?,
            insert: transaction.prepare("INSERT INTO error_group VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?,
            count: transaction.query_row("SELECT count(*) FROM error_group", [], |row| {
                Ok(usize::try_from(row.get::<_, i64>(0)?).unwrap_or(0))
            })?,
        })
    }

    fn add(&mut self, ids: &mut IdCache, key: i64, addition: &Addition) -> rusqlite::Result<()> {
        if self.update(key, addition)? {
            return Ok(());
        }
        if self.count < FOLDED_KINDS_MAX {
            return self.insert(ids, key, &addition.pattern, addition);
        }
        let other = fingerprint(&ids.function(addition.function).name, addition.outcome, OTHER);
        if self.update(other, addition)? {
            return Ok(());
        }
        self.insert(ids, other, OTHER, addition)
    }

    fn update(&mut self, key: i64, addition: &Addition) -> rusqlite::Result<bool> {
        let Addition { count, first_ns, last_ns, example, .. } = addition;
        Ok(self.update.execute(params![key, count, first_ns, last_ns, example])? > 0)
    }

    fn insert(
        &mut self,
        ids: &IdCache,
        key: i64,
        pattern: &str,
        addition: &Addition,
    ) -> rusqlite::Result<()> {
        let Addition { count, first_ns, last_ns, example, .. } = addition;
        let function_id = ids.function_id(addition.function).unwrap_or_default();
        let outcome = addition.outcome as i64;
        self.insert.execute(params![
            key,
            function_id,
            outcome,
            pattern,
            count,
            first_ns,
            last_ns,
            example
        ])?;
        self.count += 1;
        Ok(())
    }
}
