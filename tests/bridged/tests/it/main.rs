//! A web service of axum and tower-http's `TraceLayer`, unmodified, whose spans the layer records.
//!
//! The service runs as a process of its own, because the store belongs to a process: this very file, told by a variable. It
//! listens on the loopback interface, and is asked by threads of the same process over real connections.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::routing::get;
use monitored::monitor;
use tower_http::trace::TraceLayer;
use tracing::span::{Attributes, Id};
use tracing::{Instrument, Level, Subscriber, info_span, instrument, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;

const SERVICE: &str = "MONITORED_BRIDGED_TEST_SERVICE";
const THREADS: u32 = 8;
const REQUESTS: u32 = 40;

/// Counts the spans of each callsite by the names that the store gives them.
#[derive(Clone, Default)]
struct Counting(Arc<Mutex<BTreeMap<String, i64>>>);

impl<S: Subscriber + for<'lookup> LookupSpan<'lookup>> Layer<S> for Counting {
    fn on_new_span(&self, span: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        let metadata = span.metadata();
        if *metadata.level() > Level::DEBUG {
            return;
        }
        let name = format!("{}::{}", metadata.target(), metadata.name());
        *self.0.lock().unwrap().entry(name).or_default() += 1;
    }
}

#[instrument]
async fn order(Path(number): Path<u32>) -> Result<String, StatusCode> {
    let price = price(number);
    tokio::time::sleep(Duration::from_millis(1)).await;
    let task = async move { charge(number).await }.instrument(info_span!("task"));
    let charged = tokio::spawn(task).await.unwrap();
    charged.map(|()| price.to_string())
}

#[monitor]
fn price(number: u32) -> u32 {
    lookup(number)
}

#[instrument]
fn lookup(number: u32) -> u32 {
    number * 3
}

#[monitor]
async fn charge(number: u32) -> Result<(), StatusCode> {
    for attempt in 1..=3 {
        if !number.is_multiple_of(20) {
            return Ok(());
        }
        warn!("attempt {attempt} of order {number} failed");
        tokio::task::yield_now().await;
    }
    Err(StatusCode::BAD_GATEWAY)
}

async fn search(Query(query): Query<BTreeMap<String, String>>) -> String {
    query.len().to_string()
}

/// Sends a request, and returns the code of its answer.
fn ask(address: SocketAddr, path: &str) -> u16 {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(connection, "GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn service() {
    if std::env::var_os(SERVICE).is_none() {
        return;
    }
    let counting = Counting::default();
    let layer = monitored_tracing::layer().spans(Level::DEBUG);
    tracing_subscriber::registry().with(counting.clone()).with(layer).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/orders/{number}", get(order)).route("/search", get(search));
    let served = router.layer(TraceLayer::new_for_http());
    runtime.spawn(async move { axum::serve(listener, served).await });
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                for request in 0..REQUESTS {
                    let number = thread * REQUESTS + request;
                    let code = ask(address, &format!("/orders/{number}"));
                    assert_eq!(code, if number.is_multiple_of(20) { 502 } else { 200 });
                }
                assert_eq!(ask(address, "/search?name=lamp"), 200);
            });
        }
    });
    // The connections' tasks end with the runtime, and their spans with them.
    drop(runtime);
    let mut output = std::io::stdout();
    for (name, count) in &*counting.0.lock().unwrap() {
        writeln!(output, "span {name} {count}").unwrap();
    }
    monitored::flush(Duration::from_secs(60)).unwrap();
}

#[test]
fn the_spans_of_a_web_service_are_recorded_as_it_makes_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "service", "--nocapture"])
        .env(SERVICE, "1")
        .env("MONITOR_DB", &path)
        .env("MONITOR_MAX_RATE", "0")
        .env("MONITOR_MAX_OVERHEAD", "100%")
        .env("MONITOR_FOLD_AFTER", "0")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let store = rusqlite::Connection::open(&path).unwrap();
    let all = |sql: &str| -> Vec<String> {
        let mut select = store.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let one = |sql: &str| -> i64 {
        store.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
    };

    // The functions and counts are those of a layer that only counts.
    let counted: Vec<&str> = text.lines().filter_map(|line| line.split("span ").nth(1)).collect();
    let monitored = "'it::price', 'it::charge'";
    let stored = all(&format!(
        "SELECT function || ' ' || calls FROM functions WHERE function NOT IN ({monitored}) ORDER BY function"
    ));
    assert_eq!(stored, counted);
    let orders = i64::from(THREADS * REQUESTS);
    let requests = "function = 'tower_http::trace::make_span::request'";
    assert_eq!(one(&format!("SELECT calls FROM functions WHERE {requests}")), orders + i64::from(THREADS));

    // Spans and `#[monitor]` calls are one tree, also across the task.
    let links = all("SELECT c.function || ' < ' || COALESCE(p.function, '-') || ' ' || COUNT(*) FROM calls c
         LEFT JOIN calls p ON p.span_id = c.parent_id GROUP BY c.function, p.function ORDER BY 1");
    let link = |link: &str| format!("{link} {orders}");
    assert_eq!(
        links,
        [
            link("it::charge < it::task"),
            link("it::lookup < it::price"),
            link("it::order < tower_http::trace::make_span::request"),
            link("it::price < it::order"),
            link("it::task < it::order"),
            format!("tower_http::trace::make_span::request < - {}", orders + i64::from(THREADS)),
        ]
    );

    // A request says what was asked, and fails as tower-http classifies it.
    let args = all(&format!("SELECT args FROM calls WHERE {requests} AND args LIKE '%/orders/71\"%'"));
    let args: serde_json::Value = serde_json::from_str(&args[0]).unwrap();
    assert_eq!((&args["method"], &args["uri"]), (&"GET".into(), &"/orders/71".into()));
    let failed = all(&format!("SELECT DISTINCT error FROM calls WHERE {requests} AND outcome = 'error'"));
    assert_eq!(failed.len(), 1);
    assert!(failed[0].starts_with("response failed"), "{failed:?}");
    assert_eq!(one(&format!("SELECT errors FROM functions WHERE {requests}")), orders / 20);

    // The trace of an order holds the lines that were logged about it.
    let said_of_one = all(
        "SELECT l.body FROM logs l JOIN calls c ON c.trace_id = l.trace_id
         WHERE c.function = 'tower_http::trace::make_span::request' AND c.args LIKE '%/orders/40\"%' AND l.level = 'warn' ORDER BY l.at_ns",
    );
    let said: Vec<String> = (1..=3).map(|attempt| format!("attempt {attempt} of order 40 failed")).collect();
    assert_eq!(said_of_one, said);
}
