//! The receipts that customers get after an order.

use monitored::monitor;

/// Writes the receipt of an order.
#[monitor]
pub(crate) fn render(order: i64, customer: &str) -> String {
    format!("order {order} for {} ({customer})", initials(customer))
}

/// Returns the first letter of each name. It cuts after one byte, although a letter may have more: this is the flaw
/// behind the jobs that panic.
#[monitor]
fn initials(customer: &str) -> String {
    customer.split(' ').map(|name| &name[..1]).collect()
}
