//! Counts failures by kind into `error_group`, in the transaction of their batch.
//!
//! Takes failed calls, and counts of failures that got no row because there was no room; gives groups, one for each
//! function, outcome, type of the error and message pattern. A group outlives the rows it was counted from. The number
//! of groups is bounded, for each function and for all: failures that would exceed a bound are counted in a group
//! `other` of their function and outcome.

use super::error::no_memory;
use super::fingerprint::{fingerprint, kind, without_message};
use super::id_cache::IdCache;
use super::rows::{self, signed};
use crate::batch::{CallRow, FoldedRow, Update};
use crate::growth::{MakeRoom as _, collect_all};
use crate::limits::{FOLDED_KINDS_MAX, FUNCTION_KINDS_MAX, FUNCTION_KINDS_SURE};
use crate::record::Outcome;
use rusqlite::{Connection, OptionalExtension as _, Statement, params};
use std::collections::{HashMap, HashSet};

/// Pattern of the group that takes failures beyond the bound on groups, and failures whose message is not known.
pub(crate) const OTHER_KIND: &str = "other";

/// The failures that a batch adds to a group.
#[derive(Debug)]
struct Addition {
    function: u32,
    outcome: Outcome,
    kind: String,
    error_type: String,
    count: i64,
    first_ns: i64,
    last_ns: i64,
    example: Option<i64>,
    /// The failures among `count` that began in the function.
    origins: i64,
    /// The call trees that failed because of failures that began in the function.
    roots: i64,
    /// The path of the latest failure that began in the function and was passed on: the functions from the failed call
    /// to this one, as in `checkout ← charge`. `None` if there is none.
    path: Option<String>,
}

impl Addition {
    fn new(
        function: u32,
        outcome: Outcome,
        (kind, error_type): (String, String),
        (first_ns, last_ns): (i64, i64),
    ) -> Self {
        let (count, example, origins, roots, path) = (0, None, 0, 0, None);
        Self { function, outcome, kind, error_type, count, first_ns, last_ns, example, origins, roots, path }
    }
}

/// The failures of a transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failures<'a> {
    /// The calls, failed ones among them.
    pub(crate) calls: &'a [CallRow],
    /// The store's id of the first call.
    pub(crate) first_id: i64,
    /// The positions in `calls` of the failed calls that are counted already, because they were folded before.
    pub(crate) counted: &'a HashSet<usize>,
    /// The failures without a row.
    pub(crate) folded: &'a [FoldedRow],
    /// The meaning of the counts in `folded`: totals since the process began, or increments that are added.
    pub(crate) update: Update,
}

/// A store that has been in use for less than this reports no kind of failure as new, because all kinds are new to it.
const HISTORY_NS: i64 = 3_600_000_000_000;

/// Counts the failures of a transaction. Returns the functions of which a kind is new, once for each kind.
pub(crate) fn write(
    transaction: &Connection,
    ids: &mut IdCache,
    process_id: i64,
    failures: Failures<'_>,
) -> rusqlite::Result<Vec<u32>> {
    let mut additions = count_calls(ids, failures)?;
    match failures.update {
        Update::Replace => add_folded(transaction, ids, process_id, failures.folded, &mut additions)?,
        Update::Add => {
            for row in failures.folded {
                add_row(ids, row, signed(row.count), &mut additions)?;
            }
        }
    }
    if additions.is_empty() {
        return Ok(Vec::new());
    }
    // Functions that the collector has not reported have a default name by now. Their rows are written here.
    rows::functions(transaction, ids, process_id)?;
    let mut groups = Groups::new(transaction)?;
    // The order is fixed, so that the same failures make the same groups when the bound is reached.
    let mut additions = collect_all(additions).ok_or_else(no_memory)?;
    additions.sort_unstable_by_key(|(fingerprint, addition)| (addition.first_ns, *fingerprint));
    for (fingerprint, addition) in &additions {
        groups.add(ids, *fingerprint, addition)?;
    }
    if groups.new.is_empty() {
        return Ok(Vec::new());
    }
    let oldest: Option<i64> =
        transaction.query_row("SELECT min(started_ns) FROM process", [], |row| row.get(0))?;
    let since = oldest.unwrap_or(i64::MAX).saturating_add(HISTORY_NS);
    let new = groups.new.iter().filter(|(_, first_ns)| *first_ns >= since).map(|(function, _)| *function);
    collect_all(new).ok_or_else(no_memory)
}

