//! The checkout: an order is checked, priced, paid and stored.

use monitored::monitor;
use serde::Deserialize;

use crate::api::App;
use crate::catalog::CatalogError;
use crate::db::DatabaseError;
use crate::payments::Charge;
use crate::payments::client::ChargeError;

/// An order as a customer sends it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Order {
    pub(crate) number: u64,
    pub(crate) customer: u64,
    pub(crate) issuer: String,
    pub(crate) lines: Vec<Line>,
}

/// A product of an order, and how many pieces of it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Line {
    pub(crate) product: u64,
    pub(crate) quantity: u64,
}

/// An order that was not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckoutError {
    #[error("the order has no lines")]
    NoLines,
    #[error("the order has no price")]
    Price(#[from] CatalogError),
    #[error("the order is not paid")]
    Payment(#[from] ChargeError),
    #[error("the order cannot be stored")]
    Database(#[from] DatabaseError),
}

/// Takes an order and returns its number in the database.
#[monitor]
pub(crate) async fn checkout(app: &App, order: &Order) -> Result<i64, CheckoutError> {
    validate(order)?;
    let cents = total(app, order).await?;
    let charge = Charge { order: order.number, issuer: order.issuer.clone(), cents };
    app.payments.charge(&charge).await?;
    let order = order.clone();
    let stored = app.database.run(move |session| {
        for line in &order.lines {
            session.take(line.product, line.quantity)?;
        }
        session.add_order(order.customer, cents)
    });
    Ok(stored.await?)
}

#[monitor]
fn validate(order: &Order) -> Result<(), CheckoutError> {
    if order.lines.is_empty() { Err(CheckoutError::NoLines) } else { Ok(()) }
}

#[monitor]
async fn total(app: &App, order: &Order) -> Result<u64, CheckoutError> {
    let mut cents = 0;
    for line in &order.lines {
        cents += app.catalog.product(line.product).await?.cents * line.quantity;
    }
    Ok(cents - app.catalog.discount(order.customer, cents))
}
