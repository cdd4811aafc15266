//! The span ids of a store and those of its processes.
//!
//! A process numbers its spans by blocks of its own, and the store gives each block a number that is unique in the
//! store. Takes an id as a subscriber sees it in the process; gives the id in the store. A store of an older version
//! has no blocks.

use anyhow::Result;

use crate::store::Store;

/// Returns the store's id of a span that a process has given out; `None` if no process has. If several processes have,
/// the newest process is meant.
pub(crate) fn find_newest(store: &Store, own: i64) -> Result<Option<i64>> {
    let sql = "SELECT id << 20 | (:own & 1048575) FROM span_block WHERE block = :own >> 20 ORDER BY id DESC LIMIT 1";
    store.read_integer(sql, &[(":own", &own)])
}

/// Returns the store's id of a span of the run with this UUID; `None` if the store does not know its block yet.
pub(crate) fn find_in_run(store: &Store, run_uuid: &str, own: i64) -> Result<Option<i64>> {
    let sql = "SELECT b.id << 20 | (:own & 1048575) FROM span_block b JOIN process p ON p.id = b.process_id
               WHERE p.run_uuid = :uuid AND b.block = :own >> 20";
    store.read_integer(sql, &[(":own", &own as &dyn rusqlite::ToSql), (":uuid", &run_uuid)])
}