/// Counts the failures among the calls by fingerprint.
fn count_calls(ids: &mut IdCache, failures: Failures<'_>) -> rusqlite::Result<HashMap<i64, Addition>> {
    let Failures { calls, first_id, counted, .. } = failures;
    let mut additions: HashMap<i64, Addition> = HashMap::new();
    // Failures tend to repeat, so the fingerprint of the last failure is kept.
    let mut last: Option<(&CallRow, i64)> = None;
    let failed = calls.iter().zip(first_id..).enumerate().filter(|(_, (call, _))| call.outcome.is_failure());
    for (place, (call, id)) in failed {
        let same = |other: &CallRow| {
            (other.function, other.outcome, &other.error, &other.error_type)
                == (call.function, call.outcome, &call.error, &call.error_type)
        };
        let key = match last {
            Some((other, key)) if same(other) => key,
            _ => {
                let message = call.error.as_deref().unwrap_or(without_message(call.outcome));
                let kind = kind(call.outcome, message);
                let error_type = call.error_type.clone().unwrap_or_default();
                let name = &ids.function(call.function)?.name;
                let key = fingerprint(name, call.outcome, &kind, &error_type);
                let times = (call.start_ns, call.start_ns);
                let addition = || Addition::new(call.function, call.outcome, (kind, error_type), times);
                ensure_room(&mut additions)?;
                additions.entry(key).or_insert_with(addition);
                key
            }
        };
        last = Some((call, key));
        if let Some(addition) = additions.get_mut(&key).filter(|_| !counted.contains(&place)) {
            addition.count += 1;
            addition.first_ns = addition.first_ns.min(call.start_ns);
            addition.last_ns = addition.last_ns.max(call.start_ns);
            addition.example = Some(id);
            if call.cause.is_none() {
                addition.origins += 1;
                addition.roots += i64::from(call.is_tree);
            }
        }
        ids.recent_failures.insert(call.span_id, key);
    }
    add_causes(ids, calls, &mut additions)?;
    Ok(additions)
}

/// Makes room for one more kind of failure.
fn ensure_room(additions: &mut HashMap<i64, Addition>) -> rusqlite::Result<()> {
    if additions.make_room(1) { Ok(()) } else { Err(no_memory()) }
}

/// For each failure that was passed on, adds its path, and the call tree that failed because of it, to the kind of the
/// failure in which it began. If that failure was in an earlier batch, its kind is found by the span of the failed
/// call, as long as the span is remembered.
fn add_causes(
    ids: &IdCache,
    calls: &[CallRow],
    additions: &mut HashMap<i64, Addition>,
) -> rusqlite::Result<()> {
    for call in calls {
        let Some(cause) = &call.cause else { continue };
        let Some(key) = ids.recent_failures.get(cause.origin) else { continue };
        let times = (call.start_ns, call.start_ns);
        let unknown = || Addition::new(call.function, call.outcome, (String::new(), String::new()), times);
        ensure_room(additions)?;
        let addition = additions.entry(key).or_insert_with(unknown);
        addition.roots += i64::from(call.is_tree);
        addition.path = Some(cause.path.clone());
    }
    Ok(())
}

/// Adds failures that got no row. Their counts are those since the process began, so only the difference from the
/// stored count is added.
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
        add_row(ids, row, count, additions)?;
    }
    Ok(())
}

/// Adds this many failures of a row to its kind. The fingerprint is made again, because the fingerprint in the row may
/// rest on another name of the function than the store has.
fn add_row(
    ids: &mut IdCache,
    row: &FoldedRow,
    count: i64,
    additions: &mut HashMap<i64, Addition>,
) -> rusqlite::Result<()> {
    ensure_room(additions)?;
    let name = &ids.function(row.function)?.name;
    let key = fingerprint(name, row.outcome, &row.message, &row.error_type);
    let times = (row.first_ns, row.last_ns);
    let kind = || (row.message.clone(), row.error_type.clone());
    let addition = || Addition::new(row.function, row.outcome, kind(), times);
    let addition = additions.entry(key).or_insert_with(addition);
    addition.count += count;
    addition.first_ns = addition.first_ns.min(row.first_ns);
    addition.last_ns = addition.last_ns.max(row.last_ns);
    Ok(())
}

