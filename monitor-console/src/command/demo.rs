//! `monitor demo`: records the workload of the shop into a store of its own, shows `top` and `errors` of that
//! store, and compares the store with the shop's ledger.
//!
//! The command is the only one that runs monitored code. It fails if the figures lack a single call, because it exists
//! to show that none is lost.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Error, Result, bail};
use monitored::{CaptureMode, Config};

use super::{errors, serve, top};
use crate::arguments::{Common, Demo, FormatName, ServeOptions};
use crate::model::calls::{self, Order, Query};
use crate::model::processes;
use crate::model::scope::Scope;
use crate::model::sums::{self, Span};
use crate::pattern::Pattern;
use crate::report::Cell;
use crate::shop::{self, Day, ledger};
use crate::store::Store;
use crate::stores::Stores;
use crate::{find, terminal, units};

/// The longest wait until the last rows are on disk.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn run(common: &Common, arguments: &Demo) -> Result<()> {
    let path = match common.store_path() {
        Some(path) => std::path::absolute(path)?,
        None => prepare_fresh_path(&find::find_default_folder()?)?,
    };
    let before = if path.exists() { read_figures(&Store::open(&path)?)? } else { Figures::new() };
    shop::silence_expected_panics();
    // Settings in code win over the environment, so the demo is the same in every environment.
    let config = Config::new().enabled(true).db(&path).service("demo").sample("1").capture(CaptureMode::All);
    // Without these bounds every call gets its row. The demo makes few calls, so their cost does not matter.
    let config = config.max_rate(0).max_overhead(1.0);
    monitored::init(config.retention(RETENTION))?;
    let announced = print_line(
        common,
        &format!("taking orders for {} s, recorded into {}", arguments.seconds, path.display()),
    );
    let day = shop::open(arguments.seconds)?;
    monitored::flush(FLUSH_TIMEOUT).context("the last calls could not be written to the store")?;
    let store = Store::open(&path).context("the demo recorded nothing")?;
    let is_default = common.store_path().is_none();
    let common = common.with_store(path.clone());
    // A reader that is gone already does not keep the demo from comparing, which is its verdict.
    let compared = compare(&day.entries, &before, &read_figures(&store)?)?;
    announced?;
    print_line(&common, &compared)?;
    print_line(&common, &describe_delivery(&store, &day)?)?;
    print_line(&common, &describe_password(&store)?)?;
    print_line(&common, "")?;
    top::show(&common, &Stores::open(&[store.path().to_owned()])?)?;
    print_line(&common, "")?;
    errors::show(&common, &store)?;
    print_line(&common, &suggest_commands(&store, is_default)?)?;
    if arguments.serve {
        drop(store);
        let options = ServeOptions { open: arguments.open, ..ServeOptions::default() };
        return serve::serve(vec![find::find_store(Some(path))?], &options);
    }
    Ok(())
}

/// The default retention.
const RETENTION: Duration = Duration::from_secs(6 * 3600);

/// Prints a line of the demo: on standard output beside tables, on standard error beside data formats.
fn print_line(common: &Common, text: &str) -> Result<()> {
    if common.format == FormatName::Table {
        for line in text.split('\n') {
            writeln!(std::io::stdout(), "{}", terminal::escape(line))?;
        }
    } else {
        terminal::print_note(text);
    }
    Ok(())
}

/// The number of demos that can run at once, each with its own file.
const DEMOS_MAX: u32 = 16;

/// Returns the first default path to which no running demo writes, and removes the store there.
fn prepare_fresh_path(folder: &Path) -> Result<PathBuf> {
    for number in 1..=DEMOS_MAX {
        let name = if number == 1 { "demo.db".to_owned() } else { format!("demo-{number}.db") };
        let path = folder.join(name);
        if !path.exists() {
            return Ok(path);
        }
        let is_running =
            Store::open(&path).and_then(|store| processes::is_any_running(&store, units::now_ns()));
        if matches!(is_running, Ok(false)) {
            remove_store(&path)
                .with_context(|| format!("cannot remove the store of an earlier demo, {}", path.display()))?;
            return Ok(path);
        }
    }
    bail!(
        "{DEMOS_MAX} running demos write to stores in {}, which is the most: name another store with --db PATH",
        folder.display()
    )
}

