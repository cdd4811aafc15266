//! The queries, one method each.

use monitored::monitor;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Serialize;

/// A connection, used by one thread at a time.
pub(crate) struct Session(Connection);

/// A product as the shop shows it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Product {
    pub(crate) id: u64,
    pub(crate) sku: String,
    pub(crate) cents: u64,
}

impl Session {
    pub(super) fn new(connection: Connection) -> Self {
        Self(connection)
    }
}

#[monitor]
impl Session {
    /// Finds a product by its number.
    pub(crate) fn product(&self, id: u64) -> rusqlite::Result<Option<Product>> {
        self.0
            .prepare_cached("SELECT id, sku, cents FROM product WHERE id = ?1")?
            .query_row([id], |row| Ok(Product { id: row.get(0)?, sku: row.get(1)?, cents: row.get(2)? }))
            .optional()
    }

    /// Returns the number of pieces in stock. A number that begins with `L` is one of the old catalogue, whose column
    /// has no index.
    pub(crate) fn stock(&self, sku: &str) -> rusqlite::Result<Option<u64>> {
        let sql = if sku.starts_with('L') {
            "SELECT stock FROM product WHERE legacy_sku = ?1"
        } else {
            "SELECT stock FROM product WHERE sku = ?1"
        };
        self.0.prepare_cached(sql)?.query_row([sku], |row| row.get(0)).optional()
    }

    /// Returns the numbers of a customer's orders.
    pub(crate) fn orders(&self, customer: u64) -> rusqlite::Result<Vec<u64>> {
        self.0
            .prepare_cached("SELECT id FROM shop_order WHERE customer = ?1")?
            .query_map([customer], |row| row.get(0))?
            .collect()
    }

    /// Returns the products of an order.
    pub(crate) fn lines(&self, order: u64) -> rusqlite::Result<Vec<u64>> {
        self.0
            .prepare_cached("SELECT product FROM order_line WHERE order_id = ?1")?
            .query_map([order], |row| row.get(0))?
            .collect()
    }

    /// Takes pieces of a product out of the stock.
    pub(crate) fn take(&self, product: u64, quantity: u64) -> rusqlite::Result<usize> {
        self.0
            .prepare_cached("UPDATE product SET stock = stock - ?2 WHERE id = ?1")?
            .execute([product, quantity])
    }

    /// Adds an order and returns its number.
    pub(crate) fn add_order(&self, customer: u64, cents: u64) -> rusqlite::Result<i64> {
        self.0
            .prepare_cached("INSERT INTO shop_order (customer, cents) VALUES (?1, ?2)")?
            .insert([customer, cents])
    }

    /// Adds a receipt.
    pub(crate) fn add_receipt(&self, order: i64, body: &str) -> rusqlite::Result<usize> {
        self.0
            .prepare_cached("INSERT INTO receipt (order_id, body) VALUES (?1, ?2)")?
            .execute(params![order, body])
    }
}
