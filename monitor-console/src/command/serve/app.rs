//! The state that all requests share (the stores, the rules for requests and the queue of queries), and the routing
//! of a request to its page.
//!
//! Takes a request that passed the guard; gives a page or its data. Queries run on a bounded number of threads, each with a
//! connection of its own that is closed with the answer, so no reader keeps a write-ahead log from being emptied. A query
//! ends with its time limit, or when the client goes.

use std::cell::Cell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Error, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path as PathOf, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use maud::Markup;
use monitor_runtime::recover;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use super::address::{Links, Parameters};
use super::guard::{self, Guard};
use super::{assets, change, layout, live, pages, probes};
use crate::arguments::ServeOptions;
use crate::model::basis::Basis;
use crate::model::findings::{self, Findings};
use crate::model::rows::ROWS_MAX;
use crate::model::scope::{self, Scope};
use crate::pattern::Pattern;
use crate::store::{Stopped, Store};
use crate::{find, units};

/// The most queries at once.
pub(super) const QUERIES_MAX: usize = 2;
/// The most requests that wait for a query to end.
const WAITING_MAX: usize = 16;
/// The time limit of a statement for one panel of a page that has several panels.
pub(super) const PANEL_TIME: Duration = Duration::from_secs(1);
/// The time limit of a statement of a page that answers one question.
pub(super) const PAGE_TIME: Duration = Duration::from_secs(10);
/// The time limit of a statement that the reader asked to run to its end.
const PATIENT_TIME: Duration = Duration::from_secs(60);
/// The pause between two searches for ring files of dead processes.
const RECOVER_PAUSE: Duration = Duration::from_secs(10);
/// The time for which findings are kept, because they read many rows.
const FINDINGS_KEPT: Duration = Duration::from_secs(10);
/// The largest integer that JavaScript holds exactly.
const JSON_INTEGER_MAX: u64 = 1 << 53;

/// A store and the name under which an address chooses it.
#[derive(Debug, Clone)]
pub(super) struct Served {
    /// The name: that of its file, with a number where two are alike.
    pub(super) name: String,
    /// The path that was named at the start.
    pub(super) path_at_start: PathBuf,
}

impl Served {
    /// Returns the file that programs use for the store now: they go on in another one when they find this one newer than
    /// themselves, or altered.
    pub(super) fn path_in_use(&self) -> PathBuf {
        find::follow_programs(&self.path_at_start)
    }
}

/// Findings of a store, and when they were made.
type KeptFindings = HashMap<PathBuf, (Instant, Mark, Arc<(Findings, Basis)>)>;

/// The state of the server.
pub(super) struct App {
    stores: Vec<Served>,
    guard: Guard,
    base_path: String,
    refresh: Duration,
    allows_writes: bool,
    queries: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    /// The pages that wait for events.
    pub(super) listeners: Arc<Semaphore>,
    /// The answers to machines.
    pub(super) probes: probes::Probes,
    recovered: Mutex<HashMap<PathBuf, Instant>>,
    findings: Mutex<KeptFindings>,
}

impl App {
    pub(super) fn new(paths: Vec<PathBuf>, options: &ServeOptions, guard: Guard) -> Self {
        Self {
            stores: name_stores(paths),
            guard,
            base_path: options.base_path.clone(),
            refresh: options.refresh,
            allows_writes: options.allow_writes,
            queries: Arc::new(Semaphore::new(QUERIES_MAX)),
            waiting: Arc::default(),
            listeners: Arc::new(Semaphore::new(live::LISTENERS_MAX)),
            probes: probes::Probes::default(),
            recovered: Mutex::default(),
            findings: Mutex::default(),
        }
    }

    /// Returns the stores, the one shown by default first.
    pub(super) fn stores(&self) -> &[Served] {
        &self.stores
    }

    /// Returns the rules for requests.
    pub(super) fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Returns the path before all addresses.
    pub(super) fn base_path(&self) -> &str {
        &self.base_path
    }

    /// Returns the pause between two looks for new data.
    pub(super) fn refresh(&self) -> Duration {
        self.refresh
    }

    /// Returns true if pages may set rates and hold breakers.
    pub(super) fn allows_writes(&self) -> bool {
        self.allows_writes
    }

