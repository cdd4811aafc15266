//! A profile of speedscope's own format: one list of frames, each function once, and sampled profiles of their stacks.
//!
//! The file grows with the shape of the code and not with the number of calls.

use std::io::Write;

use anyhow::Result;
use serde_json::{Value, json};

use crate::format::write_json;
use crate::model::trees::stacks::{Stacks, Weight};

/// The profiles: name, weight and speedscope's name of its unit.
const PROFILES: [(&str, Weight, &str); 3] = [
    ("self time", Weight::SelfTime, "nanoseconds"),
    ("calls", Weight::Calls, "none"),
    ("failures", Weight::Failures, "none"),
];

pub(super) fn write(stacks: &Stacks, name: &str, out: &mut dyn Write) -> Result<()> {
    let frames: Vec<Value> = stacks
        .names
        .iter()
        .map(|name| match &name.source {
            Some((file, line)) => json!({"name": name.text, "file": file, "line": line}),
            None => json!({"name": name.text}),
        })
        .collect();
    write!(out, "{{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\",\"exporter\":")?;
    write_json(&mut *out, &concat!("monitor ", env!("CARGO_PKG_VERSION")))?;
    write!(out, ",\"name\":")?;
    write_json(&mut *out, &name)?;
    write!(out, ",\"activeProfileIndex\":0,\"shared\":{{\"frames\":")?;
    write_json(&mut *out, &frames)?;
    write!(out, "}},\"profiles\":[")?;
    for (at, (name, weight, unit)) in PROFILES.into_iter().enumerate() {
        write!(out, "{}", if at == 0 { "" } else { "," })?;
        write_profile(stacks, name, weight, unit, out)?;
    }
    Ok(writeln!(out, "]}}")?)
}

fn write_profile(stacks: &Stacks, name: &str, weight: Weight, unit: &str, out: &mut dyn Write) -> Result<()> {
    let weights: Vec<(usize, u64)> = (stacks.frames.iter().enumerate())
        .map(|(at, frame)| (at, frame.weigh(weight)))
        .filter(|(_, weight)| *weight > 0)
        .collect();
    let sum = weights.iter().fold(0_u64, |sum, (_, weight)| sum.saturating_add(*weight));
    write!(
        out,
        "{{\"type\":\"sampled\",\"name\":\"{name}\",\"unit\":\"{unit}\",\"startValue\":0,\"endValue\":{sum},\"samples\":["
    )?;
    for (position, (at, _)) in weights.iter().enumerate() {
        write!(out, "{}", if position == 0 { "" } else { "," })?;
        let stack: Vec<usize> = stacks.path(*at).into_iter().map(|at| stacks.frames[at].name).collect();
        write_json(&mut *out, &stack)?;
    }
    write!(out, "],\"weights\":")?;
    write_json(&mut *out, &weights.iter().map(|(_, weight)| weight).collect::<Vec<_>>())?;
    Ok(write!(out, "}}")?)
}
