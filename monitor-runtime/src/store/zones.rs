//! The zones of a range of calls: the functions, and the blocks of span ids, that its calls belong to.
//!
//! Takes calls as they are written; gives a row for each function and block once the range is closed. With them a
//! reader finds the ranges that can hold the calls of a function, the longest calls, a span or a tree, where an index
//! over calls would cost more than the calls themselves. A range whose calls are of so many functions that a row for
//! each would take a noticeable part of their bytes has one row for all functions, beside those of its blocks. A range
//! whose zones are not known is read as a whole: the newest one, one whose process died, and one of very few calls.

use rusqlite::{Connection, params};

use super::error::no_memory;
use super::span_ids::BLOCK_BITS;
use crate::by_number::NumberMap;
use crate::growth::{MakeRoom as _, collect_all};

/// The fewest calls for each zone. A zone takes about 20 bytes and a call 33, so zones take at most one and a half
/// percent of the bytes of the calls.
const CALLS_PER_ZONE: usize = 40;

/// The most functions, and the most blocks, that have zones in a range: as many as [`CALLS_PER_ZONE`] allows for a full
/// range.
const ZONES_MAX: usize = 700;

/// The function id under which the zone of all functions is stored. No function has this id.
const ALL_FUNCTIONS: i64 = 0;

/// Stands for the last block before the first call.
const NO_BLOCK: (i64, usize) = (-1, usize::MAX);

/// Functions with ids below this number can have a zone. A range with a call of a function whose id is larger has no
/// zones of functions.
const FUNCTION_IDS_MAX: usize = 1 << 16;

/// The calls of a function in a range.
#[derive(Debug, Clone, Copy, Default)]
struct FunctionZone {
    calls: i64,
    failed: i64,
    max_duration: i64,
}

impl FunctionZone {
    #[inline]
    fn add(&mut self, call: ZonedCall) {
        self.calls += 1;
        self.failed += i64::from(call.failed);
        self.max_duration = self.max_duration.max(call.duration);
    }
}

/// The smallest and the largest id, or nothing if the first is above the second.
#[derive(Debug, Clone, Copy)]
struct Extent(i64, i64);

impl Extent {
    const NONE: Self = Self(i64::MAX, i64::MIN);

    fn add(&mut self, id: i64) {
        *self = Self(self.0.min(id), self.1.max(id));
    }

    fn bounds(self) -> (Option<i64>, Option<i64>) {
        if self.0 <= self.1 { (Some(self.0), Some(self.1)) } else { (None, None) }
    }
}

/// The spans, and the traces, whose ids lie in a block.
#[derive(Debug, Clone, Copy)]
struct BlockZone {
    block: i64,
    spans: Extent,
    traces: Extent,
}

/// The facts about a call that its zones note, in the store's ids.
#[derive(Debug, Clone, Copy)]
pub(super) struct ZonedCall {
    pub(super) function_id: i64,
    pub(super) duration: i64,
    pub(super) span: i64,
    pub(super) trace: i64,
    pub(super) failed: bool,
}

/// The zones of the range to which this process wrote last.
#[derive(Debug)]
pub(crate) struct Zones {
    /// First id of the range.
    range: Option<i64>,
    /// The zone of all functions.
    all: FunctionZone,
    /// The zones of functions, indexed by the function's id. An entry without calls stands for no zone.
    functions: Vec<FunctionZone>,
    functions_met: Vec<usize>,
    blocks: Vec<BlockZone>,
    places: NumberMap<i64, usize>,
    /// The blocks of the last span and of the last trace, and their places, because those of a thread follow each other.
    last: [(i64, usize); 2],
    /// True if there are more functions than may be, or than there is memory for.
    has_too_many_functions: bool,
    /// True if there are more blocks than may be, or than there is memory for.
    has_too_many_blocks: bool,
    /// True if calls of the current transaction are noted.
    is_uncommitted: bool,
}

impl Default for Zones {
    fn default() -> Self {
        Self {
            range: None,
            all: FunctionZone::default(),
            functions: Vec::new(),
            functions_met: Vec::new(),
            blocks: Vec::new(),
            places: NumberMap::default(),
            last: [NO_BLOCK; 2],
            has_too_many_functions: false,
            has_too_many_blocks: false,
            is_uncommitted: false,
        }
    }
}

impl Zones {
    /// Begins the zones of a range, unless they are begun. Those of the range before are written.
    pub(super) fn enter(&mut self, transaction: &Connection, range: i64) -> rusqlite::Result<()> {
        if self.range != Some(range) {
            self.write(transaction)?;
            self.clear();
            self.range = Some(range);
        }
        self.is_uncommitted = true;
        Ok(())
    }

    /// Notes a call of the range. The usual call is of a function and of blocks that were met before.
    #[inline]
    pub(super) fn note(&mut self, call: ZonedCall) {
        self.all.add(call);
        if !self.has_too_many_functions {
            let at = usize::try_from(call.function_id).unwrap_or(usize::MAX);
            match self.functions.get_mut(at) {
                Some(zone) if zone.calls > 0 => zone.add(call),
                _ => self.add_function(at, call),
            }
        }
        if self.has_too_many_blocks {
            return;
        }
        let [span, trace] = [(0, call.span), (1, call.trace)].map(|(kind, id)| {
            let (block, (last, place)) = (id >> BLOCK_BITS, self.last[kind]);
            if last == block { place } else { self.find_block(kind, block) }
        });
        if let Some(zone) = self.blocks.get_mut(span) {
            zone.spans.add(call.span);
        }
        if let Some(zone) = self.blocks.get_mut(trace) {
            zone.traces.add(call.trace);
        }
    }

