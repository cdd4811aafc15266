//! `monitor flame`: where the time goes, as boxes in the terminal, as a page, or as data.

mod picture;
mod page;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use rusqlite::types::Value;

use super::{export, open_stores, print_heading_of, require_known_in};
use crate::arguments::{Common, Flame, FormatName};
use crate::model::rows::ROWS_MAX;
use crate::model::trees::Trees;
use crate::model::trees::stacks::Stacks;
use crate::report::{Cell, Column, Report};
use crate::stores::Stores;
use crate::{format, terminal, units};

/// The width of the picture off a terminal.
const COLUMNS_DEFAULT: usize = 100;

pub(super) fn run(common: &Common, arguments: &Flame) -> Result<()> {
    let stores = open_stores(common)?;
    require_known_in(&stores, arguments.trees.pattern.as_ref())?;
    let trees = export::load(common, &stores, &arguments.trees, ROWS_MAX)?;
    let stacks = Stacks::collect(&trees);
    if arguments.open || arguments.html.is_some() {
        return write_page(&stores, arguments, &trees, &stacks);
    }
    if common.format != FormatName::Table {
        return format::print(&build_report(&trees, &stacks), common.style());
    }
    let title = title(arguments, &trees, &stacks);
    print_heading_of(common, &stores, &format!("{title} · {}", export::describe(&trees)));
    let columns = terminal::read_size().map_or(COLUMNS_DEFAULT, |(columns, _)| columns);
    let lines = picture::draw(&stacks, columns, std::io::stdout().is_terminal() && terminal::is_styled());
    export::target::write_stdout(|out| lines.iter().try_for_each(|line| Ok(writeln!(out, "{line}")?)))
}

/// Returns the title of the picture: what it shows, and the time of all calls in it.
fn title(arguments: &Flame, trees: &Trees, stacks: &Stacks) -> String {
    let what = match &arguments.trees.pattern {
        Some(pattern) => format!("`{}` and what it calls", pattern.as_str()),
        None => "all trees".to_owned(),
    };
    if stacks.frames.is_empty() {
        return format!("{what}: no call has a row in this span");
    }
    let mark = if trees.is_estimated() { "~" } else { "" };
    format!("{what}: {mark}{}", units::format_duration(stacks.total_ns()))
}

/// Writes the page to the file that was named, or to a new one for the browser alone.
fn write_page(stores: &Stores, arguments: &Flame, trees: &Trees, stacks: &Stacks) -> Result<()> {
    let path = arguments.html.clone().unwrap_or_else(name_page);
    let title = title(arguments, trees, stacks);
    let basis = export::describe(trees);
    export::write_file(stores, &path, arguments.force, |out| page::write(stacks, &title, &basis, out))?;
    terminal::print_note(&format!("wrote {}", path.display()));
    if arguments.open { open_in_browser(&path) } else { Ok(()) }
}

/// Returns a name in the folder for temporary files. The file is created anew and for the user alone.
fn name_page() -> PathBuf {
    std::env::temp_dir().join(format!("monitor-flame-{}-{}.html", std::process::id(), units::now_ns()))
}

fn open_in_browser(path: &Path) -> Result<()> {
    let program = terminal::BROWSER_OPENER;
    let path = std::path::absolute(path)?;
    let status = Command::new(program)
        .arg(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("cannot start `{program}`: open {} yourself", path.display()))?;
    // The explorer of Windows ends with 1 whenever it hands the page to a browser.
    if !status.success() && !cfg!(windows) {
        bail!("`{program}` failed: open {} yourself", path.display());
    }
    Ok(())
}

fn build_report(trees: &Trees, stacks: &Stacks) -> Report {
    let names = [
        "stack",
        "function",
        "depth",
        "total_ns",
        "self_ns",
        "calls",
        "failed",
        "is_estimate",
        "rows_left_out",
    ];
    let rows = stacks.frames.iter().enumerate().map(|(at, frame)| {
        let path: Vec<&str> = stacks.path(at).into_iter().map(|at| stacks.name(at)).collect();
        let cells: Vec<Value> = vec![
            path.join(";").into(),
            stacks.name(at).to_owned().into(),
            i64::from(frame.depth).into(),
            frame.total_ns.into(),
            frame.self_ns.into(),
            frame.calls.into(),
            frame.failed.into(),
            i64::from(trees.is_estimated()).into(),
            i64::try_from(trees.left_out).unwrap_or(i64::MAX).into(),
        ];
        cells.into_iter().map(Cell::from).collect()
    });
    Report { columns: names.into_iter().map(Column::data).collect(), rows: rows.collect() }
}
