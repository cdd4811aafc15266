//! The endpoints for machines: probes of a load balancer or of Kubernetes, and metrics for Prometheus.
//!
//! Takes the name of a store, or none; gives the status of its recorders, or its metrics in the form that was asked for.
//! Without a name the status is the worst of all stores. An answer waits for no page and is kept for a second, so that
//! neither readers nor probes can make a healthy service look ill.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use monitor_runtime::recover;
use tokio::sync::Semaphore;

use super::address::parameter;
use super::app::{self, App, Form as PageForm, Served};
use crate::model::health::{self, Answer, Detail};
use crate::model::prometheus::{self, Form, Options};
use crate::store::Store;
use crate::{find, units};

/// The most questions of machines that are answered at once: one for status, one for metrics.
pub(super) const PROBES_MAX: usize = 2;
/// The time for which an answer is given again, because a balancer and an orchestrator ask many times a second.
const KEPT_TIME: Duration = Duration::from_secs(1);

/// Answers that the server is alive.
#[allow(clippy::unused_async, reason = "a handler is asynchronous")]
pub(super) async fn livez() -> Response {
    keep_json(health::livez()).into_response()
}

/// Answers whether the stores can be read.
pub(super) async fn readyz(State(app): State<Arc<App>>, headers: HeaderMap, uri: Uri) -> Response {
    let detail = detail_for(&app, &headers);
    answer(app, Question::Readiness(detail), &uri).await
}

/// Answers with the status of the recorders, part by part.
pub(super) async fn healthz(State(app): State<Arc<App>>, headers: HeaderMap, uri: Uri) -> Response {
    let detail = detail_for(&app, &headers);
    answer(app, Question::Health(detail), &uri).await
}

/// Returns what a request may see: names of services and texts of the store are for those who have the token.
fn detail_for(app: &App, headers: &HeaderMap) -> Detail {
    if app.guard().has_token(headers) { Detail::Full } else { Detail::Brief }
}

/// Answers with the metrics of a store.
pub(super) async fn metrics(State(app): State<Arc<App>>, headers: HeaderMap, uri: Uri) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    answer(app, Question::Metrics(Form::accepted(accept)), &uri).await
}

/// A question of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Question {
    Readiness(Detail),
    Health(Detail),
    Metrics(Form),
}

/// A question, and the name of the store that it is about; `None` if the address names none.
type Asked = (Question, Option<String>);

/// An answer that can be given several times.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
}

impl IntoResponse for Kept {
    fn into_response(self) -> Response {
        (self.status, [(header::CONTENT_TYPE, self.content_type)], self.body).into_response()
    }
}

/// The permits to answer machines, and the last answers. The permits are not those of pages, because a service whose
/// pages are busy is not ill. Metrics, which take longer, keep no probe waiting.
#[derive(Debug)]
pub(super) struct Probes {
    status_permit: Arc<Semaphore>,
    metrics_permit: Arc<Semaphore>,
    kept: Mutex<HashMap<Asked, (Instant, Kept)>>,
}

impl Default for Probes {
    fn default() -> Self {
        let permit = || Arc::new(Semaphore::new(1));
        Self { status_permit: permit(), metrics_permit: permit(), kept: Mutex::default() }
    }
}

impl Probes {
    fn permit(&self, question: Question) -> &Arc<Semaphore> {
        match question {
            Question::Readiness(_) | Question::Health(_) => &self.status_permit,
            Question::Metrics(_) => &self.metrics_permit,
        }
    }

    /// Returns the answer to this question if it is not old yet.
    fn find(&self, asked: &Asked, now: Instant) -> Option<Kept> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (made, answer) = kept.get(asked)?;
        (now.saturating_duration_since(*made) < KEPT_TIME).then(|| answer.clone())
    }

    /// Keeps an answer, and forgets those that are old.
    fn keep(&self, asked: Asked, answer: Kept, now: Instant) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (made, _)| now.saturating_duration_since(*made) < KEPT_TIME);
        kept.insert(asked, (now, answer));
    }
}

