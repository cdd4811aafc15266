//! The ring file of this process: created in the first folder of the settings where that succeeds, otherwise not at
//! all.
//!
//! Takes settings and the identity of the process; gives memory for rings, mapped or on the heap. The collector reports
//! why there is no ring file.

use std::path::Path;

use super::address_space::Room;
use crate::batch::ProcessRow;
use crate::config::{Location, Settings};
use crate::platform::{self, liveness};
use crate::ring::mapping::Mapping;
use crate::ring::memory::Memory;
use crate::ring::metadata::Identity;

/// Returns the memory for the rings of this process, and the identity that is to be written into the ring file, or
/// `None` if there is no ring file. `room` says whether the address space has room for a ring file.
pub(super) fn open(settings: &Settings, process: &ProcessRow, room: Room) -> (Memory, Option<Identity>) {
    let as_set = |why: &str| (Memory::on_heap_as_set(why), None);
    let Location::File(store) = &settings.db else {
        return as_set("the store is in memory and ends with the process as well");
    };
    if room != Room::File {
        return as_set("the address space of the process is limited (ulimit -v)");
    }
    if let Some(why) = platform::missing_ring_files() {
        return as_set(why);
    }
    if settings.ring_folders.is_empty() {
        return as_set("the setting `rings` is off");
    }
    let Some(mark) = liveness::mark(process.pid).filter(|_| !cfg!(miri)) else {
        let why = "/proc cannot be read, so nobody could tell whether the process has died";
        return (Memory::on_heap(Some(why.to_owned())), None);
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

/// Makes a ring file, or returns the reason why that is not possible.
fn make(folder: &Path, name: &Path, bytes_max: usize, store: &Path) -> Result<Mapping, String> {
    if store.as_os_str().len() > STORE_BYTES_MAX {
        return Err("the store's path is too long".to_owned());
    }
    Mapping::create(folder, &name.to_string_lossy(), bytes_max)
}

/// Bytes of the store's path that fit the head of a ring file.
const STORE_BYTES_MAX: usize = 1016;
/// Bytes of a ring file beside rings and waiting records: a few pages for each of 65 536 functions, names of threads, and
/// slots for suspended calls. This bounds addresses, not memory, because pages are used as needed.
pub(super) const TABLES_BYTES_MAX: usize = 32 << 20;
