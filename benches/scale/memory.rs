//! Memory of this process, as the kernel counts it.

use crate::Result;

/// Resident now, in MiB.
pub(crate) fn resident_mib() -> Result<f64> {
    mib("VmRSS:")
}

/// Of that, what is no file's, which the rings are.
pub(crate) fn anonymous_mib() -> Result<f64> {
    mib("RssAnon:")
}

/// Of that, the pages of files in memory, rings above all, that were touched so far: bounded as the rings are.
pub(crate) fn shared_mib() -> Result<f64> {
    mib("RssShmem:")
}

fn mib(name: &str) -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let line = line.ok_or_else(|| format!("no {name} in /proc"))?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}
