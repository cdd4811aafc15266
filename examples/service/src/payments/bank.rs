//! The payment service. It declines large amounts, and cannot reach one of the issuers: this is the flaw that is the
//! root cause of failed orders.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use monitored::monitor;

use super::{Approval, Charge};
use crate::books::Books;

/// The issuer that does not answer.
pub(crate) const SILENT_ISSUER: &str = "nordbank";
/// The largest amount that is approved, in cents.
pub(crate) const CENTS_MAX: u64 = 100_000;

/// The refusal of a charge.
#[derive(Debug, thiserror::Error)]
enum BankError {
    #[error("{cents} cents are more than the card allows")]
    Declined { cents: u64 },
    #[error("issuer {issuer} does not answer")]
    IssuerSilent { issuer: String },
}

impl IntoResponse for BankError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Declined { .. } => StatusCode::PAYMENT_REQUIRED,
            Self::IssuerSilent { .. } => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, self.to_string()).into_response()
    }
}

/// Returns the routes of the payment service.
pub(crate) fn router(books: Arc<Books>) -> Router {
    Router::new().route("/charges", post(receive)).with_state(books)
}

#[monitor]
async fn receive(
    State(books): State<Arc<Books>>,
    Json(charge): Json<Charge>,
) -> Result<Json<Approval>, BankError> {
    books.add("charges received");
    Ok(Json(authorize(&charge).await?))
}

#[monitor]
async fn authorize(charge: &Charge) -> Result<Approval, BankError> {
    tokio::task::yield_now().await;
    if charge.issuer == SILENT_ISSUER {
        return Err(BankError::IssuerSilent { issuer: charge.issuer.clone() });
    }
    if charge.cents > CENTS_MAX {
        return Err(BankError::Declined { cents: charge.cents });
    }
    Ok(Approval { code: charge.order })
}
