//! The report: one page with the main pictures of a span, to keep or to send.
//!
//! The file takes what the commands `findings`, `top`, `errors`, `flame`, `processes` and `resources` show, and gives a
//! page without a script, which loads nothing. The page holds names of functions, programs and threads, and figures.
//! Captured values, texts of errors and the sentences that repeat them are left out unless they are asked for.

use std::io::Write;

use anyhow::Result;

use super::{describe, load_trees};
use crate::arguments::{Common, ReportExport};
use crate::command::{errors, findings, processes, resources, top};
use crate::format::{self, html};
use crate::model::findings::Finding;
use crate::model::period::Period;
use crate::model::trees::Trees;
use crate::model::trees::stacks::Stacks;
use crate::progress::Progress;
use crate::report::Report;
use crate::stores::Stores;
use crate::units;

/// The functions, kinds of failure, runs and findings that are shown.
const LINES_MAX: usize = 40;
/// The most boxes of the flame graph, and the narrowest one in percent of the whole.
const BOXES_MAX: usize = 3_000;
const BOX_MIN_PCT: f64 = 0.1;
/// The most levels of the flame graph.
const LEVELS_MAX: u32 = 60;
/// The height of a level in pixels.
const LEVEL_PX: u32 = 20;

/// The start of the page. The policy forbids every request and every script.
const HEAD: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">
<link rel=\"icon\" href=\"data:,\">
<style>
:root { color-scheme: light dark; }
body { font: 14px system-ui, sans-serif; margin: 1.5em; }
h1 { font-size: 1.3em; } h2 { font-size: 1.1em; margin-top: 2em; }
p { margin: .4em 0; } .basis { color: GrayText; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { text-align: left; padding: .15em .8em .15em 0; border-bottom: 1px solid #8884; white-space: nowrap; }
.findings td:nth-child(n+3) { white-space: normal; }
th { font-weight: 600; } .n { text-align: right; font-variant-numeric: tabular-nums; }
.flame { position: relative; overflow: hidden; }
.flame span { position: absolute; height: 18px; box-sizing: border-box; overflow: hidden; white-space: nowrap; font-size: 12px;
  line-height: 18px; padding: 0 3px; color: #111; border-radius: 2px; }
</style>
";

/// Builds the page. Its parts are read before any of it is written, so that a failure leaves no half page.
pub(super) fn build(common: &Common, stores: &Stores, export: &ReportExport) -> Result<Vec<u8>> {
    let trees = load_trees(common, stores, &export.as_trees())?;
    let progress = Progress::show(|| "gathering the report".to_owned());
    let mut page = Vec::new();
    let title = format!("monitor report · {}", units::format_date_and_time(units::now_ns()));
    write!(page, "{HEAD}<title>{0}</title>\n<h1>{0} UTC</h1>\n", html::escape(&title))?;
    writeln!(page, "<p class=\"basis\">{}</p>", html::escape(&stores.describe()))?;
    let period = export.span.period(common);
    writeln!(page, "<p class=\"basis\">span: {}</p>", html::escape(&period.describe(units::now_ns())))?;
    write_findings(stores, period, export.values, &mut page)?;
    let by_time = if period.is_whole() { "by total time" } else { "by total time, in whole windows of 10 s" };
    write_table(&mut page, "Functions", by_time, top::read_report(stores, period, LINES_MAX)?)?;
    write_flame(&trees, &mut page)?;
    let mut failures = errors::read_report(stores, period)?;
    if !export.values {
        let messages =
            failures.columns.iter_mut().filter(|column| column.title.as_deref() == Some("MESSAGE"));
        messages.for_each(|column| column.title = None);
    }
    write_table(&mut page, "Failures", "where they began", failures)?;
    let programs = if period.is_whole() {
        "the one seen last first"
    } else {
        "those that ran within the span, the one seen last first; FAILED is of the span, the other figures are the present ones"
    };
    write_table(&mut page, "Programs", programs, processes::read_report(stores, period)?)?;
    let usage = resources::read_report(stores, period)?;
    write_table(&mut page, "Resources", "each figure over time, and whether it grows", usage)?;
    writeln!(page, "</html>")?;
    drop(progress);
    Ok(page)
}

fn write_table(out: &mut dyn Write, title: &str, remark: &str, mut report: Report) -> Result<()> {
    let all = report.rows.len();
    report.rows.truncate(LINES_MAX);
    let more = if all > LINES_MAX { format!(", the first {LINES_MAX} of {all}") } else { String::new() };
    writeln!(out, "<h2>{title}</h2>\n<p class=\"basis\">{remark}{more}</p>")?;
    if report.rows.is_empty() {
        return Ok(writeln!(out, "<p>none</p>")?);
    }
    format::write(&report, &mut html::Html::new(out))
}

fn write_findings(stores: &Stores, period: Period, has_values: bool, out: &mut dyn Write) -> Result<()> {
    let (found, unknown) = findings::list(stores, period)?;
    writeln!(out, "<h2>Findings</h2>")?;
    if found.is_empty() {
        writeln!(out, "<p>none</p>")?;
    } else {
        writeln!(out, "<table class=\"findings\">")?;
        for finding in found.iter().take(LINES_MAX) {
            let cells = [
                finding.level.as_str().to_owned(),
                finding.kind.to_owned(),
                to_sentence(finding, has_values),
                format!("rests on {}", finding.rests_on),
            ];
            let cells: Vec<_> = cells.iter().map(|text| format!("<td>{}</td>", html::escape(text))).collect();
            writeln!(out, "<tr>{}</tr>", cells.concat())?;
        }
        writeln!(out, "</table>")?;
    }
    for text in unknown {
        writeln!(out, "<p class=\"basis\">cannot tell {}</p>", html::escape(&text))?;
    }
    Ok(())
}

/// The kinds of findings whose sentence repeats a text of the program: of an error, of a value, or of a person.
const KINDS_WITH_TEXTS: [&str; 6] =
    ["bursts_of_failures", "new_failure", "leaks_secret", "held", "breaker_open", "exporter_behind"];

/// Returns the sentence of a finding, or, without values, the finding's subject where the sentence repeats a text.
fn to_sentence(finding: &Finding, has_values: bool) -> String {
    if has_values || !KINDS_WITH_TEXTS.contains(&finding.kind) {
        return finding.sentence.clone();
    }
    format!("about {} (its text is left out)", finding.subject)
}

/// Writes the flame graph: boxes that lie below their callers, each as wide as its share of the time.
fn write_flame(trees: &Trees, out: &mut dyn Write) -> Result<()> {
    let stacks = Stacks::collect(trees);
    let boxes = place(&stacks);
    writeln!(out, "<h2>Where the time goes</h2>\n<p class=\"basis\">{}</p>", html::escape(&describe(trees)))?;
    if boxes.is_empty() {
        return Ok(writeln!(out, "<p>no call has a row in this span</p>")?);
    }
    let levels = boxes.iter().map(|placed| stacks.frames[placed.frame].depth).max().unwrap_or(0) + 1;
    writeln!(out, "<div class=\"flame\" style=\"height:{}px\">", levels * LEVEL_PX)?;
    let total = stacks.total_ns();
    for Placed { frame, left, width } in boxes {
        let name = stacks.name(frame);
        let Numbers { depth, total_ns, self_ns, calls, failed } = Numbers::from_frame(&stacks, frame);
        let top = depth * LEVEL_PX;
        let hue =
            20 + name.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % 40;
        let about = format!(
            "{name}: {} of {} ({}), itself {}, {calls} calls, {failed} failed",
            units::format_duration(total_ns),
            units::format_duration(total),
            units::format_percent(total_ns / total * 100.0),
            units::format_duration(self_ns)
        );
        writeln!(
            out,
            "<span style=\"left:{left:.3}%;width:{width:.3}%;top:{top}px;background:hsl({hue} 80% 70%)\" title=\"{}\">{}</span>",
            html::escape(&about),
            html::escape(name.rsplit("::").next().unwrap_or(name))
        )?;
    }
    Ok(writeln!(out, "</div>")?)
}

/// The figures of a frame that its box shows.
struct Numbers {
    depth: u32,
    total_ns: f64,
    self_ns: f64,
    calls: String,
    failed: String,
}

impl Numbers {
    fn from_frame(stacks: &Stacks, frame: usize) -> Self {
        let frame = &stacks.frames[frame];
        Self {
            depth: frame.depth,
            total_ns: frame.total_ns,
            self_ns: frame.self_ns,
            calls: units::format_count(frame.calls),
            failed: units::format_count(frame.failed),
        }
    }
}

/// A box: its frame, and its left end and width in percent of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Placed {
    frame: usize,
    left: f64,
    width: f64,
}

/// Places the frames, callers before callees, the longest first. Narrow boxes are left out, and with them what they call.
fn place(stacks: &Stacks) -> Vec<Placed> {
    let callees = stacks.list_callees();
    let total = stacks.total_ns();
    let mut placed: Vec<Placed> = Vec::new();
    let mut level: Vec<(usize, f64)> = vec![(stacks.frames.len(), 0.0)];
    while !level.is_empty() {
        let mut next = Vec::new();
        for (caller, mut left) in level {
            for frame in &callees[caller] {
                let width = stacks.frames[*frame].total_ns / total * 100.0;
                if width >= BOX_MIN_PCT
                    && placed.len() < BOXES_MAX
                    && stacks.frames[*frame].depth < LEVELS_MAX
                {
                    placed.push(Placed { frame: *frame, left, width });
                    next.push((*frame, left));
                }
                left += width;
            }
        }
        level = next;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::trees::tests::{call, trees};

    #[test]
    fn boxes_lie_within_their_callers_and_add_up() {
        let rows = vec![
            call(1, None, 0, 0, 600),
            call(2, Some(1), 1, 0, 300),
            call(3, Some(1), 2, 300, 400),
            call(4, None, 3, 700, 1_100),
        ];
        let placed = place(&Stacks::collect(&trees(rows, None)));
        let rounded: Vec<_> =
            placed.iter().map(|placed| (placed.left.round(), placed.width.round())).collect();
        assert_eq!(rounded, [(0.0, 60.0), (60.0, 40.0), (0.0, 30.0), (30.0, 10.0)]);
    }

    #[test]
    fn trees_without_time_give_no_box() {
        assert!(place(&Stacks::collect(&trees(vec![call(1, None, 0, 5, 5)], None))).is_empty());
        assert!(place(&Stacks::collect(&trees(Vec::new(), None))).is_empty());
    }
}