    /// Returns the store that an address names, the first one if it names none.
    pub(super) fn choose_store(&self, name: Option<&str>) -> Result<&Served> {
        let chosen = match name {
            None => self.stores.first(),
            Some(name) => self.stores.iter().find(|store| store.name == name),
        };
        chosen.ok_or_else(|| {
            let names: Vec<_> = self.stores.iter().map(|store| store.name.as_str()).collect();
            Refusal::missing(format!(
                "no store is served under that name; the names are {}",
                names.join(", ")
            ))
        })
    }

    /// Recovers what dead processes left for a store, at most once in a while.
    fn recover(&self, path: &Path) {
        let mut recovered = self.recovered.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = recovered.get(path).is_none_or(|last| last.elapsed() >= RECOVER_PAUSE);
        if is_due {
            recovered.insert(path.to_owned(), Instant::now());
            drop(recovered);
            // The pages show what the store has. An error is ignored, because `monitor` itself reports files that
            // cannot be recovered.
            let _ = recover::recover(path, &find::list_ring_folders(), units::now_ns());
        }
    }

    /// Returns the findings of a whole store. They are kept for a while, because they read many rows.
    pub(super) fn findings(&self, context: &Context<'_>) -> Result<Arc<(Findings, Basis)>> {
        let path = context.store.path();
        let mark = Mark::read(path);
        let kept = self.findings.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
        if let Some((made, of, kept)) = kept
            && (of == mark || made.elapsed() < FINDINGS_KEPT)
        {
            return Ok(kept);
        }
        let period = Scope::WHOLE.period;
        let facts =
            findings::gather(&context.store, &find::list_ring_folders(), period, context.now_ns, ROWS_MAX)?;
        let found = Arc::new((findings::find(&facts), facts.basis));
        let mut all = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(path.to_owned(), (Instant::now(), mark, Arc::clone(&found)));
        Ok(found)
    }
}

/// Names stores by their files.
fn name_stores(paths: Vec<PathBuf>) -> Vec<Served> {
    let mut stores: Vec<Served> = Vec::new();
    for path in paths {
        if stores.iter().any(|store| store.path_at_start == path) {
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let numbered = (2..).map(|number| format!("{name} ({number})"));
        let is_free = |candidate: &String| stores.iter().all(|store| store.name != *candidate);
        let name = std::iter::once(name.clone()).chain(numbered).find(is_free).unwrap_or(name);
        stores.push(Served { name, path_at_start: path });
    }
    stores
}

/// The state of the files of a store: it changes with every commit, and when the store is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark(Vec<Option<(u64, Option<SystemTime>)>>);

impl Mark {
    /// Reads the sizes and dates of the database and its write-ahead log.
    pub(super) fn read(path: &Path) -> Self {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let state = |path: &Path| {
            let data = std::fs::metadata(path).ok()?;
            Some((data.len(), data.modified().ok()))
        };
        // A reader may make an empty log, which says nothing.
        Self(vec![state(path), state(Path::new(&log)).filter(|(bytes, _)| *bytes > 0)])
    }
}

/// A request that is answered with an explanation.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    text: String,
}

impl Refusal {
    /// Returns the error of a request whose parameters are not allowed.
    pub(super) fn wrong(text: String) -> Error {
        Self { status: StatusCode::BAD_REQUEST, text }.into()
    }

    /// Returns the error of a request for something that is not there.
    pub(super) fn missing(text: String) -> Error {
        Self { status: StatusCode::NOT_FOUND, text }.into()
    }

    /// Returns the error of a request that is not permitted.
    pub(super) fn forbidden(text: String) -> Error {
        Self { status: StatusCode::FORBIDDEN, text }.into()
    }

