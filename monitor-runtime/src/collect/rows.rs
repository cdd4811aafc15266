//! The rows of a batch that came through rings: calls, and log lines among them.
//!
//! Takes rows in the order in which they were recorded; divides them at any place of that order. Pure. It does not know
//! what becomes of the parts.

use crate::batch::{CallRow, LogRow};
use crate::growth::MakeRoom as _;

/// Rows in the order in which they were recorded: each line has the number of calls that come before it.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) calls: Vec<CallRow>,
    pub(super) logs: Vec<LogRow>,
}

impl Rows {
    /// Returns the number of rows.
    pub(super) fn len(&self) -> usize {
        self.calls.len() + self.logs.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a line behind all other rows.
    pub(super) fn push_log(&mut self, line: LogRow) {
        self.logs.push(LogRow { calls_before: self.calls.len(), ..line });
    }

    /// Keeps this many rows, and puts the others before those of another list. Returns false if there is no memory for
    /// that: both lists then stay as they are.
    pub(super) fn move_later(&mut self, kept: usize, later: &mut Self) -> bool {
        let is_kept = |(at, line): &(usize, &LogRow)| at + line.calls_before < kept;
        let lines = self.logs.iter().enumerate().take_while(is_kept).count();
        let calls = (kept - lines.min(kept)).min(self.calls.len());
        let mut moved = Self::default();
        let room = (self.calls.len() - calls + later.calls.len(), self.logs.len() - lines + later.logs.len());
        if !(moved.calls.make_room(room.0) && moved.logs.make_room(room.1)) {
            return false;
        }
        moved.calls.extend(self.calls.drain(calls..));
        moved.logs.extend(self.logs.drain(lines..));
        moved.logs.iter_mut().for_each(|line| line.calls_before -= calls);
        later.logs.iter_mut().for_each(|line| line.calls_before += moved.calls.len());
        moved.calls.append(&mut later.calls);
        moved.logs.append(&mut later.logs);
        *later = moved;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::decode::{self, PendingCall};
    use crate::platform::clock::Clock;
    use crate::record::{Header, Outcome};

    /// Returns rows in this order, a call for each `c`, and a line for each other letter.
    fn rows(order: &str) -> Rows {
        let clock = Clock::start();
        let mut rows = Rows::default();
        for (at, letter) in order.bytes().enumerate() {
            if letter == b'c' {
                let header = Header::any(at as u32, Outcome::Ok);
                let pending =
                    PendingCall { thread: 1, header, values: &[], value_bytes: 0, fold: None, end: (1, 0) };
                let times = decode::to_times(&header, &clock);
                rows.calls.push(decode::to_row(&pending, times, decode::Values::default(), &clock));
            } else {
                rows.push_log(LogRow { span_id: at as u64, ..LogRow::default() });
            }
        }
        rows
    }

    /// Returns the places of the rows in the order that they were made from.
    fn order(rows: &Rows) -> Vec<u64> {
        let mut lines = rows.logs.iter().peekable();
        let mut order = Vec::new();
        for at in 0..=rows.calls.len() {
            while let Some(line) = lines.next_if(|line| line.calls_before == at) {
                order.push(line.span_id);
            }
            order.extend(rows.calls.get(at).map(|call| u64::from(call.function)));
        }
        order
    }

    #[test]
    fn rows_divide_at_any_place_and_join_again() {
        for text in ["", "c", "l", "cl", "lc", "llcclcclllc", "cccc", "llll", "lcclcl"] {
            let all: Vec<u64> = (0..text.len() as u64).collect();
            for kept in 0..=text.len() + 1 {
                let (mut first, mut later) = (rows(text), Rows::default());
                assert!(first.move_later(kept, &mut later));
                let middle = kept.min(text.len());
                assert_eq!(order(&first), all[..middle], "{text} {kept}");
                assert_eq!(order(&later), all[middle..], "{text} {kept}");
                assert_eq!((first.len(), later.len()), (middle, text.len() - middle));
                assert!(first.move_later(0, &mut later) && first.is_empty());
                assert_eq!(order(&later), all, "{text} {kept}");
            }
        }
    }
}
