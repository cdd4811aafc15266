//! The rows that calls of one function below one caller share, while they are being summed up.
//!
//! Takes calls; gives the record of each such row when its caller has ended, when it has covered a window, or when
//! somebody waits. Their number is bounded between drains: the oldest rows are closed, and later calls share new rows.

use std::collections::VecDeque;
use std::time::Duration;

use crate::by_number::NumberMap;
use crate::growth::{MakeRoom as _, collect_most};
use crate::limits;
use crate::record::{Fold, Header, Record, Word, decode};

/// The caller's row, and the function whose calls share a row below it.
pub(super) type Key = (u64, u32);

/// A row that calls share.
#[derive(Debug)]
pub(in crate::collect) struct SharedRow {
    /// The header of the first call, with the row's span. Its parent is the caller's row.
    pub(in crate::collect) header: Header,
    /// The thread of the first call.
    pub(in crate::collect) thread: u32,
    pub(in crate::collect) sums: Fold,
    args: Vec<Word>,
}

impl SharedRow {
    /// Returns the record of the row.
    pub(in crate::collect) fn encode(&self) -> Vec<u64> {
        self.sums.encode(&self.header, &self.args)
    }
}

/// A row that calls share and that is being summed up.
#[derive(Debug)]
pub(super) struct OpenFold {
    row: SharedRow,
    /// The span of the last call that was added.
    last_span: u64,
    opened: Duration,
}

impl OpenFold {
    /// Adds a call, whose record is at the start of these words.
    pub(super) fn add_call(&mut self, call: &Header, thread: u32, words: &[u64]) {
        let Header { duration, weight, .. } = *call;
        let fold = Fold {
            calls: 1,
            total: duration,
            longest: duration,
            end: call.start.wrapping_add(duration),
            busy: if call.is_async { call.busy } else { duration },
            weight: f64::from(weight),
        };
        self.add(call, thread, &fold);
        // A later call than the first may bring the arguments, because calls that were summed up on their thread come
        // without.
        let row = &mut self.row;
        if row.args.is_empty()
            && (1..=limits::FOLD_ARGS_BYTES_MAX).contains(&usize::from(call.args_bytes))
            && let Some((Record::Folded(_, values, _), _)) = decode(words)
        {
            row.header.args_bytes = call.args_bytes;
            let args = values.iter().take(usize::from(call.args_bytes).div_ceil(8));
            row.args = args.map(|word| word.to_le_bytes()).collect();
        }
    }

    /// Adds the sums of calls like this one.
    fn add(&mut self, call: &Header, thread: u32, more: &Fold) {
        let Self { row, last_span, .. } = self;
        let SharedRow { header, thread: first_thread, sums, .. } = row;
        if sums.calls == 0 {
            *first_thread = thread;
            *header = Header { span: header.span, parent: header.parent, args_bytes: 0, ..*call };
            sums.end = more.end;
        }
        *last_span = call.span;
        let is_later = |a: u64, b: u64| a.wrapping_sub(b).cast_signed() > 0;
        header.start = if is_later(header.start, call.start) { call.start } else { header.start };
        sums.end = if is_later(more.end, sums.end) { more.end } else { sums.end };
        sums.calls += more.calls;
        sums.total = sums.total.saturating_add(more.total);
        sums.longest = sums.longest.max(more.longest);
        sums.busy = sums.busy.saturating_add(more.busy);
        sums.weight += more.weight;
    }
}

/// The rows that are being summed up.
#[derive(Debug, Default)]
pub(super) struct Folds {
    open: NumberMap<Key, OpenFold>,
    /// The functions whose calls share rows below the row of this span.
    below: NumberMap<u64, Vec<u32>>,
    /// The row that was asked for last, and its span. It is open.
    last: Option<(Key, u64)>,
    /// The rows that are complete and not taken. A row comes before those below it.
    closed: VecDeque<SharedRow>,
    /// Before this moment, no row will have been open for a window.
    next_close: Duration,
}

