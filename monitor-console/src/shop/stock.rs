//! Stock: shelves, items reserved from them, and the delivery that fills them.

use std::error::Error;
use std::fmt;

use monitored::monitor;
use serde::Serialize;

use super::Line;
use super::ledger::{self, Outcome};

/// The shelf that holds an order's items.
#[derive(Debug)]
pub(super) struct Shelf {
    number: u32,
}

#[monitor]
impl Shelf {
    /// Returns the shelf of an order. It is not monitored: the function is too small to be worth a record.
    #[monitor(off)]
    pub(super) fn new(order: u32) -> Self {
        Self { number: order }
    }

    /// Reserves the items of an order; every 17th shelf is empty.
    pub(super) fn reserve(&self, lines: &[Line]) -> Result<Picked, OutOfStock> {
        let result = match lines.first() {
            Some(line) if self.number.is_multiple_of(17) => Err(OutOfStock { item: line.item }),
            _ => Ok(self.pick(lines)),
        };
        ledger::count_result(concat!(module_path!(), "::Shelf::reserve"), result)
    }

    fn pick(&self, lines: &[Line]) -> Picked {
        ledger::count(concat!(module_path!(), "::Shelf::pick"), Outcome::Ok);
        Picked { shelf: self.number, items: lines.iter().map(|line| line.quantity).sum() }
    }
}

/// The items picked from a shelf.
#[derive(Debug, Serialize)]
pub(super) struct Picked {
    shelf: u32,
    items: u32,
}

/// Books a delivery in. Of its ten million items the recorder captures the first three and their number.
#[monitor]
pub(super) fn book_in(items: &[u32]) -> usize {
    ledger::count(concat!(module_path!(), "::book_in"), Outcome::Ok);
    items.len()
}

/// The error for an item of which the shelf holds none.
#[derive(Debug)]
pub(super) struct OutOfStock {
    item: &'static str,
}

impl fmt::Display for OutOfStock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "out of stock: {}", self.item)
    }
}

impl Error for OutOfStock {}
