//! The state that the public functions and the collector share.
//!
//! Takes requests of the program, and what the collector found out; gives each to the other side. Its locks are held
//! for moments only. It does not know who calls.

use std::sync::Mutex;
use std::time::Duration;

use super::breaker::Breaker;
use super::control::{Control, Requests};
use super::health::Health;
use super::live_rates::LiveRates;
use super::subscribe::{Record, Subscribers};
use crate::accountant::Accountant;
use crate::alert::Alert;
use crate::platform::stderr::write_line;
use crate::sampling::Rules;
use crate::site::{self, CallSite};
use crate::store::SetRate;

/// The state that the collector and the public functions share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) breaker: Mutex<Breaker>,
    pub(crate) health: Mutex<Health>,
    /// The closures of the program that receive records of calls.
    pub(crate) subscribers: Subscribers<Record>,
    /// The closures of the program that receive alerts.
    pub(crate) alert_subscribers: Subscribers<Alert>,
    pub(crate) control: Control,
    /// The age and the bytes that bound the store, if the settings file changed them.
    pub(crate) store_bounds: Mutex<Option<(Duration, u64)>>,
    pub(crate) rates: LiveRates,
}

impl Shared {
    /// Returns the shared state, and the collector's side of its requests.
    pub(crate) fn new(base_rates: Rules, accountant: &'static Accountant) -> (Self, Requests) {
        let (control, requests) = Control::new();
        let shared = Self {
            breaker: Mutex::default(),
            health: Mutex::default(),
            subscribers: Subscribers::new(accountant),
            alert_subscribers: Subscribers::new(accountant),
            control,
            store_bounds: Mutex::default(),
            rates: LiveRates::new(base_rates),
        };
        (shared, requests)
    }

    /// Prints one line on stderr, or drops it if it cannot be written at once. It is called on the recorder's thread
    /// only.
    #[expect(clippy::unused_self, reason = "a recorder's notice, wherever it goes")]
    pub(crate) fn notice(&self, text: &str) {
        // The line is written in one piece, so that nothing the program prints at the same time comes between.
        write_line(&format!("monitored: {text}\n"));
    }

    /// Applies a rate that the program requested, or resets it if `rate` is `None`, and remembers the request for the
    /// table `sampling`.
    pub(crate) fn request_rate(&self, pattern: &str, rate: Option<f64>) {
        self.rates.request(pattern, rate);
        self.apply_rates();
    }

    /// Takes over the rows of the table `sampling` as they are now. Returns a sentence for each change.
    pub(crate) fn take_over_rates(&self, table: &[SetRate]) -> Vec<String> {
        let changes = self.rates.take_over(table);
        self.apply_rates();
        changes
    }

    /// Replaces the rates of the settings.
    pub(crate) fn set_base_rates(&self, rates: Rules) {
        self.rates.set_base(rates);
        self.apply_rates();
    }

    fn apply_rates(&self) {
        for site in site::registered() {
            self.apply_rate(site);
        }
    }

    /// Puts the rate of a function into force, unless recording ends.
    pub(crate) fn apply_rate(&self, site: &CallSite) {
        let (rate, source) = self.rates.rate_of(site);
        if !self.control.is_stopping() {
            site.request(rate, source);
        }
    }
}