impl Folds {
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.closed.is_empty()
    }

    /// Returns true if the machine has memory for this many more rows. Each open row has room among the closed ones, so
    /// that it can be closed without memory.
    pub(super) fn make_room(&mut self, rows: usize) -> bool {
        self.open.make_room(rows)
            && self.below.make_room(rows)
            && self.closed.make_room(self.open.len() + rows)
    }

    /// Returns the span of the open row with this key. If there is none, opens a row with the span of this call.
    /// Returns `None` if the machine has no memory for the row.
    #[inline]
    pub(super) fn span_of(&mut self, key: Key, call: &Header, now: Duration) -> Option<u64> {
        if let Some((_, span)) = self.last.filter(|(last, _)| *last == key) {
            return Some(span);
        }
        let span =
            self.open.get(&key).map(|fold| fold.row.header.span).or_else(|| self.open_row(key, call, now))?;
        self.last = Some((key, span));
        Some(span)
    }

    /// Opens a row with the span of this call, and returns the span. Returns `None` if the machine has no memory for
    /// the row.
    fn open_row(&mut self, key: Key, call: &Header, now: Duration) -> Option<u64> {
        if !self.make_room(1) {
            return None;
        }
        let sites = self.below.entry(key.0).or_default();
        if !sites.make_room(1) {
            self.unlink(key);
            return None;
        }
        sites.push(key.1);
        if self.open.is_empty() {
            self.next_close = now + limits::FOLD_WINDOW;
        }
        let header = Header { parent: key.0, site: key.1, ..*call };
        let row = SharedRow { header, thread: 0, sums: Fold::default(), args: Vec::new() };
        self.open.insert(key, OpenFold { row, last_span: call.span, opened: now });
        Some(call.span)
    }

    /// Returns the row with this key. If none is open, opens one with the span of this call.
    pub(super) fn get_or_open(&mut self, key: Key, call: &Header, now: Duration) -> Option<&mut OpenFold> {
        self.span_of(key, call, now)?;
        self.open.get_mut(&key)
    }

    /// Adds the sums of calls like this one to the row with this key, which is open.
    pub(super) fn add_all(&mut self, key: Key, call: &Header, thread: u32, more: &Fold) {
        if let Some(open) = self.open.get_mut(&key) {
            open.add(call, thread, more);
        }
    }

    /// Gives the shared row of this key another span if it has this one, because the call with this span gets a row of
    /// its own. A shared row that has no calls yet is removed.
    pub(super) fn part_from(&mut self, key: Key, span: u64) {
        self.last = None;
        let Some(fold) = self.open.get_mut(&key).filter(|fold| fold.row.header.span == span) else { return };
        if fold.row.sums.calls == 0 {
            self.open.remove(&key);
            self.unlink(key);
        } else {
            fold.row.header.span = fold.last_span;
        }
    }

    /// Closes the rows below the row of this span, and those below them.
    pub(super) fn close_below(&mut self, span: u64) {
        self.last = None;
        let mut spans = vec![span];
        while let Some(span) = spans.pop() {
            for site in self.below.remove(&span).unwrap_or_default() {
                if let Some(fold) = self.open.remove(&(span, site)) {
                    // Without memory, the rows below are closed when they have been open for a window.
                    if spans.make_room(1) {
                        spans.push(fold.row.header.span);
                    }
                    self.finish(fold.row);
                }
            }
        }
    }

    fn close(&mut self, key: Key) {
        self.last = None;
        if let Some(fold) = self.open.remove(&key) {
            let span = fold.row.header.span;
            self.unlink(key);
            self.finish(fold.row);
            self.close_below(span);
        }
    }

    fn unlink(&mut self, (span, site): Key) {
        if let Some(sites) = self.below.get_mut(&span) {
            sites.retain(|other| *other != site);
            if sites.is_empty() {
                self.below.remove(&span);
            }
        }
    }

    fn finish(&mut self, row: SharedRow) {
        if row.sums.calls > 0 {
            self.closed.push_back(row);
        }
    }

    /// Returns the number of rows that are being summed up.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Closes the rows that have been open for a window, and the oldest ones beyond `max` rows.
    pub(super) fn close_due(&mut self, now: Duration, max: usize) {
        if self.open.len() > max {
            let mut keys = collect_most(self.open.iter().map(|(key, fold)| (fold.opened, *key)));
            keys.sort_unstable();
            let excess = self.open.len() - max;
            keys.into_iter().take(excess).for_each(|(_, key)| self.close(key));
        }
        if self.open.is_empty() || now < self.next_close {
            return;
        }
        let due = |fold: &OpenFold| now >= fold.opened + limits::FOLD_WINDOW;
        let keys = collect_most(self.open.iter().filter(|(_, fold)| due(fold)).map(|(key, _)| *key));
        for key in keys {
            self.close(key);
        }
        let opened = self.open.values().map(|fold| fold.opened).min();
        self.next_close = opened.map_or(now, |opened| opened + limits::FOLD_WINDOW);
    }

    /// Closes all rows.
    pub(super) fn close_all(&mut self) {
        self.last = None;
        self.below.clear();
        for (_, fold) in std::mem::take(&mut self.open) {
            self.finish(fold.row);
        }
    }

    /// Returns the row that was closed first and not taken yet.
    pub(super) fn take_closed(&mut self) -> Option<SharedRow> {
        self.closed.pop_front()
    }

    /// Returns the threads and the records that the open rows would have if they were closed now.
    pub(super) fn images(&self) -> impl Iterator<Item = (u32, Vec<u64>)> {
        let open = self.open.values().map(|fold| &fold.row).filter(|row| row.sums.calls > 0);
        open.map(|row| (row.thread, row.encode()))
    }
}
