//! The page of the flame graph, which shows where the time goes.

use anyhow::Result;
use maud::html;
use serde_json::{Value, json};

use super::super::app::{Context, PAGE_TIME, Page};
use super::super::chart;
use super::super::command::CommandLine;
use super::{cut, panel};
use crate::command::export;
use crate::model::rows::ROWS_MAX;
use crate::model::schema;
use crate::model::trees::Trees;
use crate::model::trees::stacks::Stacks;
use crate::units;

/// The weights: name in the address, title.
const WEIGHTS: [(&str, &str); 3] = [("time", "time"), ("calls", "calls"), ("failures", "failures")];
/// The most frames of the data.
const FRAMES_MAX: usize = 20_000;

pub(super) fn page(context: &Context<'_>) -> Result<Page> {
    let load =
        || Trees::load_all(&[&context.store], context.scope.period, context.pattern.as_ref(), ROWS_MAX);
    let chosen = context.parameters.text("weight").unwrap_or("time");
    let (weight, _) = WEIGHTS.iter().find(|(name, _)| *name == chosen).copied().unwrap_or(WEIGHTS[0]);
    let mut page = Page {
        title: "Flame".to_owned(),
        sql: Some(schema::select("calls", Some("start_ns"), &context.scope, &[], "ORDER BY call_id DESC")),
        command: match weight {
            "time" => CommandLine::new(context, "flame"),
            other => CommandLine::new(context, "export folded").option("--by", other),
        }
        .pattern()
        .span()
        .finish(),
        ..Page::default()
    };
    let Some(trees) = context.read_within(PAGE_TIME, load)? else {
        page.main = html! { h1 { "Flame graph" } (panel("flame", "All trees", &cut())) };
        return Ok(page);
    };
    let stacks = Stacks::collect(&trees);
    let weights = weigh(&stacks, weight);
    page.data.insert("frames".to_owned(), describe(&stacks));
    page.data.insert("rows_left_out".to_owned(), json!(trees.left_out));
    let describe = |frame: usize| {
        let at = &stacks.frames[frame];
        format!(
            "{}: {} in all, {} itself, {} calls, {} failed",
            stacks.name(frame),
            units::format_duration(at.total_ns),
            units::format_duration(at.self_ns),
            units::format_count(at.calls.round()),
            units::format_count(at.failed.round())
        )
    };
    let title = match &context.pattern {
        Some(pattern) => format!("`{}` and what it calls", pattern.as_str()),
        None => "All trees".to_owned(),
    };
    let content = html! {
        p.chips { @for (name, title) in WEIGHTS {
            a.chip href=(context.links.here(&[("weight", name)])) aria-current=[(name == weight).then_some("true")] { (title) } " "
        } }
        @if stacks.frames.is_empty() {
            p.empty { "no call has a row in this span" }
        } @else {
            (chart::flame(&stacks, context.links, &|frame| weights[frame], &describe))
        }
        p.note { (export::describe(&trees)) ". A box links to the picture from its function on." }
        @if context.scope.processes.is_some() { p.note { "Trees of all processes are shown." } }
    };
    page.main = html! { h1 { "Flame graph" } (panel("flame", &title, &content)) };
    Ok(page)
}

/// Returns the weight of each frame with all below it.
fn weigh(stacks: &Stacks, weight: &str) -> Vec<f64> {
    let own = |at: usize| {
        let frame = &stacks.frames[at];
        match weight {
            "calls" => frame.calls,
            "failures" => frame.failed,
            _ => frame.self_ns,
        }
    };
    let mut weights: Vec<f64> = (0..stacks.frames.len()).map(own).collect();
    // A caller comes before its callees.
    for at in (0..weights.len()).rev() {
        if let Some(caller) = stacks.frames[at].caller {
            weights[caller] += weights[at];
        }
    }
    weights
}

fn describe(stacks: &Stacks) -> Value {
    let describe = |(at, frame): (usize, &crate::model::trees::stacks::Frame)| {
        json!({
            "function": stacks.name(at), "caller": frame.caller, "depth": frame.depth, "total_ns": frame.total_ns,
            "self_ns": frame.self_ns, "calls": frame.calls, "failed": frame.failed,
        })
    };
    stacks.frames.iter().enumerate().take(FRAMES_MAX).map(describe).collect()
}