    /// Returns the error of a request that arrives while too many others wait.
    pub(super) fn busy() -> Error {
        let text = "too many requests wait for an answer: try again".to_owned();
        Self { status: StatusCode::SERVICE_UNAVAILABLE, text }.into()
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::error::Error for Refusal {}

/// The facts that a page is made from.
pub(super) struct Context<'a> {
    /// The server.
    pub(super) app: &'a App,
    /// The name of the store.
    pub(super) store_name: &'a str,
    /// The store, open for reading.
    pub(super) store: Store,
    /// The parameters of the address.
    pub(super) parameters: &'a Parameters,
    /// Links that keep what is chosen.
    pub(super) links: &'a Links,
    /// The span of time and the processes.
    pub(super) scope: Scope,
    /// The pattern of functions.
    pub(super) pattern: Option<Pattern>,
    /// The function or the id that the path names; empty for pages about all.
    pub(super) subject: &'a str,
    /// The time of the request, ns since the Unix epoch.
    pub(super) now_ns: i64,
    /// The last write to the store.
    pub(super) last_write_ns: Option<i64>,
    /// True if a panel was cut.
    pub(super) is_cut: Cell<bool>,
}

impl Context<'_> {
    /// Reads for a panel within a time limit; `None` if the time did not suffice.
    pub(super) fn read_within<T>(
        &self,
        limit: Duration,
        read: impl FnOnce() -> Result<T>,
    ) -> Result<Option<T>> {
        self.store.set_time_limit(if self.is_patient() { PATIENT_TIME } else { limit });
        match read() {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.downcast_ref::<Stopped>().is_some() && !self.is_patient() => {
                self.is_cut.set(true);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Returns true if the reader asked for panels that are not cut.
    pub(super) fn is_patient(&self) -> bool {
        self.parameters.has("patient")
    }

    /// Returns the most rows of a list.
    pub(super) fn limit(&self, default: usize) -> Result<usize> {
        Ok(self.parameters.number("limit", 1..=500)?.unwrap_or(default))
    }

    /// Returns the number that the path names.
    pub(super) fn subject_id(&self) -> Result<i64> {
        let allowed = 1..=i64::MAX;
        self.subject.parse().ok().filter(|id| allowed.contains(id)).ok_or_else(|| {
            Refusal::missing(format!(
                "`{}` is no id: an id is a whole number from 1 on",
                shorten(self.subject)
            ))
        })
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(60).collect()
}

/// A page and its data.
#[derive(Default)]
pub(super) struct Page {
    /// The title.
    pub(super) title: String,
    /// The content.
    pub(super) main: Markup,
    /// The data.
    pub(super) data: Map<String, Value>,
    /// The statement behind the page.
    pub(super) sql: Option<String>,
    /// The command that shows the same as the page; empty if none does.
    pub(super) command: String,
    /// True if the page has charts of series, which a script lets the reader point at.
    pub(super) has_charts: bool,
}

/// A function that makes a page.
pub(super) type Render = fn(&Context<'_>) -> Result<Page>;

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Html,
    Json,
}

/// Returns the router of all addresses.
pub(super) fn router(app: &Arc<App>) -> Router {
    let mut router = Router::new();
    for (path, render) in pages::ALL {
        let json_path = if *path == "/" { "/now.json".to_owned() } else { format!("{path}.json") };
        router = router.route(path, page(*render, Form::Html)).route(&json_path, page(*render, Form::Json));
    }
    for (path, render) in pages::WITH_SUBJECT {
        let render = *render;
        let handler = move |State(app): State<Arc<App>>, PathOf(subject): PathOf<String>, uri: Uri| async move {
            // The raw path distinguishes the ending `.json` from a name that ends so, whose dot is escaped in our
            // links.
            let (subject, form) =
                match (uri.path().strip_suffix(".json").is_some(), subject.strip_suffix(".json")) {
                    (true, Some(subject)) => (subject.to_owned(), Form::Json),
                    _ => (subject, Form::Html),
                };
            answer(app, render, form, subject, uri).await
        };
        router = router.route(path, get(handler));
    }
    router = router
        .route("/call/{id}/{field}", get(pages::call_text))
        .route("/sql.csv", get(pages::rows_as_csv))
        .route("/rates", post(change::rates))
        .route("/breaker", post(change::breaker))
        .route("/alerts", post(change::alert_rules))
        .route("/live", get(live::events))
        .route("/livez", get(probes::livez))
        .route("/readyz", get(probes::readyz))
        .route("/healthz", get(probes::healthz))
        .route("/metrics", get(probes::metrics))
        .route("/assets/{name}", get(assets::get))
        .route("/favicon.ico", get(assets::icon));
    // A request with a method that its page does not take is refused with an explanation.
    let mut router = router.fallback(not_found).method_not_allowed_fallback(not_allowed);
    if !app.base_path().is_empty() {
        let mut outer = Router::new().nest(app.base_path(), router);
        // A nested router has its first page at the path without a slash at the end, and links lead to that with one.
        for (path, render) in pages::ALL.iter().filter(|(path, _)| *path == "/") {
            outer = outer.route(&format!("{}{path}", app.base_path()), first_page(*render));
        }
        router = outer.fallback(not_found).method_not_allowed_fallback(not_allowed);
    }
    router
        .layer(axum::middleware::from_fn_with_state(Arc::clone(app), guard::check))
        .layer(tower_http::compression::CompressionLayer::new())
        .with_state(Arc::clone(app))
}

fn page(render: Render, form: Form) -> axum::routing::MethodRouter<Arc<App>> {
    get(move |State(app): State<Arc<App>>, uri: Uri| answer(app, render, form, String::new(), uri))
}

/// Returns the first page below the path before all addresses, which this route does not take away.
fn first_page(render: Render) -> axum::routing::MethodRouter<Arc<App>> {
    get(move |State(app): State<Arc<App>>, uri: Uri| {
        let uri = format!("/?{}", uri.query().unwrap_or_default()).parse().unwrap_or_default();
        answer(app, render, Form::Html, String::new(), uri)
    })
}

#[allow(clippy::unused_async, reason = "a handler is asynchronous")]
async fn not_found(State(app): State<Arc<App>>, uri: Uri) -> Response {
    let form = if uri.path().strip_suffix(".json").is_some() { Form::Json } else { Form::Html };
    let error = Refusal::missing("no page has this address: the bar above leads to all of them".to_owned());
    explain(&app, &error, form)
}

#[allow(clippy::unused_async, reason = "a handler is asynchronous")]
async fn not_allowed(State(app): State<Arc<App>>, uri: Uri) -> Response {
    let form = if uri.path().strip_suffix(".json").is_some() { Form::Json } else { Form::Html };
    let error = if app.allows_writes() {
        Refusal::forbidden(
            "this page only shows: rates and breakers are changed on the page Rates, rules on the page Alerts"
                .to_owned(),
        )
    } else {
        change::refuse(&Parameters::default(), None)
    };
    explain(&app, &error, form)
}

/// Stops the statement of a request when the request is dropped, because its client has gone.
#[derive(Clone, Default)]
struct Stop(Arc<Mutex<Stopping>>);

/// The state of a [`Stop`].
#[derive(Default)]
struct Stopping {
    /// True once the client has gone.
    is_dropped: bool,
    /// The handle of the store, once it is open.
    handle: Option<rusqlite::InterruptHandle>,
}

impl Stop {
    fn lock(&self) -> MutexGuard<'_, Stopping> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, store: &Store) {
        self.lock().handle = Some(store.interrupt_handle());
    }

    fn is_dropped(&self) -> bool {
        self.lock().is_dropped
    }
}

/// Interrupts the statement of its [`Stop`] when it is dropped.
struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        let mut stopping = self.0.lock();
        stopping.is_dropped = true;
        if let Some(handle) = stopping.handle.take() {
            handle.interrupt();
        }
    }
}

/// Counts a request that waits or is worked on.
struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Runs a query on one of the threads for queries, when one is free.
pub(super) async fn run<T: Send + 'static>(
    app: &Arc<App>,
    query: impl FnOnce(&App, &dyn Fn(&Store)) -> Result<T> + Send + 'static,
) -> Result<T> {
    if app.waiting.fetch_add(1, Relaxed) >= WAITING_MAX + QUERIES_MAX {
        app.waiting.fetch_sub(1, Relaxed);
        return Err(Refusal::busy());
    }
    let waiting = Waiting(Arc::clone(&app.waiting));
    let permit = Arc::clone(&app.queries).acquire_owned().await?;
    let stop = Stop::default();
    let _stop_on_drop = StopOnDrop(stop.clone());
    let app = Arc::clone(app);
    // The query counts as running, and keeps its permit, until it ends, even if its client has gone before.
    let work = move || {
        let _place = (waiting, permit);
        if stop.is_dropped() { Err(Refusal::busy()) } else { query(&app, &|store| stop.set(store)) }
    };
    tokio::task::spawn_blocking(work).await?
}

