//! What the collector and the public functions share, behind locks that neither holds for long.
//!
//! Takes requests of the program (flush, stop, rates, subscribers) and what the collector found out (health, the
//! breaker's state); gives each to the other side. It does not know who asks.

use std::sync::Mutex;
use std::time::Duration;

use super::breaker::Breaker;
use super::control::Control;
use super::health::Health;
use super::live_rates::Rates;
use super::subscribe::Subscribers;
use crate::sampling::{Rules, effective_rate};
use crate::site::CallSite;
use crate::sync::lock;

/// What the collector and the public functions share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) breaker: Mutex<Breaker>,
    pub(crate) health: Mutex<Health>,
    pub(crate) subscribers: Subscribers,
    pub(crate) control: Control,
    /// Age and bytes that the store is bounded by since the settings file was changed.
    pub(crate) store_bounds: Mutex<Option<(Duration, u64)>>,
    pub(super) base_rates: Mutex<Rules>,
    pub(super) rates: Mutex<Rates>,
}

impl Shared {
    pub(crate) fn new(base_rates: Rules) -> Self {
        Self { base_rates: Mutex::new(base_rates), ..Self::default() }
    }

    /// One line for whoever watches the program. Called on the recorder's thread only.
    #[expect(clippy::print_stderr, reason = "the one place where the recorder prints")]
    #[expect(clippy::unused_self, reason = "a recorder's notice, wherever it goes")]
    pub(crate) fn notice(&self, text: &str) {
        // In one piece: what the program prints at the same time must not come between.
        let line = format!("monitored: {text}\n");
        eprint!("{line}");
    }
}

impl Shared {
    pub(crate) fn set_rate_of(&self, site: &CallSite) {
        let base = lock(&self.base_rates).clone();
        let (rate, source) =
            effective_rate(&site.shown_name(), site.sample_option(), &base, &self.live_rates());
        if !self.control.is_stopping() {
            site.ask(rate, source);
        }
    }
}
