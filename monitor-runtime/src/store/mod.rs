//! Stores batches in SQLite, and opens a store for reading.
//!
//! Takes batches, points in time and bounds; gives tables and views, and the rates and holds that users set in them. A
//! batch is committed together with the number of its process's last batch, or not at all, so a batch that is sent
//! twice is stored once. The module starts no threads and reads no clock: points in time are arguments.
//!
//! A batch meets the files in this order: `interface` (the trait), `options`, `connection` (with `file`, `harden`,
//! `read_only`, `examine`, `owner`, `migrate`, `schema`), `sqlite` (the store), `transaction` (with `process`,
//! `id_cache`, `calls`, `zones`, `logs`, `slices`, `windows`, `totals`, `alerts`, `metrics`, `error_groups`, `rows`,
//! `retention`).
//! `recovered_rows` writes what a dead process left, and `query` serves readers.

pub mod schema;
pub mod schema_doc;
mod error;
mod interface;
mod options;
mod file;
mod vfs;
mod migrate;
mod handle;
mod harden;
mod examine;
mod owner;
mod connection;
pub mod fingerprint;
mod recent_failures;
mod metric_ids;
mod awaited_calls;
mod forgotten_rows;
mod id_cache;
mod calendar;
mod zones;
mod rows;
mod calls;
mod slices;
mod window_stats;
pub mod chunks;
mod windows;
mod totals;
mod alerts;
mod metrics;
mod logs;
mod error_groups;
mod retention;
mod process;
pub mod span_ids;
mod transaction;
pub(crate) mod recovered_rows;
mod sqlite;
pub mod query;

pub use crate::platform::file_system::{FileSystem, System};
pub(crate) use connection::with_connection;
pub(crate) use error::no_memory;
pub use error::{OpenError, StoreError};
pub(crate) use error_groups::OTHER_KIND;
pub use interface::{BUSY_MAX, Hold, Notice, Retained, SetHold, SetRate, Store, Written};
pub use options::StoreOptions;
pub(crate) use sqlite::RecoveryStep;
pub use sqlite::SqliteStore;
pub(crate) use vfs::name as find_vfs;
