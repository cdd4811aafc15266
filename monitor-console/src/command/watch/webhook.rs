//! A webhook as the receiver of alerts: one POST for a group of alerts.
//!
//! Takes alerts; sends them in the form of Alertmanager, and reads the status of the answer. Redirects are refused, and
//! a request that takes too long, in any of its parts, has failed. No message contains the address, because it may hold
//! a secret.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ureq::Agent;
use ureq::http::{Response, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::headers::Headers;
use super::{Refusal, message};
use crate::model::alerts::Alert;

/// The most alerts of a request.
pub(super) const ALERTS_MAX: usize = 50;
/// The longest time to connect.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// A webhook.
pub(super) struct Webhook {
    agent: Agent,
    address: String,
    headers: Headers,
}

impl Webhook {
    /// Returns a webhook that sends requests with these headers to an address. A request fails if it takes longer
    /// than `timeout`. If `ca_file` is given, only its certificates are trusted.
    pub(super) fn new(
        address: &str,
        headers: Headers,
        timeout: Duration,
        ca_file: Option<&Path>,
    ) -> Result<Self> {
        let roots = ca_file.map(read_certificates).transpose()?;
        let tls = TlsConfig::builder();
        let tls = match roots {
            Some(roots) => tls.root_certs(RootCerts::new_with_certs(&roots)).build(),
            None => tls.build(),
        };
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .timeout_connect(Some(CONNECT_MAX.min(timeout)))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .max_idle_connections(0)
            .user_agent(concat!("monitor/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build();
        Ok(Self { agent: Agent::new_with_config(config), address: address.to_owned(), headers })
    }

    /// Sends alerts. An answer 2xx says that the receiver has taken them.
    pub(super) fn deliver(&self, alerts: &[Alert], store: &Path) -> Result<(), Refusal> {
        let body = message::group(alerts, store).to_string();
        let mut request = self.agent.post(&self.address).header(header::CONTENT_TYPE, "application/json");
        for (name, value) in self.headers.read().map_err(|error| Refusal::new(format!("{error:#}")))? {
            request = request.header(name, value);
        }
        let answer = request
            .send(body)
            .map_err(|error| Refusal::new(format!("the webhook could not be reached: {error}")))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let why = if status.is_redirection() {
            format!("the webhook answered {status}: redirects are refused")
        } else {
            format!("the webhook answered {status}")
        };
        Err(Refusal { why, retry_after: retry_after(&answer) })
    }
}

/// Returns the pause that an answer asks for, if it says so in seconds.
fn retry_after<B>(answer: &Response<B>) -> Option<Duration> {
    let text = answer.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

fn read_certificates(path: &Path) -> Result<Vec<Certificate<'static>>> {
    let pem = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(error) => bail!("{} is not PEM: {error}", path.display()),
        }
    }
    if certificates.is_empty() {
        bail!("{} holds no certificate", path.display());
    }
    Ok(certificates)
}
