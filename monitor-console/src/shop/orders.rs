//! Orders: generated from their number, validated, priced and fulfilled.

use std::error::Error;
use std::fmt;

use monitored::{Context, monitor};
use serde::Serialize;

use super::Line;
use super::ledger::{self, Outcome};
use super::payments::{self, PaymentFailed};
use super::shipping;
use super::stock::{OutOfStock, Shelf};

/// An order of a customer.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Order {
    pub(super) number: u32,
    pub(super) customer: &'static str,
    pub(super) lines: Vec<Line>,
}

/// The receipt for a fulfilled order.
#[derive(Debug, Serialize)]
pub(super) struct Receipt {
    order: u32,
    cents: u64,
    courier: Option<&'static str>,
}

impl Order {
    /// Returns the order of this number; every 23rd order has no lines.
    pub(super) fn generate(number: u32) -> Self {
        const ITEMS: [(&str, u64); 4] = [("tea", 450), ("cup", 900), ("kettle", 4_900), ("honey", 620)];
        let wanted = if number.is_multiple_of(23) { 0 } else { number as usize % 3 + 1 };
        let line = |at: usize| {
            let (item, cents) = ITEMS[(number as usize + at) % ITEMS.len()];
            Line { item, quantity: number % 5 + 1, cents }
        };
        let customer = ["ada", "grace", "edsger"][number as usize % 3];
        Self { number, customer, lines: (0..wanted).map(line).collect() }
    }
}

/// Places an order: the root of each trace of the workload.
#[monitor(fields(lines = order.lines.len()))]
pub(super) async fn place(order: Order) -> Result<Receipt, OrderFailed> {
    ledger::count_result(concat!(module_path!(), "::place"), fulfil(&order).await)
}

async fn fulfil(order: &Order) -> Result<Receipt, OrderFailed> {
    validate(order)?;
    let cents = price(&order.lines);
    Shelf::new(order.number).reserve(&order.lines)?;
    payments::charge(order.number, cents).await?;
    let courier = shipping::find_courier(order.number).await;
    // `tell` runs in a task of its own; the instrumented context makes it a child call of this order all the
    // same.
    let told = tokio::spawn(Context::current().instrument(tell(order.customer, order.number)));
    told.await.map_err(|_| OrderFailed::NotNotified)?;
    Ok(Receipt { order: order.number, cents, courier })
}

#[monitor]
fn validate(order: &Order) -> Result<(), OrderFailed> {
    let result = if order.lines.is_empty() { Err(OrderFailed::Empty) } else { Ok(()) };
    ledger::count_result(concat!(module_path!(), "::validate"), result)
}

#[monitor]
fn price(lines: &[Line]) -> u64 {
    ledger::count(concat!(module_path!(), "::price"), Outcome::Ok);
    lines.iter().map(|line| with_tax(line.cents * u64::from(line.quantity))).sum()
}

/// The most frequent and least interesting function: one call in a hundred gets a row, all are counted.
#[monitor(sample = 0.01)]
fn with_tax(cents: u64) -> u64 {
    ledger::count(concat!(module_path!(), "::with_tax"), Outcome::Ok);
    cents + cents * 19 / 100
}

#[monitor]
async fn tell(customer: &'static str, order: u32) {
    tokio::task::yield_now().await;
    ledger::count(concat!(module_path!(), "::tell"), Outcome::Ok);
    debug_assert!(order > 0 && !customer.is_empty());
}

/// The reason why an order failed.
#[derive(Debug)]
pub(super) enum OrderFailed {
    Empty,
    Stock(OutOfStock),
    Payment(PaymentFailed),
    NotNotified,
}

impl fmt::Display for OrderFailed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Empty => "the order has no lines",
            Self::Stock(_) => "the order cannot be filled",
            Self::Payment(_) => "the order is not paid",
            Self::NotNotified => "the customer was not told",
        })
    }
}

impl Error for OrderFailed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Stock(cause) => Some(cause),
            Self::Payment(cause) => Some(cause),
            Self::Empty | Self::NotNotified => None,
        }
    }
}

impl From<OutOfStock> for OrderFailed {
    fn from(cause: OutOfStock) -> Self {
        Self::Stock(cause)
    }
}

impl From<PaymentFailed> for OrderFailed {
    fn from(cause: PaymentFailed) -> Self {
        Self::Payment(cause)
    }
}
