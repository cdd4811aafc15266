//! The number of records in trees of calls.

/// The records of trees that begin with one function.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in super::super) struct TreeCost {
    /// Trees whose root has ended.
    pub(in super::super) roots: u64,
    /// Records in them, those of the roots included.
    pub(in super::super) records: u64,
    /// Records with captured values among these.
    pub(in super::super) with_values: u64,
    /// Records that have a row of their own, unless tail sampling removes it.
    pub(in super::super) rows: u64,
}

impl TreeCost {
    pub(super) fn add_record(&mut self, has_values: bool, has_row: bool) {
        self.records += 1;
        self.with_values += u64::from(has_values);
        self.rows += u64::from(has_row);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.roots += other.roots;
        self.records += other.records;
        self.with_values += other.with_values;
        self.rows += other.rows;
    }
}
