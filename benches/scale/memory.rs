//! The memory of this process, as the kernel counts it in `/proc/self/status`.

use crate::Result;

/// Returns the resident memory in MiB.
pub(crate) fn resident_mib() -> Result<f64> {
    mib("VmRSS:")
}

/// Returns the part of the resident memory that belongs to no file, in MiB. The rings are not in this part.
pub(crate) fn anonymous_mib() -> Result<f64> {
    mib("RssAnon:")
}

/// Returns the part of the resident memory that is shared, in MiB: the touched pages of files in memory, which are
/// mainly the rings. The bound of the rings bounds this part.
pub(crate) fn shared_mib() -> Result<f64> {
    mib("RssShmem:")
}

/// Reads a line of the kernel's account.
fn mib(name: &str) -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let line = line.ok_or_else(|| format!("no {name} in /proc"))?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}
