//! The ring file of this process: made where the settings say, else not at all. In: settings and who this
//! process is. Out: memory for rings, mapped or not; why not is reported by the collector.

use std::path::Path;

use crate::batch::ProcessRow;
use crate::config::{Location, Settings};
use crate::platform::liveness;
use crate::ring::mapping::Mapping;
use crate::ring::memory::Memory;
use crate::ring::metadata::Identity;

/// Who this process is.
pub(super) fn process(settings: &Settings) -> ProcessRow {
    ProcessRow {
        run_uuid: super::run_uuid(),
        service: settings.service.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: crate::platform::process::host_name(),
        pid: std::process::id(),
        started_ns: crate::platform::clock::wall_ns(),
    }
}

/// Memory for the rings of this process, and what its ring file is to say of it.
pub(super) fn open(settings: &Settings, process: &ProcessRow) -> (Memory, Option<Identity>) {
    // A store in memory ends with the process: nobody could recover anything.
    let Location::File(store) = &settings.db else { return (Memory::on_heap(None), None) };
    let Some(mark) = liveness::mark(process.pid).filter(|_| !cfg!(miri) && !settings.ring_folders.is_empty())
    else {
        return (Memory::on_heap(None), None);
    };
    let name = crate::recover::file_name(store, process.pid, &mark, &process.run_uuid);
    let bytes_max =
        usize::try_from(settings.max_memory_bytes).unwrap_or(usize::MAX).saturating_add(TABLES_BYTES_MAX);
    let mut problems = Vec::new();
    for folder in &settings.ring_folders {
        match make(folder, &name, bytes_max, store) {
            Ok(mapping) => {
                let identity = Identity {
                    process: process.clone(),
                    mark,
                    store: store.clone(),
                    retention_ns: u64::try_from(settings.retention.as_nanos()).unwrap_or(u64::MAX),
                    max_disk_bytes: settings.max_disk_bytes,
                };
                return (Memory::mapped(mapping), Some(identity));
            }
            Err(why) => problems.push(why),
        }
    }
    (Memory::on_heap(Some(problems.join("; "))), None)
}

fn make(folder: &Path, name: &Path, bytes_max: usize, store: &Path) -> Result<Mapping, String> {
    if store.as_os_str().len() > STORE_BYTES_MAX {
        return Err("the store's path is too long".to_owned());
    }
    Mapping::create(folder, &name.to_string_lossy(), bytes_max)
}

/// Bytes of a path that fit a ring file's head.
const STORE_BYTES_MAX: usize = 1016;
/// What lies in a ring file beside rings and records that wait: a few pages for each of 65 536 functions,
/// names of threads, slots for calls. A bound on addresses, not on memory: pages are asked for as needed.
const TABLES_BYTES_MAX: usize = 32 << 20;
