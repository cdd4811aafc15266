//! The identity of this process: its row, the id of the run, and the program that it runs.

use crate::batch::{ProcessRow, Program};
use crate::config::{Settings, process_executable};
use crate::platform::{build_id, process};

/// Returns the row of this process.
pub(super) fn process(settings: &Settings) -> ProcessRow {
    ProcessRow {
        run_uuid: run_uuid(),
        service: settings.service.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: process::host_name(),
        pid: std::process::id(),
        started_ns: crate::platform::clock::wall_ns(),
        program: program(settings),
    }
}

/// Returns the id of the run: 32 hexadecimal digits.
fn run_uuid() -> String {
    format!("{:016x}{:016x}", process::random_seed(), process::random_seed())
}

fn program(settings: &Settings) -> Program {
    let path = process_executable();
    Program {
        build: build_id::build_id(path.as_deref()),
        executable: path.map(|path| path.to_string_lossy().into_owned()),
        version: settings.version.clone(),
    }
}
