//! The endpoints for machines: probes of a load balancer or of Kubernetes, and metrics for Prometheus.
//!
//! Takes the name of a store; gives the status of its recorders, or its metrics in the form that was asked for.

use std::sync::Arc;

use anyhow::Result;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use monitor_runtime::recover::{self, LiveProcess};

use super::address::parameter;
use super::app::{self, App, Form as PageForm};
use crate::model::health::{self, Answer, Detail};
use crate::model::prometheus::{self, Form, Options};
use crate::store::Store;
use crate::{find, units};

/// Answers that the server is alive.
#[allow(clippy::unused_async, reason = "a handler is asynchronous")]
pub(super) async fn livez() -> Response {
    respond(health::livez())
}

/// Answers whether the store can be read.
pub(super) async fn readyz(State(app): State<Arc<App>>, headers: HeaderMap, uri: Uri) -> Response {
    let detail = detail_for(&app, &headers);
    probe(&app, &uri, move |store, _| health::readyz(store, detail)).await
}

/// Answers with the status of the recorders, part by part.
pub(super) async fn healthz(State(app): State<Arc<App>>, headers: HeaderMap, uri: Uri) -> Response {
    let detail = detail_for(&app, &headers);
    probe(&app, &uri, move |store, living| health::healthz(store, living, detail, units::now_ns())).await
}

/// Returns what a request may see: names of services and texts of the store are for those who have the token.
fn detail_for(app: &App, headers: &HeaderMap) -> Detail {
    if app.guard().has_token(headers) { Detail::Full } else { Detail::Brief }
}

/// Answers with the metrics of a store.
pub(super) async fn metrics(State(app): State<Arc<App>>, headers: HeaderMap, uri: Uri) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let form = Form::accepted(accept);
    let written = read(&app, &uri, move |store, living| {
        prometheus::write(&store?, living, form, Options::default(), units::now_ns())
    });
    match written.await {
        Ok(metrics) => ([(header::CONTENT_TYPE, form.content_type())], Body::from(metrics)).into_response(),
        Err(error) => app::explain(&app, &error, PageForm::Json),
    }
}

async fn probe(
    app: &Arc<App>,
    uri: &Uri,
    answer: impl FnOnce(&Result<Store>, &[LiveProcess]) -> Answer + Send + 'static,
) -> Response {
    match read(app, uri, move |store, living| Ok(answer(&store, living))).await {
        Ok(answer) => respond(answer),
        Err(error) => app::explain(app, &error, PageForm::Json),
    }
}

/// Reads a store and the ring files of its processes on a thread for queries.
async fn read<T: Send + 'static>(
    app: &Arc<App>,
    uri: &Uri,
    read: impl FnOnce(Result<Store>, &[LiveProcess]) -> Result<T> + Send + 'static,
) -> Result<T> {
    let name = parameter(uri.query(), "db").filter(|name| !name.is_empty());
    app::run(app, move |app, opened| {
        let path = &app.choose_store(name.as_deref())?.path;
        let living = recover::find_live(path, &find::list_ring_folders(), units::now_ns());
        let store = Store::open(path).inspect(|store| {
            store.spare_process();
            store.set_time_limit(app::PAGE_TIME);
            opened(store);
        });
        read(store, &living)
    })
    .await
}

fn respond(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], answer.body).into_response()
}
