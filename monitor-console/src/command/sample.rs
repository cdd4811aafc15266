//! `monitor sample`: shows and sets sampling rates.
//!
//! Setting a rate writes a row of the table `sampling`, which running processes read within two seconds, idle ones
//! within five. The rates in force are those that the processes themselves report, with what each function costs and
//! what its rate saves, both in percent of one core.

use std::path::Path;

use anyhow::{Result, bail};
use rusqlite::types::Value;

use super::{
    EVERY_RUN, FUNCTIONS, describe_effect, describe_match, describe_user, open_store, open_store_for_control,
    print_heading, print_note, suggest_whole_names,
};
use crate::arguments::{Common, Sample};
use crate::format;
use crate::model::functions;
use crate::model::rates::{self, Rate, Setting};
use crate::model::scope::Scope;
use crate::pattern::Pattern;
use crate::report::{Cell, Column, Report, Unit};
use crate::store::Store;
use crate::units;

pub(super) fn run(common: &Common, arguments: &Sample) -> Result<()> {
    if let (Some(pattern), Some(rate)) = (&arguments.pattern, arguments.rate) {
        set(common, pattern, rate)?;
    }
    if let Some(pattern) = &arguments.reset {
        reset(common, pattern)?;
    }
    show(common)
}

fn show(common: &Common) -> Result<()> {
    let store = open_store(common)?;
    let columns = vec![
        Column::titled("kind", "KIND", Unit::Text),
        Column::titled("name", "NAME", Unit::Name),
        Column::titled("asked", "ASKED", Unit::Rate),
        Column::titled("rate", "RATE", Unit::Rate),
        Column::titled("fidelity", "FIDELITY", Unit::Text),
        Column::titled("calls_per_s", "CALLS/S", Unit::Count),
        Column::titled("rows_per_s", "ROWS/S", Unit::Count),
        Column::titled("ns_per_call", "COST", Unit::Nanoseconds),
        Column::titled("cpu_pct", "CORE", Unit::Percent),
        Column::titled("saved_pct", "SAVED", Unit::Percent),
        Column::titled("why", "WHY", Unit::Text),
        Column::titled("process_id", "RUN", Unit::Number),
        Column::titled("set_ns", "SET", Unit::Age),
        Column::titled("set_by", "BY", Unit::Text),
    ];
    let rows = list_rows(rates::read_settings(&store)?, rates::read(&store, &Scope::WHOLE, None)?);
    let report = Report { columns, rows };
    print_heading(common, &store, "rates set with `monitor sample`, then the rate of each function and why");
    format::print(&report, common.style())
}

/// Lists the patterns first, in the order in which they were set, because the last match wins. The functions follow, as
/// each running process samples them, or, if none is running, as the last one did.
fn list_rows(mut settings: Vec<Setting>, mut rates: Vec<Rate>) -> Vec<Vec<Cell>> {
    settings.sort_by(|one, other| (one.set_ns, &one.pattern).cmp(&(other.set_ns, &other.pattern)));
    rates.sort_by(|one, other| (&one.function, one.process_id).cmp(&(&other.function, other.process_id)));
    let null = || Cell::from(Value::Null);
    let of_pattern = |setting: Setting| {
        let mut row = vec!["pattern".to_owned().into(), setting.pattern.into(), setting.rate.into()];
        row.resize_with(12, null);
        row.extend([setting.set_ns.into(), setting.set_by.into()]);
        row
    };
    let of_function = |rate: Rate| {
        vec![
            "function".to_owned().into(),
            rate.function.into(),
            rate.asked.into(),
            rate.rate.into(),
            rate.fidelity.into(),
            rate.calls_per_s.into(),
            rate.rows_per_s.into(),
            rate.ns_per_call.into(),
            rate.cpu_pct.into(),
            rate.saved_pct.into(),
            rate.why.into(),
            rate.process_id.into(),
            null(),
            null(),
        ]
    };
    settings.into_iter().map(of_pattern).chain(rates.into_iter().map(of_function)).collect()
}

fn set(common: &Common, pattern: &Pattern, rate: f64) -> Result<()> {
    print_note(common, &insert_rate(&open_store_for_control(common)?, pattern, rate)?);
    Ok(())
}

/// Sets a rate in the store at this path, and returns a sentence about its effect.
pub(super) fn write_rate(path: &Path, pattern: &Pattern, rate: f64) -> Result<String> {
    insert_rate(&Store::open_for_control(path)?, pattern, rate)
}

fn insert_rate(store: &Store, pattern: &Pattern, rate: f64) -> Result<String> {
    rates::set(store, pattern, rate, &describe_user(), units::now_ns())?;
    let names = functions::read_names(store)?;
    let (reach, advice) =
        (describe_match(&names, pattern, FUNCTIONS), suggest_whole_names(&names, pattern, "A rate"));
    Ok(format!("set {} to {rate}: {reach}; {}{advice}", pattern.as_str(), describe_effect(store, EVERY_RUN)?))
}

fn reset(common: &Common, pattern: &Pattern) -> Result<()> {
    let store = open_store_for_control(common)?;
    if !rates::reset(&store, pattern, &describe_user(), units::now_ns())? {
        let settings = rates::read_settings(&store)?;
        let set: Vec<&str> = settings.iter().map(|setting| setting.pattern.as_str()).collect();
        let set = match set.as_slice() {
            [] => "no pattern has one".to_owned(),
            set => format!("the patterns with a rate are {}", set.join(", ")),
        };
        bail!("no rate is set for `{}`: {set}", pattern.as_str());
    }
    let reach = describe_match(&functions::read_names(&store)?, pattern, FUNCTIONS);
    let effect = describe_effect(&store, EVERY_RUN)?;
    print_note(common, &format!("reset {}: {reach}; {effect}", pattern.as_str()));
    Ok(())
}
