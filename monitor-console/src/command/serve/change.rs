//! Writes: a form sets or resets a sampling rate, holds or releases the breakers or a guard, or sets, switches or
//! removes a rule on alerts.
//!
//! Takes a form; writes a row of a control table and an event that says who did it, and redirects back to the page.
//! Without `--allow-writes` nothing is written, and the answer is the command that does the same.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Error, Result};
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use clap::ValueEnum as _;
use monitor_runtime::alert::AlertLevel;
use std::time::Duration;

use super::address::{Links, Parameters};
use super::app::{self, App, Refusal};
use crate::arguments::AlertLevelName;
use crate::model::alerts::{self, NewRule};
use crate::model::breakers;
use crate::model::findings::quote_shell;
use crate::model::guards::{self, NewHold};
use crate::model::rates;
use crate::pattern::Pattern;
use crate::store::Store;
use crate::units;

/// The name under which changes are recorded.
const CHANGED_BY: &str = "dashboard";
/// The most bytes of a form.
const FORM_BYTES_MAX: usize = 64 << 10;
/// The longest time for a form to arrive.
const FORM_TIME: Duration = Duration::from_secs(10);

/// A change that a form asks for.
enum Change {
    SetRate(Pattern, f64),
    ResetRate(Pattern),
    Hold(&'static str, String),
    HoldGuard(String, &'static str, String),
    SetRule(Box<NewRule>),
    SwitchRule(String, Option<&'static str>, bool),
    RemoveRule(String, Option<&'static str>),
}

/// Sets or resets a rate.
pub(super) async fn rates(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Response {
    respond(&app, &headers, body, "/rates", read_rate).await
}

/// Holds the breakers, or a guard, open or closed, or releases them.
pub(super) async fn breaker(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Response {
    respond(&app, &headers, body, "/rates", read_hold).await
}

/// Sets, switches or removes a rule on alerts.
pub(super) async fn alert_rules(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Response {
    respond(&app, &headers, body, "/alerts", read_rule).await
}

async fn respond(
    app: &Arc<App>,
    headers: &HeaderMap,
    body: Body,
    page: &'static str,
    read: fn(&Parameters) -> Result<Change>,
) -> Response {
    match change(app, headers, body, page, read).await {
        Ok(address) => (StatusCode::SEE_OTHER, [(header::LOCATION, address)]).into_response(),
        Err(error) => app::explain(app, &error, app::form_of(headers)),
    }
}

async fn change(
    app: &Arc<App>,
    headers: &HeaderMap,
    body: Body,
    page: &'static str,
    read: fn(&Parameters) -> Result<Change>,
) -> Result<String> {
    let form = match tokio::time::timeout(FORM_TIME, to_bytes(body, FORM_BYTES_MAX)).await {
        Ok(Ok(form)) => Parameters::parse(&String::from_utf8_lossy(&form)),
        Ok(Err(_)) => return Err(Refusal::wrong(format!("a form has at most {} KiB", FORM_BYTES_MAX >> 10))),
        Err(_) => return Err(Refusal::wrong("the form did not arrive in time".to_owned())),
    };
    if !app.allows_writes() {
        let store = app.choose_store(form.text("db")).ok();
        return Err(refuse(&form, store.map(|served| served.path_at_start.as_path())));
    }
    let guard = app.guard();
    if !guard.is_from_us(headers) {
        return Err(Refusal::forbidden("the request does not come from a page of this server".to_owned()));
    }
    if !guard.is_bearer(headers) && !form.text("token").is_some_and(|token| guard.is_form_token(token)) {
        return Err(Refusal::forbidden(
            "the form is from an earlier start of the server: load the page anew".to_owned(),
        ));
    }
    let change = read(&form)?;
    let links = Links::new(app.base_path(), page, &form);
    app::run(app, move |app, opened| {
        let served = app.choose_store(form.text("db"))?;
        let store = Store::open_for_control(&served.path_in_use())?;
        store.spare_process();
        opened(&store);
        apply(&store, &change)
    })
    .await?;
    Ok(links.to(page, &[]))
}

fn apply(store: &Store, change: &Change) -> Result<()> {
    let now = units::now_ns();
    match change {
        Change::SetRate(pattern, rate) => rates::set(store, pattern, *rate, CHANGED_BY, now),
        Change::ResetRate(pattern) => {
            if rates::reset(store, pattern, CHANGED_BY, now)? {
                return Ok(());
            }
            Err(Refusal::missing(format!("no rate is set for `{}`", pattern.as_str())))
        }
        Change::Hold(hold, reason) => {
            breakers::hold(store, breakers::NewHold { run: None, hold, reason, by: CHANGED_BY }, now)
        }
        Change::HoldGuard(name, hold, reason) => {
            guards::hold(store, NewHold { name, process_id: 0, hold, reason, by: CHANGED_BY }, now)
        }
        Change::SetRule(rule) => {
            alerts::require(store)?;
            alerts::set_rule(store, rule, CHANGED_BY, now)
        }
        Change::SwitchRule(name, level, is_enabled) => {
            alerts::require(store)?;
            find_rule(name, alerts::switch_rule(store, (name, *level), *is_enabled, CHANGED_BY, now)?)
        }
        Change::RemoveRule(name, level) => {
            alerts::require(store)?;
            find_rule(name, alerts::remove_rule(store, (name, *level), CHANGED_BY, now)?)
        }
    }
}

fn find_rule(name: &str, is_there: bool) -> Result<()> {
    if is_there {
        Ok(())
    } else {
        Err(Refusal::missing(format!("there is no rule `{}`", name.escape_debug())))
    }
}

/// Reads a form that sets or resets a rate, by the rules of `monitor sample`.
fn read_rate(form: &Parameters) -> Result<Change> {
    let pattern = form.read("pattern", str::parse::<Pattern>)?.ok_or_else(|| {
        Refusal::wrong(
            "`pattern` is empty: it names functions or metrics, such as shop::pay or *::orders::*".to_owned(),
        )
    })?;
    if form.has("reset") {
        return Ok(Change::ResetRate(pattern));
    }
    let rate = form.read("rate", units::parse_rate)?;
    rate.map(|rate| Change::SetRate(pattern, rate))
        .ok_or_else(|| Refusal::wrong("`rate` is empty: it is a number from 0 to 1".to_owned()))
}

/// Reads a form that holds or releases breakers, by the rules of `monitor breaker`.
fn read_hold(form: &Parameters) -> Result<Change> {
    let hold = match form.text("hold") {
        Some("open") => "open",
        Some("closed") => "closed",
        Some("auto") => "auto",
        _ => return Err(Refusal::wrong("`hold` is one of open, closed and auto".to_owned())),
    };
    let reason = match form.read("reason", units::parse_reason)? {
        Some(reason) => reason,
        None if hold == "auto" => "no reason given".to_owned(),
        None => {
            return Err(Refusal::wrong(
                "holding a breaker needs a `reason`, such as: the disk is being replaced".to_owned(),
            ));
        }
    };
    Ok(match form.read("guard", units::parse_reason)? {
        Some(name) => Change::HoldGuard(name, hold, reason),
        None => Change::Hold(hold, reason),
    })
}

/// The time for which a rule must not hold before its alert is resolved, if the form says none.
const KEEP_DEFAULT: Duration = Duration::from_secs(60);

/// Reads a form that changes a rule on alerts, by the rules of `monitor alert`.
fn read_rule(form: &Parameters) -> Result<Change> {
    let level = match form.text("level") {
        None | Some("") => None,
        Some(word) => Some(
            AlertLevelName::from_str(word, false)
                .map_err(|_| Refusal::wrong("`level` is one of info, warning and critical".to_owned()))?
                .to_level(),
        ),
    };
    let name = form.read("rule", units::parse_reason)?;
    let named = || name.clone().ok_or_else(|| Refusal::wrong("`rule` is empty: it names a rule".to_owned()));
    let word = level.map(AlertLevel::as_str);
    match form.text("do") {
        Some("remove") => return Ok(Change::RemoveRule(named()?, word)),
        Some("enable") => return Ok(Change::SwitchRule(named()?, word, true)),
        Some("disable") => return Ok(Change::SwitchRule(named()?, word, false)),
        Some("set") => {}
        _ => return Err(Refusal::wrong("`do` is one of set, enable, disable and remove".to_owned())),
    }
    let pattern = form.read("pattern", str::parse::<Pattern>)?.ok_or_else(|| {
        Refusal::wrong("`pattern` is empty: it names functions or metrics, such as shop::pay or *".to_owned())
    })?;
    let condition = form.read("condition", alerts::parse)?.ok_or_else(|| {
        Refusal::wrong("`condition` is empty: it is one such as p99 > 50ms for 1m".to_owned())
    })?;
    let keep = form.read("keep", units::parse_duration)?.unwrap_or(KEEP_DEFAULT);
    let keep_s = i64::try_from(keep.as_secs()).unwrap_or(i64::MAX);
    let min_calls = form.number("min_calls", 0..=u32::MAX)?.unwrap_or(0);
    let level = level.unwrap_or(AlertLevel::Warning);
    let rule = NewRule::new(name.as_deref(), level, &pattern, condition, keep_s, min_calls)
        .map_err(|error| Refusal::wrong(error.to_string()))?;
    Ok(Change::SetRule(Box::new(rule)))
}

/// Returns the refusal of a write, with the command that does the same to this store.
pub(super) fn refuse(form: &Parameters, store: Option<&Path>) -> Error {
    if let Ok(change) = read_rule(form) {
        return refuse_with(&command_of_rule(form, &change), store);
    }
    let command = match (read_rate(form), read_hold(form)) {
        (Ok(Change::SetRate(pattern, rate)), _) => {
            format!("monitor sample {} {}", quote_shell(pattern.as_str()), units::format_rate(rate))
        }
        (Ok(Change::ResetRate(pattern)), _) => {
            format!("monitor sample --reset {}", quote_shell(pattern.as_str()))
        }
        (_, Ok(Change::Hold("open", reason))) => {
            format!("monitor breaker open --reason {}", quote_shell(&reason))
        }
        (_, Ok(Change::Hold("closed", reason))) => {
            format!("monitor breaker close --reason {}", quote_shell(&reason))
        }
        (_, Ok(Change::Hold(..))) => "monitor breaker auto".to_owned(),
        (_, Ok(Change::HoldGuard(name, "auto", _))) => format!("monitor breaker {} auto", quote_shell(&name)),
        (_, Ok(Change::HoldGuard(name, hold, reason))) => {
            let action = if hold == "open" { "open" } else { "close" };
            format!("monitor breaker {} {action} --reason {}", quote_shell(&name), quote_shell(&reason))
        }
        _ => "monitor sample '*::function' 0.1".to_owned(),
    };
    refuse_with(&command, store)
}

fn refuse_with(command: &str, store: Option<&Path>) -> Error {
    let store = store.map(|path| format!(" --db {}", quote_shell(&path.to_string_lossy())));
    Refusal::forbidden(format!(
        "this server only reads, because it runs without --allow-writes. In a terminal: {command}{}",
        store.unwrap_or_default()
    ))
}

/// Returns the command that changes a rule as the form asks.
fn command_of_rule(form: &Parameters, change: &Change) -> String {
    let quoted = |name: &str| quote_shell(form.text(name).unwrap_or_default());
    let option = |name: &str, flag: &str| match form.text(name) {
        None | Some("") => String::new(),
        Some(value) => format!(" {flag} {}", quote_shell(value)),
    };
    let level = option("level", "--level");
    match change {
        Change::RemoveRule(..) => format!("monitor alert remove {}{level}", quoted("rule")),
        Change::SwitchRule(_, _, true) => format!("monitor alert enable {}{level}", quoted("rule")),
        Change::SwitchRule(_, _, false) => format!("monitor alert disable {}{level}", quoted("rule")),
        _ => format!(
            "monitor alert set {} {}{level}{}{}{}",
            quoted("pattern"),
            quoted("condition"),
            option("rule", "--name"),
            option("keep", "--keep"),
            option("min_calls", "--min-calls")
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn forms_are_checked_by_the_rules_of_the_commands() {
        let rate = |text: &str| read_rate(&Parameters::parse(text));
        assert!(
            matches!(rate("pattern=shop%3A%3A*&rate=0.1").unwrap(), Change::SetRate(_, rate) if (rate - 0.1).abs() < 1e-9)
        );
        assert!(matches!(rate("pattern=a&reset=1").unwrap(), Change::ResetRate(_)));
        for bad in ["", "pattern=a", "pattern=a&rate=2", "pattern=a&rate=NaN", "rate=0.5"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
        let hold = |text: &str| read_hold(&Parameters::parse(text));
        assert!(matches!(hold("hold=auto").unwrap(), Change::Hold("auto", _)));
        for bad in ["", "hold=open", "hold=ajar&reason=x"] {
            assert!(hold(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_form_of_a_rule_is_checked_by_the_rules_of_the_command() {
        let rule = |text: &str| read_rule(&Parameters::parse(text));
        let good =
            "do=set&pattern=shop%3A%3A*&condition=p99+%3E+50ms+for+1m&level=critical&keep=2m&min_calls=5";
        assert!(matches!(rule(good).unwrap(), Change::SetRule(_)));
        assert!(
            matches!(rule("do=disable&rule=level").unwrap(), Change::SwitchRule(name, None, false) if name == "level")
        );
        assert!(matches!(rule("do=remove&rule=a&level=info").unwrap(), Change::RemoveRule(_, Some("info"))));
        for bad in [
            "",
            "do=set",
            "do=set&pattern=a",
            "do=set&pattern=a&condition=p98+%3E+1ms",
            "do=set&pattern=a&condition=rows_lost+%3E+0",
            "do=set&pattern=a&condition=failed+%3E+0&level=loud",
            "do=set&pattern=a&condition=failed+%3E+0&keep=soon",
            "do=set&pattern=a&condition=failed+%3E+0&min_calls=-1",
            "do=remove",
            "do=burn&rule=a",
        ] {
            assert!(rule(bad).is_err(), "{bad}");
        }
        let refused = refuse(&Parameters::parse(good), None).to_string();
        let command =
            "monitor alert set 'shop::*' 'p99 > 50ms for 1m' --level critical --keep 2m --min-calls 5";
        assert!(refused.ends_with(command), "{refused}");
        let refused = refuse(&Parameters::parse("do=disable&rule=rows+lost"), None).to_string();
        assert!(refused.ends_with("monitor alert disable 'rows lost'"), "{refused}");
    }

    #[test]
    fn a_refusal_has_the_command_to_copy() {
        let refused = refuse(&Parameters::parse("pattern=*%3A%3Apay&rate=0.25"), None).to_string();
        assert!(refused.ends_with("monitor sample '*::pay' 0.25"), "{refused}");
        let refused =
            refuse(&Parameters::parse("hold=open&reason=it's+full"), Some(Path::new("a b.db"))).to_string();
        assert!(refused.ends_with("monitor breaker open --reason \"it's full\" --db 'a b.db'"), "{refused}");
    }
}