/// Removes a store to which no process writes, with its write-ahead log and index.
fn remove_store(path: &Path) -> std::io::Result<()> {
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

fn read_figures(store: &Store) -> Result<Figures> {
    let mut figures = Figures::new();
    for sums in sums::read(store, None, Span::Whole)? {
        let sum: &mut [i64; 4] = figures.entry(sums.function).or_default();
        for (sum, part) in sum.iter_mut().zip([sums.calls, sums.errors, sums.panics, sums.cancelled]) {
            *sum += part;
        }
    }
    Ok(figures)
}

/// Returns a summary if the store has exactly the calls of the shop; fails with the functions that differ.
fn compare(made: &[ledger::Entry], before: &Figures, after: &Figures) -> Result<String> {
    let mut differences = Vec::new();
    for entry in made {
        let wanted = [entry.calls, entry.errors, entry.panics, entry.cancelled].map(u64::cast_signed);
        let [before, after] =
            [before, after].map(|figures| figures.get(&entry.function).copied().unwrap_or_default());
        let stored: [i64; 4] = std::array::from_fn(|at| after[at] - before[at]);
        if stored != wanted {
            differences.push(format!("{}: made {wanted:?}, stored {stored:?}", entry.function));
        }
    }
    if !differences.is_empty() {
        bail!(
            "the store differs from the calls made (all, errors, panics, cancelled): {}",
            differences.join("; ")
        );
    }
    let sum = |figure: fn(&ledger::Entry) -> u64| made.iter().map(figure).sum::<u64>();
    Ok(format!(
        "made {} calls of {} functions: {} errors, {} panics, {} cancellations; the store has exactly these",
        sum(|entry| entry.calls),
        made.len(),
        sum(|entry| entry.errors),
        sum(|entry| entry.panics),
        sum(|entry| entry.cancelled)
    ))
}

#[allow(clippy::cast_precision_loss, reason = "the figure is shown with three digits")]
fn describe_delivery(store: &Store, day: &Day) -> Result<String> {
    let stored = read_arguments(store, "book_in")?;
    let took = units::format_duration(day.delivery_took.as_nanos() as f64);
    Ok(format!("an argument of {} items, recorded as {stored}: the call took {took}", shop::DELIVERY_ITEMS))
}

fn describe_password(store: &Store) -> Result<String> {
    Ok(format!("a password, recorded as {}", read_arguments(store, "log_in")?))
}

fn read_arguments(store: &Store, function: &str) -> Result<String> {
    let newest = read_newest(store, &format!("*::{function}"), false)?;
    let arguments = newest.calls.first().map(|call| newest.cell(call, "args"));
    let arguments = arguments.as_ref().and_then(Cell::as_text);
    Ok(arguments.with_context(|| format!("the store has no arguments of a call of {function}"))?.to_owned())
}

/// Reads the newest call of the functions that a pattern selects, or the newest of their failed calls.
fn read_newest(store: &Store, pattern: &str, is_failed: bool) -> Result<calls::Page> {
    let pattern: Pattern = pattern.parse().map_err(Error::msg)?;
    let query = Query {
        scope: &Scope::WHOLE,
        pattern: Some(&pattern),
        is_failed,
        is_slow: false,
        min_ns: None,
        max_ns: None,
        before: None,
        order: Order::Newest,
        limit: 1,
    };
    calls::find(store, &query)
}

/// Suggests commands to try next. They name the store unless it is the default.
fn suggest_commands(store: &Store, is_default: bool) -> Result<String> {
    let failed = read_newest(store, "*::place", true)?;
    let example =
        failed.calls.first().and_then(|call| failed.cell(call, "call_id").to_integer()).unwrap_or(1);
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
