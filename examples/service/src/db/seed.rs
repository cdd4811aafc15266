//! The first rows of the database: products, customers by their number of orders, and the orders' lines.

use rusqlite::{Connection, params};

/// The number of products.
pub(crate) const PRODUCTS: u64 = 60_000;
/// A customer with many orders. The page with the orders makes one query for each.
pub(crate) const REGULAR: u64 = 1;
/// The number of orders of that customer.
const ORDERS_OF_THE_REGULAR: u64 = 41;
/// A customer with far too many orders.
pub(crate) const WHOLESALER: u64 = 2;
/// The number of customers with three orders. Their numbers follow that of the wholesaler.
pub(crate) const ORDINARY_CUSTOMERS: u64 = 500;

const ORDERS_OF_THE_WHOLESALER: u64 = 20_000;

/// The tables. `legacy_sku` has no index: this is the flaw behind the slow argument.
const TABLES: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = OFF;
    CREATE TABLE product (
        id INTEGER PRIMARY KEY, sku TEXT NOT NULL, legacy_sku TEXT NOT NULL, cents INTEGER NOT NULL, stock INTEGER NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX product_sku ON product (sku);
    CREATE TABLE shop_order (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL, cents INTEGER NOT NULL) STRICT;
    CREATE INDEX order_customer ON shop_order (customer);
    CREATE TABLE order_line (order_id INTEGER NOT NULL, product INTEGER NOT NULL, quantity INTEGER NOT NULL) STRICT;
    CREATE INDEX line_order ON order_line (order_id);
    CREATE TABLE receipt (order_id INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;";

const FILL_PRODUCTS: &str = "
    WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < ?1)
    INSERT INTO product SELECT n, 'S-' || n, 'L-' || n, 100 + n % 900, 1000000000 FROM number";

const FILL_ORDERS: &str = "
    WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < ?2)
    INSERT INTO shop_order (customer, cents) SELECT ?1, 100 + n FROM number";

const FILL_LINES: &str = "INSERT INTO order_line SELECT id, id % ?1 + 1, 2 FROM shop_order";

/// Creates the tables and fills them.
pub(super) fn fill(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.execute_batch(TABLES)?;
    let transaction = connection.transaction()?;
    transaction.execute(FILL_PRODUCTS, [PRODUCTS])?;
    transaction.execute(FILL_ORDERS, params![REGULAR, ORDERS_OF_THE_REGULAR])?;
    transaction.execute(FILL_ORDERS, params![WHOLESALER, ORDERS_OF_THE_WHOLESALER])?;
    for customer in 1..=ORDINARY_CUSTOMERS {
        transaction.execute(FILL_ORDERS, params![WHOLESALER + customer, 3])?;
    }
    transaction.execute(FILL_LINES, [PRODUCTS])?;
    transaction.commit()
}