/// Makes a page or its data.
async fn answer(app: Arc<App>, render: Render, form: Form, subject: String, uri: Uri) -> Response {
    let query = uri.query().unwrap_or_default().to_owned();
    // The router has taken the path before all addresses away.
    let path = uri.path().to_owned();
    let outcome =
        run(&app, move |app, opened| make(app, render, form, &subject, &path, &query, opened)).await;
    match outcome {
        Ok(response) => response,
        Err(error) => explain(&app, &error, form),
    }
}

fn make(
    app: &App,
    render: Render,
    form: Form,
    subject: &str,
    path: &str,
    query: &str,
    opened: &dyn Fn(&Store),
) -> Result<Response> {
    let started = Instant::now();
    let parameters = Parameters::parse(query).with_present_names(path);
    let links = Links::new(app.base_path(), path, &parameters);
    let served = app.choose_store(parameters.text("db"))?;
    let path_in_use = served.path_in_use();
    app.recover(&path_in_use);
    let store = Store::open(&path_in_use)?;
    store.spare_process();
    store.set_time_limit(PANEL_TIME);
    opened(&store);
    let now_ns = units::now_ns();
    let run = parameters.number("process", 1..=i64::from(u32::MAX))?;
    let processes =
        scope::select_processes(&store, run, parameters.text("service"), parameters.text("build"))?;
    let context = Context {
        app,
        store_name: &served.name,
        scope: Scope { period: parameters.period(now_ns)?, processes },
        pattern: parameters.pattern()?,
        last_write_ns: Basis::default().with_last_write(&store)?.last_write_ns,
        store,
        parameters: &parameters,
        links: &links,
        subject,
        now_ns,
        is_cut: Cell::new(false),
    };
    let page = render(&context)?;
    Ok(match form {
        Form::Html => html_response(StatusCode::OK, layout::frame(&context, &page, path)?),
        Form::Json => json_response(StatusCode::OK, &describe(&context, page, started)),
    })
}

