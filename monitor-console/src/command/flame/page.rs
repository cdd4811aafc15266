//! The flame graph as one page, which contains its script and its data and loads nothing else.
//!
//! Names are escaped in three ways: control and bidirectional characters are shown as escapes, JSON escapes the
//! characters that end a string, and `<` is written as an escape so that no name ends the script. The script inserts
//! names only as text, never as markup.

use std::io::Write;

use anyhow::Result;
use serde_json::json;

use crate::format::write_json;
use crate::model::trees::stacks::Stacks;
use crate::units;

/// The page around its data.
const PAGE: &str = include_str!("page.html");
/// The place of the data in the page.
const MARK: &str = "\"data\"";
/// The most boxes of a page. Wider boxes come first.
const BOXES_MAX: usize = 20_000;

pub(super) fn write(stacks: &Stacks, title: &str, basis: &str, out: &mut dyn Write) -> Result<()> {
    let kept = keep(stacks);
    let mut positions = vec![-1_i64; stacks.frames.len()];
    let mut frames = Vec::with_capacity(kept.len());
    for (position, at) in (0_i64..).zip(&kept) {
        positions[*at] = position;
        let frame = &stacks.frames[*at];
        let caller = frame.caller.map_or(-1, |caller| positions[caller]);
        frames.push(json!([
            caller,
            frame.name,
            frame.total_ns.round(),
            frame.self_ns.round(),
            frame.calls.round(),
            frame.failed.round()
        ]));
    }
    let left_out = stacks.frames.len() - kept.len();
    let mut basis = crate::terminal::escape(basis).into_owned();
    if left_out > 0 {
        let text = units::format_quantity(left_out, "narrowest box is", "narrowest boxes are");
        basis = format!("{basis} · the {text} left out");
    }
    let names: Vec<&str> = stacks.names.iter().map(|name| name.text.as_str()).collect();
    let data = json!({
        "title": crate::terminal::escape(title),
        "basis": basis,
        "names": names,
        "frames": frames,
    });
    let mut text = Vec::new();
    write_json(&mut text, &data)?;
    let text = String::from_utf8_lossy(&text).replace('<', "\\u003c");
    let (before, after) = PAGE.split_once(MARK).unwrap_or((PAGE, ""));
    write!(out, "{before}{text}{after}")?;
    Ok(())
}

/// Returns the widest frames, callers before their callees. A caller is at least as wide as its callees, so it is kept with them.
fn keep(stacks: &Stacks) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..stacks.frames.len()).collect();
    if kept.len() > BOXES_MAX {
        kept.sort_by(|a, b| stacks.frames[*b].total_ns.total_cmp(&stacks.frames[*a].total_ns).then(a.cmp(b)));
        kept.truncate(BOXES_MAX);
        kept.sort_unstable();
    }
    kept
}
