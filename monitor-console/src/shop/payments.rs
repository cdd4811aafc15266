//! Payments: customers log in, cards are charged, books are audited until closing time.

use std::error::Error;
use std::fmt;
use std::future;
use std::time::Duration;

use anyhow::{Result, ensure};
use monitored::monitor;
use serde::Serialize;
use tokio::sync::oneshot;

use super::books::{self, End};

/// The password is called by its name, and so never recorded.
#[monitor]
pub(super) fn log_in(user: &str, password: &str) -> bool {
    books::note(concat!(module_path!(), "::log_in"), End::Ok);
    user.len() < password.len()
}

/// Charges a card; every 97th time the bank takes 6 ms.
#[monitor(group = "payments", slow = "5ms")]
pub(super) async fn charge(order: u32, cents: u64) -> Result<Approval, PaymentFailed> {
    let wait = if order.is_multiple_of(97) { 6_000 } else { 200 + u64::from(order % 7) * 100 };
    tokio::time::sleep(Duration::from_micros(wait)).await;
    let card = format!("4000 0000 0000 {:04}", order % 10_000);
    let result = authorize(&card, cents).await.map_err(|cause| PaymentFailed { order, cause });
    books::noted(concat!(module_path!(), "::charge"), result)
}

/// Every 29th amount is refused.
#[monitor(group = "payments", redact(card))]
async fn authorize(card: &str, cents: u64) -> Result<Approval, Declined> {
    tokio::task::yield_now().await;
    let last = card.rsplit(' ').next().and_then(|digits| digits.parse::<u32>().ok()).unwrap_or(0);
    let result = if last.is_multiple_of(29) { Err(Declined { cents }) } else { Ok(Approval { code: last }) };
    books::noted(concat!(module_path!(), "::authorize"), result)
}

/// Starts an audit, waits until it is under way, and gives it up.
pub(super) async fn audit_until_closing(round: u32) -> Result<()> {
    let (started, is_started) = oneshot::channel();
    let task = tokio::spawn(audit(round, started));
    is_started.await?;
    task.abort();
    ensure!(task.await.is_err_and(|error| error.is_cancelled()), "an audit ended by itself");
    Ok(())
}

/// Never done before it is told to stop.
#[monitor(skip(started))]
async fn audit(round: u32, started: oneshot::Sender<u32>) {
    books::note(concat!(module_path!(), "::audit"), End::Cancelled);
    let _ = started.send(round);
    future::pending::<()>().await;
}

/// The bank's yes.
#[derive(Debug, Serialize)]
pub(super) struct Approval {
    code: u32,
}

/// The bank's no.
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

/// A charge that came to nothing.
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
