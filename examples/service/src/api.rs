//! The shop's interface: a handler for each route, and the status of each failure.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use monitored::{Context, monitor};
use serde::Deserialize;

use crate::catalog::{self, Catalog, CatalogError};
use crate::checkout::{self, CheckoutError, Order};
use crate::db::{Database, DatabaseError, Product};
use crate::forecast;
use crate::jobs::{Job, Queue};
use crate::payments::client::{ChargeError, Client};
use crate::sessions::Sessions;

/// The time that a customer gets recommendations within, or none.
const RECOMMENDATION_TIMEOUT: Duration = Duration::from_millis(20);

/// The names of customers, by the customer's number. One begins with a letter of two bytes.
const NAMES: [&str; 25] = [
    "Ada L",
    "Alan T",
    "Barbara L",
    "Donald K",
    "Edsger D",
    "Frances A",
    "Grace H",
    "Hedy L",
    "Jean B",
    "Joan C",
    "John M",
    "Karen S",
    "Katherine J",
    "Ken T",
    "Leslie L",
    "Lynn C",
    "Margaret H",
    "Niklaus W",
    "Radia P",
    "Robin M",
    "Émile B",
    "Shafi G",
    "Sophie W",
    "Tony H",
    "Vint C",
];

/// The parts that the handlers work with.
pub(crate) struct App {
    pub(crate) catalog: Catalog,
    pub(crate) payments: Client,
    pub(crate) sessions: Sessions,
    pub(crate) database: Database,
    pub(crate) queue: Queue,
}

/// A request that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("the order was not accepted")]
    Checkout(#[from] CheckoutError),
    #[error("nothing was found")]
    Catalog(#[from] CatalogError),
    #[error("the orders cannot be read")]
    Database(#[from] DatabaseError),
    #[error("the forecast did not end")]
    Forecast(#[from] tokio::task::JoinError),
    #[error("the job queue is closed")]
    Closed,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Checkout(CheckoutError::NoLines) => StatusCode::BAD_REQUEST,
            Self::Checkout(CheckoutError::Payment(ChargeError::Declined(_))) => StatusCode::PAYMENT_REQUIRED,
            Self::Checkout(CheckoutError::Payment(ChargeError::GaveUp(_))) => StatusCode::BAD_GATEWAY,
            Self::Catalog(CatalogError::NoProduct(_) | CatalogError::NoSku(_)) => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, self.to_string()).into_response()
    }
}

/// Returns the routes of the shop.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/products/{id}", get(show_product))
        .route("/products/{id}/similar", get(recommend))
        .route("/stock/{sku}", get(show_stock))
        .route("/customers/{id}/orders", get(list_orders))
        .route("/orders", post(create_order))
        .route("/forecast/{id}", get(show_forecast))
        .with_state(app)
}

#[monitor]
async fn show_product(State(app): State<Arc<App>>, Path(id): Path<u64>) -> Result<Json<Product>, ApiError> {
    Ok(Json(app.catalog.product(id).await?))
}

/// Recommends similar products, or none if they are not found in time.
#[monitor]
async fn recommend(Path(id): Path<u64>) -> Json<Vec<u64>> {
    Json(tokio::time::timeout(RECOMMENDATION_TIMEOUT, catalog::similar(id)).await.unwrap_or_default())
}

#[monitor]
async fn show_stock(State(app): State<Arc<App>>, Path(sku): Path<String>) -> Result<Json<u64>, ApiError> {
    Ok(Json(app.catalog.stock(&sku).await?))
}

/// Lists the products of all orders of a customer, with one query for each order: this is the flaw "N+1".
#[monitor]
async fn list_orders(
    State(app): State<Arc<App>>,
    Path(customer): Path<u64>,
) -> Result<Json<Vec<u64>>, ApiError> {
    let lines = app.database.run(move |session| {
        let mut lines = Vec::new();
        for order in session.orders(customer)? {
            lines.extend(session.lines(order)?);
        }
        Ok(lines)
    });
    Ok(Json(lines.await?))
}

#[monitor]
async fn create_order(
    State(app): State<Arc<App>>,
    Json(order): Json<Order>,
) -> Result<(StatusCode, Json<i64>), ApiError> {
    let number = checkout::checkout(&app, &order).await?;
    app.sessions.remember(order.customer);
    let at = usize::try_from(order.customer).unwrap_or(0) % NAMES.len();
    let receipt = Job::Receipt { order: number, customer: NAMES[at] };
    app.queue.send(receipt).map_err(|_| ApiError::Closed)?;
    Ok((StatusCode::CREATED, Json(number)))
}

/// The number of steps of a forecast.
#[derive(Debug, Deserialize)]
struct Steps {
    steps: u64,
}

#[monitor]
async fn show_forecast(Path(product): Path<u64>, Query(steps): Query<Steps>) -> Result<Json<u64>, ApiError> {
    let caller = Context::current();
    let sales =
        tokio::task::spawn_blocking(move || caller.scope(|| forecast::simulate(product, steps.steps)));
    Ok(Json(sales.await?))
}
