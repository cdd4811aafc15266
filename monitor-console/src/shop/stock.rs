//! Stock: shelves, what is taken from them, and the delivery that fills them.

use std::error::Error;
use std::fmt;

use monitored::monitor;
use serde::Serialize;

use super::books::{self, End};
use super::orders::Line;

/// Where an order's items lie.
#[derive(Debug)]
pub(super) struct Shelf {
    number: u32,
}

#[monitor]
impl Shelf {
    /// Too small to be worth a record.
    #[monitor(off)]
    pub(super) fn of(order: u32) -> Self {
        Self { number: order }
    }

    /// Every 17th shelf is empty.
    pub(super) fn reserve(&self, lines: &[Line]) -> Result<Picked, OutOfStock> {
        let result = match lines.first() {
            Some(line) if self.number.is_multiple_of(17) => Err(OutOfStock { item: line.item }),
            _ => Ok(self.pick(lines)),
        };
        books::noted(concat!(module_path!(), "::Shelf::reserve"), result)
    }

    fn pick(&self, lines: &[Line]) -> Picked {
        books::note(concat!(module_path!(), "::Shelf::pick"), End::Ok);
        Picked { shelf: self.number, items: lines.iter().map(|line| line.quantity).sum() }
    }
}

/// What was taken from a shelf.
#[derive(Debug, Serialize)]
pub(super) struct Picked {
    shelf: u32,
    items: u32,
}

/// Ten million items go in by reference; what is recorded of them is their start and their number.
#[monitor]
pub(super) fn book_in(items: &[u32]) -> usize {
    books::note(concat!(module_path!(), "::book_in"), End::Ok);
    items.len()
}

/// An item is gone.
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
