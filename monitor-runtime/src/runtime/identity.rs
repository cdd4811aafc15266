//! The identity of this process: its row and the id of the run.

use crate::batch::ProcessRow;
use crate::config::Settings;

/// Returns the row of this process.
pub(super) fn process(settings: &Settings) -> ProcessRow {
    ProcessRow {
        run_uuid: run_uuid(),
        service: settings.service.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: crate::platform::process::host_name(),
        pid: std::process::id(),
        started_ns: crate::platform::clock::wall_ns(),
    }
}

/// Returns the id of the run: 32 hexadecimal digits.
fn run_uuid() -> String {
    format!(
        "{:016x}{:016x}",
        crate::platform::process::random_seed(),
        crate::platform::process::random_seed()
    )
}
