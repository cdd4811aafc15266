//! The books of a run, and the calls of each function that follow from them.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The attempts of a charge while the payment service is down.
pub(crate) const ATTEMPTS: u64 = 5;
/// The orders of the regular customer.
pub(crate) const ORDERS_OF_THE_REGULAR: u64 = 41;
/// The orders of the wholesaler.
pub(crate) const ORDERS_OF_THE_WHOLESALER: u64 = 20_000;
/// The calls of the tiny function in one forecast.
pub(crate) const STEPS: u64 = 5_000_000;

/// The counts that the service prints at its end.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Books(BTreeMap<String, u64>);

/// The calls of a function by their outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) all: u64,
    pub(crate) errors: u64,
    pub(crate) panics: u64,
    pub(crate) cancelled: u64,
}

impl Books {
    /// Returns a count, 0 if nothing was counted.
    pub(crate) fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Asserts that each request was answered as it had to be.
    pub(crate) fn assert_answers(&self) {
        for name in self.0.keys() {
            assert!(!name.ends_with("unanswered") && !name.ends_with(" 500"), "{name} in {self:?}");
        }
        assert_eq!(self.get("jobs failed"), 0, "{self:?}");
    }

    /// Returns the calls of each function that the run must have made.
    pub(crate) fn calls(&self) -> BTreeMap<String, Calls> {
        let accepted = self.get("create_order 201");
        let empty = self.get("create_order 400");
        let declined = self.get("create_order 402");
        let given_up = self.get("create_order 502");
        let priced = accepted + declined + given_up;
        let refused = declined + ATTEMPTS * given_up;
        let charges = accepted + refused;
        let shown = self.get("show_product 200") + self.get("show_product 404");
        let missing = self.get("show_product 404");
        // An accepted order has two lines, any other that gets a price has one.
        let looked_up = shown + 2 * accepted + declined + given_up;
        let stock = self.get("show_stock 200") + self.get("show_stock (legacy) 200");
        let ordinary = self.get("list_orders (ordinary) 200");
        let regular = self.get("list_orders (regular) 200");
        let wholesaler = self.get("list_orders (wholesaler) 200");
        let lists = ordinary + regular + wholesaler;
        let lines = 3 * ordinary + ORDERS_OF_THE_REGULAR * regular + ORDERS_OF_THE_WHOLESALER * wholesaler;
        let recommended = self.get("recommend 200");
        let forecasts = self.get("show_forecast 200");
        let panicked = self.get("jobs panicked");

        let ok = |all| Calls { all, ..Calls::default() };
        let failed = |all, errors| Calls { all, errors, ..Calls::default() };
        let calls = [
            ("api::show_product", failed(shown, missing)),
            ("api::recommend", ok(recommended)),
            ("api::show_stock", ok(stock)),
            ("api::list_orders", ok(lists)),
            ("api::create_order", failed(priced + empty, empty + declined + given_up)),
            ("api::show_forecast", ok(forecasts)),
            ("catalog::Catalog::product", failed(looked_up, missing)),
            ("catalog::Catalog::stock", ok(stock)),
            ("catalog::Catalog::discount", ok(priced)),
            ("catalog::similar", Calls { all: recommended, cancelled: recommended, ..Calls::default() }),
            ("checkout::checkout", failed(priced + empty, empty + declined + given_up)),
            ("checkout::validate", failed(priced + empty, empty)),
            ("checkout::total", ok(priced)),
            ("payments::client::Client::charge", failed(priced, declined + given_up)),
            ("payments::client::Client::post_charge", failed(charges, refused)),
            ("payments::bank::receive", failed(charges, refused)),
            ("payments::bank::authorize", failed(charges, refused)),
            ("db::session::Session::product", ok(looked_up)),
            ("db::session::Session::stock", ok(stock)),
            ("db::session::Session::orders", ok(lists)),
            ("db::session::Session::lines", ok(lines)),
            ("db::session::Session::take", ok(2 * accepted)),
            ("db::session::Session::add_order", ok(accepted)),
            ("db::session::Session::add_receipt", ok(accepted - panicked)),
            ("sessions::Sessions::remember", ok(accepted)),
            ("receipts::render", Calls { all: accepted, panics: panicked, ..Calls::default() }),
            ("receipts::initials", Calls { all: accepted, panics: panicked, ..Calls::default() }),
            // The job on the index hangs until the end and is cancelled then.
            ("jobs::run", Calls { all: accepted + 1, errors: 0, panics: panicked, cancelled: 1 }),
            ("jobs::compact", ok(1)),
            ("jobs::reindex", Calls { all: 1, cancelled: 1, ..Calls::default() }),
            ("forecast::simulate", ok(forecasts)),
            ("forecast::step", ok(STEPS * forecasts)),
        ];
        let made = calls.into_iter().filter(|(_, calls)| calls.all > 0);
        made.map(|(name, calls)| (format!("service::{name}"), calls)).collect()
    }
}

impl Calls {
    /// Returns the number of calls that failed in any way.
    pub(crate) fn failed(self) -> u64 {
        self.errors + self.panics + self.cancelled
    }
}
