//! Rates set while the program runs: in code, or from outside through the table `sampling`.

use std::fmt;

use crate::sampling::{RuleError, Rules};
use crate::site;
use crate::store::SetRate;
use crate::sync::lock;

use super::shared::Shared;

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

/// A rate asked for in code.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AskedRate {
    pub(crate) pattern: String,
    /// `None`: reset.
    pub(crate) rate: Option<f64>,
    pub(crate) set_by: String,
}

impl fmt::Display for AskedRate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rate {
            Some(rate) => write!(formatter, "{} = {rate} by {}", self.pattern, self.set_by),
            None => write!(formatter, "{} reset by {}", self.pattern, self.set_by),
        }
    }
}

/// What the table says, as last read, and what was asked for since.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    table: Vec<SetRate>,
    asked: Vec<AskedRate>,
    /// Both together.
    live: Rules,
}

/// Whether pattern and rate are allowed.
pub(crate) fn check(pattern: &str, rate: f64) -> Result<(), RateError> {
    Ok(Rules::default().set(pattern, rate)?)
}

impl Rates {
    fn merge(&mut self) {
        let mut live = Rules::default();
        for row in &self.table {
            // A pattern that another version wrote may not be one to us: it matches nothing then.
            let _ = live.set(&row.pattern, row.rate);
        }
        for asked in &self.asked {
            match asked.rate {
                Some(rate) => _ = live.set(&asked.pattern, rate),
                None => _ = live.reset(&asked.pattern),
            }
        }
        self.live = live;
    }
}

impl Shared {
    pub(crate) fn live_rates(&self) -> Rules {
        lock(&self.rates).live.clone()
    }

    /// Puts a rate into force here, and remembers it for the table.
    pub(crate) fn ask_rate(&self, pattern: &str, rate: Option<f64>) {
        {
            let mut rates = lock(&self.rates);
            rates.asked.retain(|earlier| earlier.pattern != pattern);
            rates.asked.push(AskedRate { pattern: pattern.to_owned(), rate, set_by: "program".to_owned() });
            rates.merge();
        }
        self.apply_rates();
    }

    /// The rates that are to be written to the table. They stay in force until the table is read.
    pub(crate) fn rates_to_store(&self) -> Vec<AskedRate> {
        lock(&self.rates).asked.clone()
    }

    /// A rate was written to the table.
    pub(crate) fn stored(&self, asked: &AskedRate) {
        let mut rates = lock(&self.rates);
        rates.asked.retain(|waiting| waiting != asked);
        rates.table.retain(|row| row.pattern != asked.pattern);
        if let Some(rate) = asked.rate {
            rates.table.push(SetRate { pattern: asked.pattern.clone(), rate, set_by: asked.set_by.clone() });
        }
        rates.merge();
    }

    /// Takes over what the table says now; returns what changed, in words.
    pub(crate) fn take_over(&self, table: &[SetRate]) -> Vec<String> {
        let changes = {
            let mut rates = lock(&self.rates);
            let changes = changes(&rates.table, table);
            rates.table = table.to_vec();
            rates.merge();
            changes
        };
        self.apply_rates();
        changes
    }

    /// Replaces the rates of the settings.
    pub(crate) fn set_base_rates(&self, rates: Rules) {
        *lock(&self.base_rates) = rates;
        self.apply_rates();
    }

    fn apply_rates(&self) {
        for site in site::all() {
            self.set_rate_of(site);
        }
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
