//! Payments: a service of its own, `bank`, and the shop's client of it, `client`. They share the words of the request.

pub(crate) mod bank;
pub(crate) mod client;

use serde::{Deserialize, Serialize};

/// The request to charge a card.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Charge {
    pub(crate) order: u64,
    pub(crate) issuer: String,
    pub(crate) cents: u64,
}

/// The approval of a charge.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Approval {
    pub(crate) code: u64,
}