    /// Adds a function that has no call in the range yet.
    #[cold]
    fn add_function(&mut self, at: usize, call: ZonedCall) {
        let is_one_too_many = at >= FUNCTION_IDS_MAX || self.functions_met.len() >= ZONES_MAX;
        let missing = (at + 1).saturating_sub(self.functions.len());
        if is_one_too_many || !self.functions.make_room(missing) || !self.functions_met.make_room(1) {
            self.has_too_many_functions = true;
            return;
        }
        if self.functions.len() <= at {
            self.functions.resize(at + 1, FunctionZone::default());
        }
        self.functions[at].add(call);
        self.functions_met.push(at);
    }

    /// Returns the index of a block in `blocks`, and adds the block if it is missing. Without memory for the block, the
    /// range gets no zones of blocks.
    #[cold]
    fn find_block(&mut self, kind: usize, block: i64) -> usize {
        if !self.places.make_room(1) || !self.blocks.make_room(1) {
            self.has_too_many_blocks = true;
            return usize::MAX;
        }
        let place = *self.places.entry(block).or_insert(self.blocks.len());
        if place == self.blocks.len() {
            self.blocks.push(BlockZone { block, spans: Extent::NONE, traces: Extent::NONE });
            self.has_too_many_blocks = self.blocks.len() > ZONES_MAX;
        }
        self.last[kind] = (block, place);
        place
    }

    /// Writes the zones of the range, as far as they are few beside its calls, and if the range is still there.
    fn write(&self, transaction: &Connection) -> rusqlite::Result<()> {
        let calls = usize::try_from(self.all.calls).unwrap_or(0);
        let are_few = |zones: usize| zones * CALLS_PER_ZONE <= calls;
        let Some(range) = self.range.filter(|_| !self.has_too_many_blocks && are_few(self.blocks.len() + 1))
        else {
            return Ok(());
        };
        let has_functions =
            !self.has_too_many_functions && are_few(self.functions_met.len() + self.blocks.len());
        // `zoned` counts the calls whose functions have zones.
        let covered = "UPDATE call_range SET zoned = zoned + ?2 WHERE first_call = ?1 AND failed_only = 0";
        if transaction.execute(covered, [range, if has_functions { self.all.calls } else { 0 }])? == 0 {
            return Ok(());
        }
        let mut functions = vec![(ALL_FUNCTIONS, self.all)];
        if has_functions {
            let met = self.functions_met.iter();
            functions = collect_all(met.map(|at| (i64::try_from(*at).unwrap_or(0), self.functions[*at])))
                .ok_or_else(no_memory)?;
            functions.sort_unstable_by_key(|(id, _)| *id);
        }
        let mut insert = transaction.prepare(
            "INSERT INTO call_zone_function VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET calls = calls + excluded.calls,
               failed = failed + excluded.failed, max_duration = max(max_duration, excluded.max_duration)",
        )?;
        for (id, FunctionZone { calls, failed, max_duration }) in functions {
            insert.execute(params![range, id, calls, failed, max_duration])?;
        }
        let mut insert = transaction.prepare(
            "INSERT INTO call_zone_span VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET
               min_span = coalesce(min(min_span, excluded.min_span), min_span, excluded.min_span),
               max_span = coalesce(max(max_span, excluded.max_span), max_span, excluded.max_span),
               min_trace = coalesce(min(min_trace, excluded.min_trace), min_trace, excluded.min_trace),
               max_trace = coalesce(max(max_trace, excluded.max_trace), max_trace, excluded.max_trace)",
        )?;
        let mut blocks = self.blocks.clone();
        blocks.sort_unstable_by_key(|zone| zone.block);
        for BlockZone { block, spans, traces } in blocks {
            let ((min_span, max_span), (min_trace, max_trace)) = (spans.bounds(), traces.bounds());
            insert.execute(params![range, block, min_span, max_span, min_trace, max_trace])?;
        }
        Ok(())
    }

    /// Keeps what the current transaction noted.
    pub(super) fn commit(&mut self) {
        self.is_uncommitted = false;
    }

    /// Forgets the zones if calls of the current transaction are among them, because it failed. Their range is then read as
    /// a whole.
    pub(super) fn roll_back(&mut self) {
        if self.is_uncommitted {
            self.clear();
        }
    }

    /// Forgets all zones.
    pub(super) fn clear(&mut self) {
        for at in self.functions_met.drain(..) {
            self.functions[at] = FunctionZone::default();
        }
        self.blocks.clear();
        self.places.clear();
        (self.range, self.all, self.last) = (None, FunctionZone::default(), [NO_BLOCK; 2]);
        (self.has_too_many_functions, self.has_too_many_blocks, self.is_uncommitted) = (false, false, false);
    }
}

/// Deletes the zones of a range, of which calls are deleted.
pub(super) fn delete(transaction: &Connection, range: i64) -> rusqlite::Result<()> {
    for table in ["call_zone_function", "call_zone_span"] {
        transaction.execute(&format!("DELETE FROM {table} WHERE first_call = ?1"), [range])?;
    }
    Ok(())
}
