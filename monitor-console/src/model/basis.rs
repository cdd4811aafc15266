//! The basis of an answer: the rows or windows that it rests on, since when they reach, and how fresh the store is.

use anyhow::Result;

use crate::store::Store;
use crate::units::{self, format_quantity};

/// The amount of data behind an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Basis {
    /// Rows of calls that were read.
    pub(crate) rows: u64,
    /// Windows of 10 s that were read.
    pub(crate) windows: u64,
    /// The start of the earliest row or window, ns since the Unix epoch.
    pub(crate) since_ns: Option<i64>,
    /// The start of the latest row or window, ns since the Unix epoch.
    pub(crate) until_ns: Option<i64>,
    /// True if calls were sampled, so the numbers of calls are estimates.
    pub(crate) is_estimated: bool,
    /// True if older rows were left out, because a bound was reached.
    pub(crate) is_cut: bool,
    /// The last write to the store, ns since the Unix epoch.
    pub(crate) last_write_ns: Option<i64>,
}

impl Basis {
    /// Reads when the store was last written to.
    pub(crate) fn with_last_write(mut self, store: &Store) -> Result<Self> {
        self.last_write_ns = store.read_integer("SELECT MAX(last_seen_ns) FROM processes", [])?;
        Ok(self)
    }

    /// Reads when one of the stores was last written to.
    pub(crate) fn with_last_write_of(mut self, stores: &[&Store]) -> Result<Self> {
        let mut last = None;
        for store in stores {
            last = last.max(Self::default().with_last_write(store)?.last_write_ns);
        }
        self.last_write_ns = last;
        Ok(self)
    }

    /// Returns the basis of an answer that rests on both amounts.
    pub(crate) fn joined(&self, other: &Self) -> Self {
        let earlier = [self.since_ns, other.since_ns].into_iter().flatten().min();
        Self {
            rows: self.rows + other.rows,
            windows: self.windows + other.windows,
            since_ns: earlier,
            until_ns: self.until_ns.max(other.until_ns),
            is_estimated: self.is_estimated || other.is_estimated,
            is_cut: self.is_cut || other.is_cut,
            last_write_ns: self.last_write_ns.max(other.last_write_ns),
        }
    }

    /// Describes the basis in words: `rests on 12 345 rows of the last 2 h · last write 3 s ago`.
    pub(crate) fn describe(&self) -> String {
        let now = units::now_ns();
        let mut counted = Vec::new();
        for (number, singular, plural) in
            [(self.rows, "row", "rows"), (self.windows, "window of 10 s", "windows of 10 s")]
        {
            if number > 0 {
                let number = i64::try_from(number).unwrap_or(i64::MAX);
                counted.push(format_quantity(units::format_exact(number), singular, plural));
            }
        }
        let mark = if self.is_estimated { "~ " } else { "" };
        let rests = if counted.is_empty() {
            "rests on no rows".to_owned()
        } else {
            format!("{mark}rests on {}", counted.join(" and "))
        };
        let mut parts = vec![rests];
        if let Some(since) = self.since_ns {
            parts.push(format!("since {} UTC", units::format_time(since, now)));
        }
        if self.is_cut {
            parts.push("older rows are left out".to_owned());
        }
        if let Some(last) = self.last_write_ns {
            parts.push(format!("last write {}", units::format_age(last, now)));
        }
        parts.join(" · ")
    }
}
