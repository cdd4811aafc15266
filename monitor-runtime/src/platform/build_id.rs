//! The id of the build that the process runs.
//!
//! Takes the path of the executable; gives the build id that the linker wrote into it, or a hash of its size and of the time of
//! its last change. The build id is read from memory, where the system's loader has put it.

use std::path::Path;

use std::hash::Hasher as _;

use fnv::FnvHasher;

/// Returns the id of the build, or `None` if there is neither a build id nor an executable whose metadata can be read.
pub(crate) fn build_id(executable: Option<&Path>) -> Option<String> {
    linked().or_else(|| stamp(executable?))
}

/// Returns a hash of the executable's size and of the time of its last change.
fn stamp(executable: &Path) -> Option<String> {
    let found = std::fs::metadata(executable).ok()?;
    let changed = found.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    let mut hasher = FnvHasher::default();
    hasher.write_u64(found.len());
    hasher.write_u128(changed.as_nanos());
    Some(format!("stamp-{:016x}", hasher.finish()))
}

#[cfg(not(all(target_os = "linux", not(miri))))]
fn linked() -> Option<String> {
    None
}

#[cfg(all(target_os = "linux", not(miri)))]
use elf::linked;

#[cfg(all(target_os = "linux", not(miri)))]
mod elf {
    #![allow(unsafe_code, reason = "reads the notes of the program that runs")]

    use std::fmt::Write as _;

    /// The type of the note that holds the build id.
    const BUILD_ID: u32 = 3;
    /// Bytes of the longest id that is read: a SHA-256.
    const ID_BYTES_MAX: usize = 32;

    /// Returns the build id of the program, as hexadecimal digits.
    pub(super) fn linked() -> Option<String> {
        let mut found: Option<String> = None;
        // SAFETY: the callback keeps to its signature, and `found` outlives the call.
        unsafe { libc::dl_iterate_phdr(Some(visit_object), (&raw mut found).cast()) };
        found
    }

    /// Looks at the first object, which is the program, and ends the iteration.
    unsafe extern "C" fn visit_object(
        object: *mut libc::dl_phdr_info,
        _size: libc::size_t,
        found: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: the loader hands over a description that is valid during the call.
        let object = unsafe { &*object };
        // SAFETY: this is the pointer that `linked` gave.
        let found = unsafe { &mut *found.cast::<Option<String>>() };
        if object.dlpi_phdr.is_null() {
            return 1;
        }
        // SAFETY: the description names its headers and their number.
        let headers = unsafe { std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)) };
        for header in headers.iter().filter(|header| header.p_type == libc::PT_NOTE) {
            // Addresses of a header are relative to the place where the object was loaded.
            #[allow(clippy::cast_possible_truncation, reason = "addresses and sizes of this machine")]
            let (at, size) =
                ((object.dlpi_addr + header.p_vaddr) as usize, header.p_memsz.min(header.p_filesz) as usize);
            // SAFETY: the segment is loaded for as long as the program runs, and nobody writes to notes.
            let notes = unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance(at), size) };
            *found = read_notes(notes);
            if found.is_some() {
                break;
            }
        }
        1
    }

    /// Returns the build id among notes: each has the length of its name, the length of its content, a type, and then both,
    /// each filled up to words of four bytes.
    pub(super) fn read_notes(mut notes: &[u8]) -> Option<String> {
        while let Some((header, rest)) = notes.split_at_checked(12) {
            let number = |at: usize| header[at..at + 4].try_into().map(u32::from_ne_bytes).ok();
            let (name_bytes, id_bytes) = (number(0)? as usize, number(4)? as usize);
            let name = rest.get(..name_bytes)?;
            let id_at = name_bytes.checked_next_multiple_of(4)?;
            let id = rest.get(id_at..id_at.checked_add(id_bytes)?)?;
            if number(8)? == BUILD_ID && name == b"GNU\0" && !id.is_empty() && id.len() <= ID_BYTES_MAX {
                return Some(id.iter().fold(String::new(), |mut text, byte| {
                    let _ = write!(text, "{byte:02x}");
                    text
                }));
            }
            notes = rest.get(id_at.checked_add(id_bytes.checked_next_multiple_of(4)?)?..)?;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_build_has_an_id_that_does_not_change_while_it_runs() {
        let executable = std::env::current_exe().unwrap();
        let id = build_id(Some(&executable)).unwrap();
        assert_eq!(build_id(Some(&executable)).unwrap(), id);
        assert!(id.len() >= 16, "{id}");
    }

    #[test]
    fn a_build_without_an_id_is_told_by_size_and_time() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["a", "b"].map(|name| folder.path().join(name));
        std::fs::write(&one, "1").unwrap();
        std::fs::write(&other, "22").unwrap();
        assert_ne!(stamp(&one).unwrap(), stamp(&other).unwrap());
        assert_eq!(stamp(&one), stamp(&one));
        assert_eq!(stamp(&folder.path().join("missing")), None);
    }

    #[cfg(all(target_os = "linux", not(miri)))]
    #[test]
    fn notes_that_are_cut_or_lie_about_their_lengths_have_no_id() {
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
        let gnu = u32::from_ne_bytes(*b"GNU\0");
        let whole = words(&[4, 8, 5, gnu, 0, 0, 4, 4, 3, gnu, u32::from_ne_bytes([0xab, 0xcd, 0xef, 1])]);
        assert_eq!(elf::read_notes(&whole).unwrap(), "abcdef01");
        for cut in 0..whole.len() {
            assert_eq!(elf::read_notes(&whole[..cut]), None);
        }
        assert_eq!(elf::read_notes(&words(&[u32::MAX, u32::MAX, 3, gnu])), None);
        assert_eq!(elf::read_notes(&words(&[4, u32::MAX, 3, gnu, 1, 2])), None);
    }
}
