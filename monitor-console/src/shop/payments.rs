//! Payments: customers log in, cards are charged, and audits run until they are cancelled.

use std::error::Error;
use std::fmt;
use std::future;
use std::time::Duration;

use anyhow::{Result, ensure};
use monitored::monitor;
use serde::Serialize;
use tokio::sync::oneshot;

use super::ledger::{self, Outcome};

/// Logs a customer in. The argument `password` is redacted because of its name.
#[monitor]
pub(super) fn log_in(user: &str, password: &str) -> bool {
    ledger::count(concat!(module_path!(), "::log_in"), Outcome::Ok);
    user.len() < password.len()
}

/// Charges a card. For every 97th order the bank takes 6 ms, which is past the limit in `slow`.
#[monitor(group = "payments", slow = "5ms")]
pub(super) async fn charge(order: u32, cents: u64) -> Result<Approval, PaymentFailed> {
    let wait = if order.is_multiple_of(97) { 6_000 } else { 200 + u64::from(order % 7) * 100 };
    tokio::time::sleep(Duration::from_micros(wait)).await;
    let card = format!("4000 0000 0000 {:04}", order % 10_000);
    let result = authorize(&card, cents).await.map_err(|cause| PaymentFailed { order, cause });
    ledger::count_result(concat!(module_path!(), "::charge"), result)
}

/// Authorizes a charge; every 29th card is declined.
#[monitor(group = "payments", redact(card))]
async fn authorize(card: &str, cents: u64) -> Result<Approval, Declined> {
    tokio::task::yield_now().await;
    let last = card.rsplit(' ').next().and_then(|digits| digits.parse::<u32>().ok()).unwrap_or(0);
    let result = if last.is_multiple_of(29) { Err(Declined { cents }) } else { Ok(Approval { code: last }) };
    ledger::count_result(concat!(module_path!(), "::authorize"), result)
}

/// Starts an audit, waits until it runs, and cancels it.
pub(super) async fn cancel_audit(round: u32) -> Result<()> {
    let (started, is_started) = oneshot::channel();
    let task = tokio::spawn(audit(round, started));
    is_started.await?;
    task.abort();
    ensure!(task.await.is_err_and(|error| error.is_cancelled()), "an audit ended by itself");
    Ok(())
}

/// Runs until it is cancelled.
#[monitor(skip(started))]
async fn audit(round: u32, started: oneshot::Sender<u32>) {
    ledger::count(concat!(module_path!(), "::audit"), Outcome::Cancelled);
    let _ = started.send(round);
    future::pending::<()>().await;
}

/// The bank's approval of a charge.
#[derive(Debug, Serialize)]
pub(super) struct Approval {
    code: u32,
}

/// The bank's refusal of a charge.
#[derive(Debug)]
pub(super) struct Declined {
    cents: u64,
}

impl fmt::Display for Declined {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "card declined for {} cents", self.cents)
    }
}

impl Error for Declined {}

/// A failed charge.
#[derive(Debug)]
pub(super) struct PaymentFailed {
    order: u32,
    cause: Declined,
}

impl fmt::Display for PaymentFailed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "payment for order {} failed", self.order)
    }
}

impl Error for PaymentFailed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cause)
    }
}