/// The statements on `error_group`, and the number of groups.
struct Groups<'a> {
    connection: &'a Connection,
    update: Statement<'a>,
    insert: Statement<'a>,
    count: usize,
    /// The number of groups of each function that got a new one in this transaction.
    by_function: HashMap<i64, usize>,
    /// The function and the first failure of each group that is new.
    new: Vec<(u32, i64)>,
}

impl<'a> Groups<'a> {
    fn new(transaction: &'a Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            connection: transaction,
            by_function: HashMap::new(),
            new: Vec::new(),
            update: transaction.prepare(
                "UPDATE error_group SET count = count + ?2, first_ns = min(first_ns, ?3),
                   last_ns = max(last_ns, ?4), example_call_id = coalesce(?5, example_call_id),
                   origin_count = origin_count + ?6, root_count = root_count + ?7, path = coalesce(?8, path)
                 WHERE fingerprint = ?1",
            )?,
            insert: transaction.prepare(
                "INSERT INTO error_group VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?,
            count: transaction.query_row("SELECT count(*) FROM error_group", [], |row| {
                Ok(usize::try_from(row.get::<_, i64>(0)?).unwrap_or(0))
            })?,
        })
    }

    fn add(&mut self, ids: &mut IdCache, key: i64, addition: &Addition) -> rusqlite::Result<()> {
        // An addition without failures adds a path or trees to a kind of an earlier batch. If that kind has no group of
        // its own, its failures were counted in the group `other`, which gets neither.
        if self.update(key, addition)? || addition.count == 0 {
            return Ok(());
        }
        let function_id = ids.function_id(addition.function).unwrap_or_default();
        if !(self.by_function.make_room(1) && self.new.make_room(1)) {
            return Err(no_memory());
        }
        let groups = self.count_groups(function_id)?;
        let has_room = groups < FUNCTION_KINDS_MAX && self.count < FOLDED_KINDS_MAX;
        if has_room || groups < FUNCTION_KINDS_SURE {
            return self.insert(function_id, key, (&addition.kind, &addition.error_type), addition);
        }
        let other = fingerprint(&ids.function(addition.function)?.name, addition.outcome, OTHER_KIND, "");
        if self.update(other, addition)? {
            return Ok(());
        }
        self.insert(function_id, other, (OTHER_KIND, ""), addition)
    }

    /// Returns the number of groups of a function. It is needed only when a kind is new.
    fn count_groups(&mut self, function_id: i64) -> rusqlite::Result<usize> {
        if let Some(count) = self.by_function.get(&function_id) {
            return Ok(*count);
        }
        let sql = "SELECT count(*) FROM error_group WHERE function_id = ?1";
        let count: i64 = self.connection.query_row(sql, [function_id], |row| row.get(0))?;
        let count = usize::try_from(count).unwrap_or(0);
        self.by_function.insert(function_id, count);
        Ok(count)
    }

    fn update(&mut self, key: i64, addition: &Addition) -> rusqlite::Result<bool> {
        let Addition { count, first_ns, last_ns, example, origins, roots, path, .. } = addition;
        // An addition without failures belongs to an earlier failure, so it leaves the times of the group as they are.
        let (first_ns, last_ns) = if *count > 0 { (*first_ns, *last_ns) } else { (i64::MAX, i64::MIN) };
        let values = params![key, count, first_ns, last_ns, example, origins, roots, path];
        Ok(self.update.execute(values)? > 0)
    }

    fn insert(
        &mut self,
        function_id: i64,
        key: i64,
        (kind, error_type): (&str, &str),
        addition: &Addition,
    ) -> rusqlite::Result<()> {
        let Addition { count, first_ns, last_ns, example, origins, roots, path, .. } = addition;
        let error_type = Some(error_type).filter(|name| !name.is_empty());
        let outcome = addition.outcome as i64;
        self.insert.execute(params![
            key,
            function_id,
            outcome,
            kind,
            count,
            first_ns,
            last_ns,
            example,
            error_type,
            origins,
            roots,
            path
        ])?;
        self.count += 1;
        self.new.push((addition.function, *first_ns));
        *self.by_function.entry(function_id).or_default() += 1;
        Ok(())
    }
}
