//! The opening of the store: where the settings place it, otherwise in the default folder, otherwise in memory.
//!
//! Takes settings; gives a store, and a notice if it is not where the settings place it.

use std::sync::Arc;

use crate::accountant::Accountant;
use crate::batch::ProcessRow;
use crate::collect::shared::Shared;
use crate::collect::{Opened, Opener};
use crate::config::{Location, Settings, process_default_location, process_executable};
use crate::recover::recovery_step;
use crate::store::{OpenError, SqliteStore, StoreError, StoreOptions};
use crate::sync::lock;

/// Returns a function that opens the store of these settings, as often as it is called, with the bounds that the settings
/// file has changed since.
pub(super) fn opener(
    settings: &Settings,
    process: ProcessRow,
    shared: Arc<Shared>,
    accountant: &'static Accountant,
) -> Opener {
    let mut settings = settings.clone();
    Box::new(move |now_ns| {
        if let Some(bounds) = *lock(&shared.store_bounds) {
            (settings.retention, settings.max_disk_bytes) = bounds;
        }
        open(&settings, &process, accountant, now_ns)
    })
}

fn open(
    settings: &Settings,
    process: &ProcessRow,
    accountant: &'static Accountant,
    now_ns: i64,
) -> Result<Opened, StoreError> {
    let Location::File(path) = &settings.db else { return open_in_memory(settings, process, now_ns, None) };
    let default = process_default_location(crate::platform::process::is_secure());
    let mut places = vec![path.clone()];
    places.extend(default.clone().filter(|place| place != path));
    let mut problems = Vec::new();
    for place in places {
        // The name of a default store is that of the executable, which other programs may have too.
        let program = process_executable().filter(|_| default.as_ref() == Some(&place));
        let options = StoreOptions { path: Some(place), program, ..options(settings) };
        match SqliteStore::open(&options, process.clone(), now_ns) {
            Ok(store) => {
                let store = store.with_recovery(recovery_step(&process.run_uuid, accountant));
                let path = store.path().map(std::path::Path::to_path_buf);
                let shown = path.as_deref().unwrap_or(std::path::Path::new(":memory:")).display().to_string();
                let notice = (!problems.is_empty())
                    .then(|| format!("{}; recording into {shown}", problems.join("; ")));
                return Ok(Opened { store: Box::new(store), path, notice });
            }
            Err(OpenError::Unwritable { path, why }) => {
                problems.push(format!("no store can be kept at {}: {why}", path.display()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let notice = format!("{}; recording into memory, until the program ends", problems.join("; "));
    open_in_memory(settings, process, now_ns, Some(notice))
}

fn options(settings: &Settings) -> StoreOptions {
    StoreOptions {
        retention: settings.retention,
        max_disk_bytes: settings.max_disk_bytes,
        max_memory_bytes: settings.max_memory_bytes,
        ring_folders: settings.ring_folders.clone(),
        ..StoreOptions::memory()
    }
}

fn open_in_memory(
    settings: &Settings,
    process: &ProcessRow,
    now_ns: i64,
    notice: Option<String>,
) -> Result<Opened, StoreError> {
    let store = SqliteStore::open(&options(settings), process.clone(), now_ns)?;
    Ok(Opened { store: Box::new(store), path: None, notice })
}
