//! `monitor demo`: records a workload of its own and shows what was recorded.

use anyhow::Result;

use crate::arguments::{Common, Demo};

pub(super) fn run(_common: &Common, _arguments: &Demo) -> Result<()> {
    Ok(())
}
