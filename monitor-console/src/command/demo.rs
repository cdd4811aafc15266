//! `monitor demo`: records the shop's workload into a store of its own, shows `top` and `errors` of it,
//! and compares the store with the shop's books.
//!
//! The one command that runs monitored code. It fails where a single call is missing from the figures,
//! since that is what it is there to show.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use monitored::{CaptureMode, Config};
use rusqlite::types::Value;

use super::{errors, health, top};
use crate::arguments::{Common, Demo, FormatName};
use crate::report::{Cell, Column};
use crate::shop::{self, Day, books};
use crate::store::Store;
use crate::{find, terminal, units};

/// How long the last rows may take to the disk.
const FLUSH: Duration = Duration::from_secs(30);

pub(super) fn run(common: &Common, arguments: &Demo) -> Result<()> {
    let path = match common.db() {
        Some(path) => std::path::absolute(path)?,
        None => fresh(&find::folder()?)?,
    };
    let before = if path.exists() { figures(&Store::open(&path)?)? } else { Figures::new() };
    shop::silence_expected_panics();
    // In code, because settings made in code win: the demo is the same whatever the environment says.
    let config = Config::new().enabled(true).db(&path).service("demo").sample("1").capture(CaptureMode::All);
    // It shows each call: rows are few here, and what they cost beside them is not the point.
    let config = config.max_rate(0).max_overhead(1.0);
    monitored::init(config.retention(RETENTION))?;
    tell(common, &format!("taking orders for {} s, recorded into {}", arguments.seconds, path.display()))?;
    let day = shop::open(arguments.seconds)?;
    monitored::flush(FLUSH).context("not everything could be written")?;
    let store = Store::open(&path).context("nothing was recorded")?;
    let is_default = common.db().is_none();
    let common = common.at(path);
    let compared = compare(&day.books, &before, &figures(&store)?)?;
    tell(&common, &compared)?;
    tell(&common, &delivery(&store, &day)?)?;
    tell(&common, &password(&store)?)?;
    tell(&common, "")?;
    top::show(&common, &store)?;
    tell(&common, "")?;
    errors::show(&common, &store)?;
    tell(&common, &next(&store, is_default)?)
}

/// As long as the program itself keeps rows unless told otherwise.
const RETENTION: Duration = Duration::from_secs(6 * 3600);

/// A sentence of the demo: part of the output where people read it, beside it where programs do.
fn tell(common: &Common, text: &str) -> Result<()> {
    if common.format == FormatName::Table {
        for line in text.split('\n') {
            writeln!(std::io::stdout(), "{}", terminal::escape(line))?;
        }
    } else {
        terminal::remark(text);
    }
    Ok(())
}

/// Demos that can run at once, each with a file of its own.
const DEMOS_MAX: u32 = 16;

/// The demo's own file, begun afresh: the first that no other demo is writing to.
fn fresh(folder: &Path) -> Result<PathBuf> {
    for number in 1..=DEMOS_MAX {
        let name = if number == 1 { "demo.db".to_owned() } else { format!("demo-{number}.db") };
        let path = folder.join(name);
        if !path.exists() {
            return Ok(path);
        }
        let is_running = Store::open(&path).and_then(|store| health::is_anyone_running(&store));
        if matches!(is_running, Ok(false)) {
            remove(&path).with_context(|| format!("cannot begin {} afresh", path.display()))?;
            return Ok(path);
        }
    }
    bail!("{DEMOS_MAX} demos have files in {} already: name another with --db PATH", folder.display())
}

/// Removes a store that nobody writes to, with what belongs to it.
fn remove(path: &Path) -> std::io::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.to_owned().into_os_string();
        file.push(suffix);
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Calls, errors, panics and cancellations by function.
type Figures = BTreeMap<String, [i64; 4]>;

fn figures(store: &Store) -> Result<Figures> {
    let sql = "SELECT function, SUM(calls), SUM(errors), SUM(panics), SUM(cancelled) FROM functions GROUP BY function";
    let mut figures = Figures::new();
    store.rows(sql, [], |row| {
        figures.insert(row.get(0)?, [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?]);
        Ok(())
    })?;
    Ok(figures)
}

/// Says that the store has each call the shop made, or fails with those that differ.
fn compare(made: &[books::Line], before: &Figures, after: &Figures) -> Result<String> {
    let mut differences = Vec::new();
    for line in made {
        let wanted = [line.calls, line.errors, line.panics, line.cancelled].map(u64::cast_signed);
        let [before, after] =
            [before, after].map(|figures| figures.get(&line.function).copied().unwrap_or_default());
        let stored: [i64; 4] = std::array::from_fn(|at| after[at] - before[at]);
        if stored != wanted {
            differences.push(format!("{}: made {wanted:?}, stored {stored:?}", line.function));
        }
    }
    if !differences.is_empty() {
        bail!(
            "the store differs from the calls made (all, errors, panics, cancelled): {}",
            differences.join("; ")
        );
    }
    let sum = |figure: fn(&books::Line) -> u64| made.iter().map(figure).sum::<u64>();
    Ok(format!(
        "made {} calls of {} functions: {} errors, {} panics, {} cancellations; the store has exactly these",
        sum(|line| line.calls),
        made.len(),
        sum(|line| line.errors),
        sum(|line| line.panics),
        sum(|line| line.cancelled)
    ))
}

#[allow(clippy::cast_precision_loss, reason = "the figure is shown with three digits")]
fn delivery(store: &Store, day: &Day) -> Result<String> {
    let stored = stored_arguments(store, "book_in")?;
    let took = units::duration(day.delivery_took.as_nanos() as f64);
    Ok(format!("an argument of {} items, recorded as {stored}: the call took {took}", shop::DELIVERY_ITEMS))
}

fn password(store: &Store) -> Result<String> {
    Ok(format!("a password, recorded as {}", stored_arguments(store, "log_in")?))
}

fn stored_arguments(store: &Store, function: &str) -> Result<String> {
    let sql = "SELECT args FROM calls WHERE function GLOB ?1 ORDER BY call_id DESC LIMIT 1";
    match store.first(sql, [format!("*::{function}")])?.as_deref() {
        Some([Cell { value: Value::Text(args), .. }]) => Ok(args.clone()),
        _ => bail!("the store has no arguments of a call of {function}"),
    }
}

/// What to try next; the store need not be named where it is the one shown anyway.
fn next(store: &Store, is_default: bool) -> Result<String> {
    let sql = "SELECT MAX(call_id) FROM errors WHERE function GLOB '*::place'";
    let example = store.report(vec![Column::data("call_id")], sql, [])?;
    let example = match example.rows.first().map(|row| &row[0].value) {
        Some(Value::Integer(id)) => *id,
        _ => 1,
    };
    let path = store.path().display();
    let named = if is_default { String::new() } else { format!(" --db '{path}'") };
    Ok(format!(
        "\nthe store: {path}\ntry next:\n  \
         monitor trace {example}{named}\n  \
         monitor calls --failed{named}\n  \
         monitor calls --slow{named}\n  \
         monitor sql 'SELECT outcome, count(*) FROM calls GROUP BY outcome'{named}"
    ))
}
