//! Folded stacks: a line per stack, `outer;inner 1234`, as flamegraph.pl, inferno and others read them.
//!
//! A `;` in a name, which `[u8; 4]` has, would separate frames, so it becomes `,`. Stacks without weight have no line.

use std::io::Write;

use anyhow::Result;

use crate::model::trees::stacks::{Stacks, Weight};

pub(super) fn write(stacks: &Stacks, weight: Weight, out: &mut dyn Write) -> Result<()> {
    let names: Vec<String> = stacks.names.iter().map(|name| name.text.replace(';', ",")).collect();
    for (at, frame) in stacks.frames.iter().enumerate() {
        let weight = frame.weigh(weight);
        if weight == 0 {
            continue;
        }
        for (depth, at) in stacks.path(at).into_iter().enumerate() {
            let separator = if depth == 0 { "" } else { ";" };
            write!(out, "{separator}{}", names[stacks.frames[at].name])?;
        }
        writeln!(out, " {weight}")?;
    }
    Ok(())
}
