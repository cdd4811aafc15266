//! Ring files in their folders: how they are named, which of them are a dead process's, and who may take
//! one in hand. In: folders. Out: files, opened and locked. It does not look further into them than the
//! head page.

use std::path::{Path, PathBuf};

/// The name of a ring file: of whom, for which store, by which process, in which run. The last tells
/// programs apart that one process has become by exec.
pub(crate) fn file_name(store: &Path, pid: u32, mark: &str, run_uuid: &str) -> PathBuf {
    let began = mark.rsplit('/').next().unwrap_or_default();
    let run = run_uuid.get(..8).unwrap_or(run_uuid);
    format!("{}{:016x}-{pid}-{began}-{run}", prefix(), hash(store)).into()
}

/// How the names of this user's ring files begin.
fn prefix() -> String {
    format!("monitored-{}-", crate::store::effective_user())
}

/// FNV-1a, 64 bits.
fn hash(path: &Path) -> u64 {
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}
