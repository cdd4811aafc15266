//! Rates set while the program runs: in code, or from outside through the table `sampling`.
//!
//! Takes the rates of the settings, the table, and requests of the program; gives the rate of a function. A request is
//! in force at once, and is remembered until the table has it. It does not put rates into force.

use std::fmt;
use std::sync::Mutex;

use crate::sampling::{RuleError, Rules, Source, effective_rate};
use crate::site::CallSite;
use crate::store::SetRate;
use crate::sync::lock;

/// Why a rate was refused.
#[derive(Debug, Clone, PartialEq)]
pub struct RateError(RuleError);

impl fmt::Display for RateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl std::error::Error for RateError {}

impl From<RuleError> for RateError {
    fn from(error: RuleError) -> Self {
        Self(error)
    }
}

/// Checks that pattern and rate are allowed.
pub(crate) fn check(pattern: &str, rate: f64) -> Result<(), RateError> {
    Ok(Rules::default().set(pattern, rate)?)
}

/// A rate that the program requested.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RequestedRate {
    pub(crate) pattern: String,
    /// The rate, or `None` for a reset.
    pub(crate) rate: Option<f64>,
    pub(crate) set_by: String,
}

impl fmt::Display for RequestedRate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rate {
            Some(rate) => write!(formatter, "{} = {rate} by {}", self.pattern, self.set_by),
            None => write!(formatter, "{} reset by {}", self.pattern, self.set_by),
        }
    }
}

/// The rates of a recorder.
#[derive(Debug)]
pub(crate) struct LiveRates {
    /// The rates of the settings.
    base: Mutex<Rules>,
    live: Mutex<Live>,
}

/// The rates set while the program runs.
#[derive(Debug, Default)]
struct Live {
    /// The rows of the table `sampling` when it was last read.
    table: Vec<SetRate>,
    /// The requests of the program that the table does not have yet.
    requested: Vec<RequestedRate>,
    /// The rules that follow from the table and the requests.
    rules: Rules,
}

impl Live {
    fn merge(&mut self) {
        let mut rules = Rules::default();
        for row in &self.table {
            // Another version may have written a pattern that this version refuses: such a row has no effect.
            let _ = rules.set(&row.pattern, row.rate);
        }
        for requested in &self.requested {
            match requested.rate {
                Some(rate) => _ = rules.set(&requested.pattern, rate),
                None => _ = rules.reset(&requested.pattern),
            }
        }
        self.rules = rules;
    }
}

impl LiveRates {
    pub(crate) fn new(base: Rules) -> Self {
        Self { base: Mutex::new(base), live: Mutex::default() }
    }

    /// Returns the rate of a function, and where it comes from.
    pub(crate) fn rate_of(&self, site: &CallSite) -> (f64, Source) {
        let (base, live) = (lock(&self.base), lock(&self.live));
        effective_rate(&site.shown_name(), site.sample_option(), &base, &live.rules)
    }

    /// Replaces the rates of the settings.
    pub(crate) fn set_base(&self, rates: Rules) {
        *lock(&self.base) = rates;
    }

    /// Adds a request of the program, and remembers it for the table.
    pub(crate) fn request(&self, pattern: &str, rate: Option<f64>) {
        let mut live = lock(&self.live);
        live.requested.retain(|earlier| earlier.pattern != pattern);
        live.requested.push(RequestedRate {
            pattern: pattern.to_owned(),
            rate,
            set_by: "program".to_owned(),
        });
        live.merge();
    }

    /// Returns true if there are requests that the table does not have yet.
    pub(crate) fn has_requests(&self) -> bool {
        !lock(&self.live).requested.is_empty()
    }

    /// Returns the requests that are to be written to the table. Each stays in force, and is returned again, until
    /// [`Self::note_stored`] notes that it was written.
    pub(crate) fn to_store(&self) -> Vec<RequestedRate> {
        lock(&self.live).requested.clone()
    }

    /// Notes that a request was written to the table.
    pub(crate) fn note_stored(&self, requested: &RequestedRate) {
        let mut live = lock(&self.live);
        live.requested.retain(|waiting| waiting != requested);
        live.table.retain(|row| row.pattern != requested.pattern);
        if let RequestedRate { pattern, rate: Some(rate), set_by } = requested.clone() {
            live.table.push(SetRate { pattern, rate, set_by });
        }
        live.merge();
    }

    /// Takes over the rows of the table as they are now. Returns a sentence for each change.
    pub(crate) fn take_over(&self, table: &[SetRate]) -> Vec<String> {
        let mut live = lock(&self.live);
        let changes = changes(&live.table, table);
        live.table = table.to_vec();
        live.merge();
        changes
    }
}

fn changes(before: &[SetRate], after: &[SetRate]) -> Vec<String> {
    let find =
        |rows: &[SetRate], pattern: &str| rows.iter().find(|row| row.pattern == pattern).map(|row| row.rate);
    let set = after.iter().filter(|row| find(before, &row.pattern) != Some(row.rate));
    let set = set.map(|row| format!("{} = {} by {}", row.pattern, row.rate, row.set_by));
    let reset = before.iter().filter(|row| find(after, &row.pattern).is_none());
    set.chain(reset.map(|row| format!("{} reset", row.pattern))).collect()
}
