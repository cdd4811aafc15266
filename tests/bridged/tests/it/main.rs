//! A web service of axum and tower-http's `TraceLayer`, unmodified, whose spans the layer records.
//!
//! The service is a process of its own. It listens on the loopback interface, and is asked by threads of the same process
//! over real connections.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod reference;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::routing::get;
use monitored::monitor;
use tower_http::trace::TraceLayer;
use tracing::{Instrument, info_span, instrument, warn};

use reference::Run;

const THREADS: u32 = 8;
const REQUESTS: u32 = 40;

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
    reference::run_as_program(serve_and_ask);
}

/// Serves and asks until every request has its answer.
fn serve_and_ask() {
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
}

#[test]
fn the_spans_of_a_web_service_are_recorded_as_it_makes_them() {
    let run = Run::of("service");

    // The functions and counts are those of a layer that only counts.
    assert_eq!(run.calls_of_spans(&["it::price", "it::charge"]), run.counted("span "));
    let orders = i64::from(THREADS * REQUESTS);
    let requests = "function = 'tower_http::trace::make_span::request'";
    assert_eq!(
        run.one(&format!("SELECT calls FROM functions WHERE {requests}")),
        orders + i64::from(THREADS)
    );

    // Spans and `#[monitor]` calls are one tree, also across the task.
    let link = |link: &str| format!("{link} {orders}");
    assert_eq!(
        run.links(),
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
    let args = run.all(&format!("SELECT args FROM calls WHERE {requests} AND args LIKE '%/orders/71\"%'"));
    let args: serde_json::Value = serde_json::from_str(&args[0]).unwrap();
    assert_eq!((&args["method"], &args["uri"]), (&"GET".into(), &"/orders/71".into()));
    let failed = run.all(&format!("SELECT DISTINCT error FROM calls WHERE {requests} AND outcome = 'error'"));
    assert_eq!(failed.len(), 1);
    assert!(failed[0].starts_with("response failed"), "{failed:?}");
    assert_eq!(run.one(&format!("SELECT errors FROM functions WHERE {requests}")), orders / 20);

    // The trace of an order holds the lines that were logged about it.
    let said_of_one = run.all(
        "SELECT l.body FROM logs l JOIN calls c ON c.trace_id = l.trace_id
         WHERE c.function = 'tower_http::trace::make_span::request' AND c.args LIKE '%/orders/40\"%' AND l.level = 'warn' ORDER BY l.at_ns",
    );
    let said: Vec<String> = (1..=3).map(|attempt| format!("attempt {attempt} of order 40 failed")).collect();
    assert_eq!(said_of_one, said);
    run.assert_lines_add_up();
}
