//! The records in trees of calls, by function.

use crate::growth::MakeRoom as _;
use crate::record::{Header, Kept};

/// The records of trees that begin with one function.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in super::super) struct TreeCost {
    /// True if a long-lived call, such as `main`, is around some of these trees.
    pub(in super::super) begins_below: bool,
    /// The functions in these trees, that of their roots included. They are few, so they are searched one by one.
    parts: Vec<Part>,
}

/// The calls of one function in trees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct Part {
    pub(in super::super) site: u32,
    /// Records of sampled calls, and those of them that have a row of their own, unless tail sampling removes it.
    pub(in super::super) records: u64,
    pub(in super::super) rows: u64,
    /// The calls that all records stand for.
    pub(in super::super) calls: f64,
}

impl TreeCost {
    /// Adds a record.
    #[inline]
    pub(super) fn add(&mut self, header: &Header, has_row: bool) {
        // A failure has its record at any rate.
        let is_sampled = header.kept == Kept::Sampled;
        self.add_part(Part {
            site: header.site,
            records: u64::from(is_sampled),
            rows: u64::from(is_sampled && has_row),
            calls: f64::from(header.weight),
        });
    }

    /// Adds calls that share a row and left no record. They stand for `calls` calls.
    pub(super) fn add_folded(&mut self, site: u32, calls: f64) {
        self.add_part(Part { site, records: 0, rows: 0, calls });
    }

    fn add_part(&mut self, more: Part) {
        if let Some(part) = self.parts.iter_mut().find(|part| part.site == more.site) {
            part.records += more.records;
            part.rows += more.rows;
            part.calls += more.calls;
        } else if self.parts.make_room(1) {
            // Costs are estimated: without memory, these calls are left out of the estimate.
            self.parts.push(more);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.begins_below |= other.begins_below;
        other.parts.iter().for_each(|part| self.add_part(*part));
    }

    pub(in super::super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}
