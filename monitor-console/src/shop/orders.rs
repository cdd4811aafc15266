//! Orders: made from their number, checked, priced and brought to an end.

use std::error::Error;
use std::fmt;

use monitored::{Context, monitor};
use serde::Serialize;

use super::books::{self, End};
use super::payments::{self, PaymentFailed};
use super::shipping;
use super::stock::{OutOfStock, Shelf};

/// What a customer wants.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Order {
    pub(super) number: u32,
    pub(super) customer: &'static str,
    pub(super) lines: Vec<Line>,
}

/// One item of an order.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Line {
    pub(super) item: &'static str,
    pub(super) quantity: u32,
    pub(super) cents: u64,
}

/// What a customer gets.
#[derive(Debug, Serialize)]
pub(super) struct Receipt {
    order: u32,
    cents: u64,
    courier: Option<&'static str>,
}

impl Order {
    /// The order of this number: every 23rd is empty.
    pub(super) fn number(number: u32) -> Self {
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

/// Takes an order from the counter to the courier.
#[monitor(fields(lines = order.lines.len()))]
pub(super) async fn place(order: Order) -> Result<Receipt, OrderFailed> {
    books::noted(concat!(module_path!(), "::place"), fulfil(&order).await)
}

async fn fulfil(order: &Order) -> Result<Receipt, OrderFailed> {
    validate(order)?;
    let cents = price(&order.lines);
    Shelf::of(order.number).reserve(&order.lines)?;
    payments::charge(order.number, cents).await?;
    let courier = shipping::courier(order.number).await;
    // On a task of its own; the context makes it a callee of this order nevertheless.
    let told = tokio::spawn(Context::current().instrument(tell(order.customer, order.number)));
    told.await.map_err(|_| OrderFailed::NobodyTold)?;
    Ok(Receipt { order: order.number, cents, courier })
}

#[monitor]
fn validate(order: &Order) -> Result<(), OrderFailed> {
    let result = if order.lines.is_empty() { Err(OrderFailed::Empty) } else { Ok(()) };
    books::noted(concat!(module_path!(), "::validate"), result)
}

#[monitor]
fn price(lines: &[Line]) -> u64 {
    books::note(concat!(module_path!(), "::price"), End::Ok);
    lines.iter().map(|line| with_tax(line.cents * u64::from(line.quantity))).sum()
}

/// Called the most and worth the least: one call in a hundred gets a row, all are counted.
#[monitor(sample = 0.01)]
fn with_tax(cents: u64) -> u64 {
    books::note(concat!(module_path!(), "::with_tax"), End::Ok);
    cents + cents * 19 / 100
}

#[monitor]
async fn tell(customer: &'static str, order: u32) {
    tokio::task::yield_now().await;
    books::note(concat!(module_path!(), "::tell"), End::Ok);
    debug_assert!(order > 0 && !customer.is_empty());
}

/// Why an order came to nothing.
#[derive(Debug)]
pub(super) enum OrderFailed {
    Empty,
    Stock(OutOfStock),
    Payment(PaymentFailed),
    NobodyTold,
}

impl fmt::Display for OrderFailed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Empty => "the order has no lines",
            Self::Stock(_) => "the order cannot be filled",
            Self::Payment(_) => "the order is not paid",
            Self::NobodyTold => "the customer was not told",
        })
    }
}

impl Error for OrderFailed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Stock(cause) => Some(cause),
            Self::Payment(cause) => Some(cause),
            Self::Empty | Self::NobodyTold => None,
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
