//! The comparison of the recorder's counts with the independent ones.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use rusqlite::{Connection, OpenFlags};

/// A count that differs: the function's place, calls by the independent count, calls by the recorder.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) place: String,
    pub(crate) counted: u64,
    pub(crate) recorded: u64,
}

/// The counts of all functions that were called.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    pub(crate) functions: usize,
    pub(crate) calls: u64,
    pub(crate) differences: Vec<Difference>,
}

/// Compares the files of counters with the store.
pub(crate) fn compare(counters: &Path, store: &Path) -> Result<Compared> {
    let mut counted: BTreeMap<String, u64> = BTreeMap::new();
    for entry in std::fs::read_dir(counters)? {
        for line in std::fs::read_to_string(entry?.path())?.lines() {
            if let Some((place, calls)) = line.rsplit_once(' ') {
                *counted.entry(place.to_owned()).or_default() += calls.parse::<u64>()?;
            }
        }
    }
    let mut recorded: BTreeMap<String, u64> = BTreeMap::new();
    if store.exists() {
        let store = Connection::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut select = store.prepare("SELECT file || ':' || line, sum(calls) FROM functions GROUP BY 1")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            recorded.insert(row.get(0)?, u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0));
        }
    }
    let differences = counted.iter().filter_map(|(place, calls)| {
        let seen = recorded.get(place).copied().unwrap_or(0);
        (seen != *calls).then(|| Difference { place: place.clone(), counted: *calls, recorded: seen })
    });
    Ok(Compared {
        functions: counted.len(),
        calls: counted.values().sum(),
        differences: differences.collect(),
    })
}