/// Answers a question with the last answer if that is not old, or anew.
async fn answer(app: Arc<App>, question: Question, uri: &Uri) -> Response {
    let asked = (question, parameter(uri.query(), "db").filter(|name| !name.is_empty()));
    match find_or_make(&app, asked).await {
        Ok(answer) => answer.into_response(),
        Err(error) => app::explain(&app, &error, PageForm::Json),
    }
}

async fn find_or_make(app: &Arc<App>, asked: Asked) -> Result<Kept> {
    if let Some(answer) = app.probes.find(&asked, Instant::now()) {
        return Ok(answer);
    }
    let permit = Arc::clone(app.probes.permit(asked.0)).acquire_owned().await?;
    // Another request may have been answered during the wait.
    if let Some(answer) = app.probes.find(&asked, Instant::now()) {
        return Ok(answer);
    }
    let app = Arc::clone(app);
    // The answer is made and kept even if its client goes, because the next one asks the same.
    let work = move || {
        let _permit = permit;
        let answer = make(&app, &asked)?;
        app.probes.keep(asked, answer.clone(), Instant::now());
        Ok(answer)
    };
    tokio::task::spawn_blocking(work).await?
}

/// Reads stores and the ring files of their processes. A status without a name is that of all stores; metrics without a
/// name are those of the first.
fn make(app: &App, (question, name): &Asked) -> Result<Kept> {
    let chosen = app.choose_store(name.as_deref())?;
    let of_all = name.is_none() && !matches!(question, Question::Metrics(_));
    let stores = if of_all { app.stores() } else { std::slice::from_ref(chosen) };
    let now_ns = units::now_ns();
    let open = |served: &Served| {
        let path = served.path_in_use();
        let store = Store::open(&path).inspect(|store| {
            store.spare_process();
            store.set_time_limit(app::PAGE_TIME);
        });
        (path, store)
    };
    let find_living = |path: &Path| recover::find_live(path, &find::list_ring_folders(), now_ns);
    match *question {
        Question::Readiness(detail) => Ok(keep_json(health::readyz(
            &stores.iter().map(|served| open(served).1).collect::<Vec<_>>(),
            detail,
        ))),
        Question::Health(detail) => {
            let read = |served| {
                let (path, store) = open(served);
                health::read_any(store.as_ref(), &find_living(&path), now_ns)
            };
            let all: Vec<_> = stores.iter().map(|served| (served.name.as_str(), read(served))).collect();
            Ok(keep_json(health::healthz(&all, detail)))
        }
        Question::Metrics(form) => {
            let (path, store) = open(chosen);
            let body = prometheus::write(&store?, &find_living(&path), form, Options::default(), now_ns)?;
            Ok(Kept { status: StatusCode::OK, content_type: form.content_type(), body: body.into() })
        }
    }
}

fn keep_json(answer: Answer) -> Kept {
    let status = StatusCode::from_u16(answer.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Kept { status, content_type: "application/json", body: answer.body.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_given_again_for_a_while_to_the_same_question_about_the_same_store() {
        let (probes, start) = (Probes::default(), Instant::now());
        let answer = |body: &'static str| Kept {
            status: StatusCode::OK,
            content_type: "text/plain",
            body: body.into(),
        };
        let full = || (Question::Health(Detail::Full), None);
        probes.keep(full(), answer("full"), start);
        let before_end = start + KEPT_TIME / 2;
        assert_eq!(probes.find(&full(), before_end), Some(answer("full")));
        assert_eq!(probes.find(&full(), start + KEPT_TIME), None);
        for other in [
            (Question::Health(Detail::Brief), None),
            (Question::Readiness(Detail::Full), None),
            (Question::Health(Detail::Full), Some("b.db".to_owned())),
        ] {
            assert_eq!(probes.find(&other, start), None, "{other:?}");
            probes.keep(other, answer("other"), start + KEPT_TIME);
        }
        assert_eq!(probes.find(&full(), start), None, "old answers are forgotten");
    }
}
