//! The products, and what they cost.

use std::time::Duration;

use monitored::monitor;

use crate::db::{Database, DatabaseError, Product};

/// The number of price rules that the next version looks through for each discount.
const RULES: u64 = 50_000;

/// The time of the function that finds similar products, longer than anybody waits.
const SIMILAR_TAKES: Duration = Duration::from_secs(10);

/// The catalogue.
pub(crate) struct Catalog {
    database: Database,
    build_b: bool,
}

/// The reason for which the catalogue has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CatalogError {
    #[error("there is no product {0}")]
    NoProduct(u64),
    #[error("there is no stock number {0}")]
    NoSku(String),
    #[error("the catalogue cannot be read")]
    Database(#[from] DatabaseError),
}

impl Catalog {
    pub(crate) fn new(database: Database, build_b: bool) -> Self {
        Self { database, build_b }
    }
}

#[monitor]
impl Catalog {
    /// Finds a product.
    pub(crate) async fn product(&self, id: u64) -> Result<Product, CatalogError> {
        let found = self.database.run(move |session| session.product(id)).await?;
        found.ok_or(CatalogError::NoProduct(id))
    }

    /// Returns the number of pieces in stock.
    pub(crate) async fn stock(&self, sku: &str) -> Result<u64, CatalogError> {
        let asked = sku.to_owned();
        let found = self.database.run(move |session| session.stock(&asked)).await?;
        found.ok_or_else(|| CatalogError::NoSku(sku.to_owned()))
    }

    /// Returns a customer's discount in cents. The next version looks through all price rules: this is the flaw
    /// behind the function that becomes slower between two builds.
    pub(crate) fn discount(&self, customer: u64, cents: u64) -> u64 {
        let rules = if self.build_b { RULES } else { 1 };
        let percent = (0..rules).map(|rule| std::hint::black_box(customer ^ rule) % 10).min().unwrap_or(0);
        cents * percent / 100
    }
}

/// Finds products similar to this one, but takes too long for its callers, who give up.
#[monitor]
pub(crate) async fn similar(id: u64) -> Vec<u64> {
    tokio::time::sleep(SIMILAR_TAKES).await;
    vec![id]
}
