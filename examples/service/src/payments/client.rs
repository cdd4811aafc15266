//! The shop's client of the payment service: tries again while the service is down, and gives up after five attempts.

use std::time::Duration;

use monitored::monitor;

use super::{Approval, Charge};
use crate::http::{self, HttpError};

/// The number of attempts to charge a card.
pub(crate) const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(2);

/// The client.
pub(crate) struct Client(http::Client);

/// A charge that was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChargeError {
    #[error("the card was declined")]
    Declined(#[source] PostError),
    #[error("no payment after {ATTEMPTS} attempts")]
    GaveUp(#[source] PostError),
}

/// A request to the payment service that brought no approval.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PostError {
    #[error("the payment service answered {status}: {reason}")]
    Refused { status: u16, reason: String },
    #[error("the payment service cannot be reached")]
    Http(#[from] HttpError),
    #[error("the answer of the payment service cannot be read")]
    Answer(#[from] serde_json::Error),
}

impl PostError {
    /// Returns true if the answer stays the same however often it is asked for.
    fn is_final(&self) -> bool {
        matches!(self, Self::Refused { status: 400..=499, .. })
    }
}

impl Client {
    pub(crate) fn new(address: &str) -> Self {
        Self(http::Client::new(address))
    }
}

#[monitor]
impl Client {
    /// Charges a card, in up to five attempts.
    pub(crate) async fn charge(&self, charge: &Charge) -> Result<Approval, ChargeError> {
        let mut attempt = 1;
        loop {
            match self.post_charge(charge, attempt).await {
                Ok(approval) => return Ok(approval),
                Err(error) if error.is_final() => return Err(ChargeError::Declined(error)),
                Err(error) => {
                    tracing::warn!("attempt {attempt} of order {} failed: {error}", charge.order);
                    if attempt == ATTEMPTS {
                        return Err(ChargeError::GaveUp(error));
                    }
                }
            }
            tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(attempt - 1)).await;
            attempt += 1;
        }
    }

    /// Sends one request to the payment service.
    async fn post_charge(&self, charge: &Charge, attempt: u32) -> Result<Approval, PostError> {
        let _ = attempt;
        let answer = self.0.post("/charges", charge).await?;
        if answer.status != 200 {
            let reason = String::from_utf8_lossy(&answer.body).into_owned();
            return Err(PostError::Refused { status: answer.status, reason });
        }
        Ok(serde_json::from_slice(&answer.body)?)
    }
}