/// Returns the data of a page, with the store, its last write, the time that the page took and the statement behind
/// it.
fn describe(context: &Context<'_>, page: Page, started: Instant) -> Value {
    let mut data = Map::new();
    data.insert("store".to_owned(), json!(context.store.path().to_string_lossy()));
    data.insert("as_of_ns".to_owned(), json!(context.last_write_ns.map(|ns| ns.to_string())));
    data.insert("cut".to_owned(), json!(context.is_cut.get()));
    data.insert("took_ms".to_owned(), json!((started.elapsed().as_secs_f64() * 1e4).round() / 10.0));
    data.insert("sql".to_owned(), json!(page.sql));
    data.insert("command".to_owned(), json!(Some(page.command).filter(|command| !command.is_empty())));
    data.extend(page.data);
    Value::Object(data)
}

/// Writes integers that JavaScript would round as texts.
pub(super) fn integer(number: i64) -> Value {
    if number.unsigned_abs() > JSON_INTEGER_MAX { Value::String(number.to_string()) } else { json!(number) }
}

/// Answers a request that failed with the sentence that the command line would print.
pub(super) fn explain(app: &App, error: &Error, form: Form) -> Response {
    let refusal = error.downcast_ref::<Refusal>();
    let status = refusal.map_or(StatusCode::SERVICE_UNAVAILABLE, |refusal| refusal.status);
    let text = format!("{error:#}");
    let mut response = match form {
        Form::Html => html_response(status, layout::explain(app, status, &text)),
        Form::Json => json_response(status, &json!({ "error": text })),
    };
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, 2.into());
    }
    response
}

fn html_response(status: StatusCode, page: Markup) -> Response {
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], page.into_string()).into_response()
}

fn json_response(status: StatusCode, data: &Value) -> Response {
    let mut text = Vec::new();
    // The escapes of the command line's own data keep control and bidirectional characters from acting.
    let written = crate::format::write_json(&mut text, data);
    text.push(b'\n');
    match written {
        Ok(()) => (status, [(header::CONTENT_TYPE, "application/json")], Body::from(text)).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// Reads the headers of a request for the form of its answer: JSON if it asks for nothing else.
pub(super) fn form_of(headers: &HeaderMap) -> Form {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.starts_with("application/json") { Form::Json } else { Form::Html }
}
