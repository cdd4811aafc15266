//! The share of a limited address space (`ulimit -v`) that the recorder takes: at most half of what is left.
//!
//! A program whose allocation fails ends, and what the recorder maps is what the program cannot map any more. Takes the
//! bytes that are left; gives settings with less memory, or none where not even the recorder's thread has room.

use crate::config::Settings;
use crate::limits::MAX_MEMORY_BYTES_MIN;

/// The part of what is left that stays the program's, as a divisor.
const SHARE: u64 = 2;
/// The stacks of the recorder's threads, SQLite's cache, batches on their way, and tables per function.
const WORK_BYTES: u64 = 12 << 20;
/// The addresses that the C library sets aside for a thread's small allocations: none by some, 64 MiB by the GNU C library.
const ARENA_BYTES: u64 = if cfg!(target_env = "gnu") { 64 << 20 } else { 0 };

/// The places at which the recorder keeps records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// A ring file, whose tables need this many bytes beyond the settings' memory.
    File,
    /// The heap: there is no room for a ring file's tables.
    Heap,
    /// Nowhere.
    None,
}

/// Returns true if the recorder's share of what is left has room for its thread, which is not started otherwise: the addresses
/// that the C library sets aside for a thread are not given back when it ends.
pub(super) fn has_room_for_thread(left: Option<u64>) -> bool {
    left.is_none_or(|left| left / SHARE >= WORK_BYTES + ARENA_BYTES + MAX_MEMORY_BYTES_MIN)
}

/// Lowers the memory of the settings to the recorder's share of what is left. Returns where records may be kept.
pub(super) fn fit(settings: &mut Settings, left: Option<u64>, tables_bytes: u64) -> Room {
    let Some(left) = left else { return Room::File };
    let Some(share) = (left / SHARE).checked_sub(WORK_BYTES + ARENA_BYTES) else { return Room::None };
    let (bytes, room) = match share.checked_sub(tables_bytes) {
        Some(bytes) if bytes >= MAX_MEMORY_BYTES_MIN => (bytes, Room::File),
        _ => (share, Room::Heap),
    };
    if bytes < MAX_MEMORY_BYTES_MIN {
        return Room::None;
    }
    settings.max_memory_bytes = settings.max_memory_bytes.min(bytes);
    room
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Surroundings;

    fn fitted(left: Option<u64>) -> (Room, u64) {
        let surroundings = Surroundings { variable: &|_| None, executable: None };
        let mut settings = Settings::resolve(None, &surroundings).0;
        (fit(&mut settings, left, 32 << 20), settings.max_memory_bytes >> 20)
    }

    #[test]
    fn the_recorder_takes_at_most_half_of_what_is_left() {
        let fixed = WORK_BYTES + ARENA_BYTES;
        assert_eq!(fitted(None), (Room::File, 64));
        assert_eq!(fitted(Some(u64::MAX)), (Room::File, 64));
        assert_eq!(fitted(Some(2 * (fixed + (40 << 20)))), (Room::File, 8));
        assert_eq!(fitted(Some(2 * (fixed + (32 << 20)))), (Room::Heap, 32));
        assert_eq!(fitted(Some(2 * (fixed + (4 << 20)))), (Room::Heap, 4));
        assert_eq!(fitted(Some(2 * fixed)).0, Room::None);
        assert_eq!(fitted(Some(0)).0, Room::None);
        for left in [None, Some(0), Some(2 * fixed), Some(2 * fixed + (2 << 20)), Some(u64::MAX)] {
            assert!(has_room_for_thread(left) || fitted(left).0 == Room::None, "{left:?}");
        }
    }
}
