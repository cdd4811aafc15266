//! A monitored async service that handles 200 requests at the same time, each in a task of its own.
//!
//! The example shows that every future has a known outcome. Most requests succeed. Some are denied. Some run into a
//! timeout: it drops the future of the backend, which is recorded as `cancelled`, and its caller returns an error.
//! Some lose their client, which drops the futures of the whole request, so all of them are `cancelled`. A spawned
//! task and a blocking thread stay in the tree of calls because `Context` carries the parent into them.
//!
//! ```text
//! cargo run --example async_service
//! cargo run -p monitor-console -- errors           # the kinds of failure, with an example of each
//! cargo run -p monitor-console -- calls --failed   # the failed calls, each with its id
//! cargo run -p monitor-console -- trace ID         # the tree that contains the call with this id
//! ```
#![allow(clippy::print_stdout, reason = "an example shows its result")]

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use monitored::{Context, monitor};
use serde::Serialize;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

const REQUESTS: u32 = 200;
const BACKEND_TIMEOUT: Duration = Duration::from_millis(50);

#[derive(Debug)]
enum ServiceError {
    Denied,
    Timeout(tokio::time::error::Elapsed),
    Render(tokio::task::JoinError),
}

impl fmt::Display for ServiceError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Denied => "the token was not accepted",
            Self::Timeout(_) => "the backend did not answer",
            Self::Render(_) => "rendering failed",
        })
    }
}

impl std::error::Error for ServiceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Denied => None,
            Self::Timeout(source) => Some(source),
            Self::Render(source) => Some(source),
        }
    }
}

/// The number of requests by their end.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answers {
    ok: u32,
    denied: u32,
    timed_out: u32,
    hung_up: u32,
}

/// A client's request. Its number decides what the client and the backend do. The token is stored as
/// `"[redacted]"` because of its name, in this struct and as an argument of `authorize`.
#[derive(Debug, Clone, Serialize)]
struct Request {
    number: u32,
    token: &'static str,
}

impl Request {
    fn new(number: u32) -> Self {
        Self { number, token: if number % 20 == 7 { "expired" } else { "sesame" } }
    }

    /// Returns true if the backend never answers.
    fn stalls(&self) -> bool {
        self.number % 20 == 13
    }

    /// Returns true if the client goes away while the backend works.
    fn hangs_up(&self) -> bool {
        self.number % 20 == 17
    }
}

#[monitor]
async fn serve(requests: u32) -> Answers {
    let clients: Vec<JoinHandle<_>> = (0..requests)
        .map(|number| tokio::spawn(Context::current().instrument(client(Request::new(number)))))
        .collect();
    let mut answers = Answers::default();
    for client in clients {
        match client.await {
            Ok(Some(Ok(_))) => answers.ok += 1,
            Ok(Some(Err(ServiceError::Timeout(_)))) => answers.timed_out += 1,
            Ok(Some(Err(_))) | Err(_) => answers.denied += 1,
            Ok(None) => answers.hung_up += 1,
        }
    }
    answers
}

/// The other end of the connection: waits for the answer, or goes away before it.
async fn client(request: Request) -> Option<Result<String, ServiceError>> {
    let reached = Arc::new(Notify::new());
    let hangs_up = request.hangs_up();
    let answer = tokio::spawn(Context::current().instrument(handle(request, Arc::clone(&reached))));
    if hangs_up {
        reached.notified().await;
        answer.abort();
    }
    answer.await.ok()
}

#[monitor(skip(reached), fields(number = request.number))]
async fn handle(request: Request, reached: Arc<Notify>) -> Result<String, ServiceError> {
    authorize(request.token).await?;
    let row = tokio::time::timeout(BACKEND_TIMEOUT, load(&request, &reached)).await;
    let row = row.map_err(ServiceError::Timeout)?;
    let context = Context::current();
    let text = tokio::task::spawn_blocking(move || context.scope(|| render(&row)));
    text.await.map_err(ServiceError::Render)
}

#[monitor]
async fn authorize(token: &str) -> Result<(), ServiceError> {
    tokio::task::yield_now().await;
    if token == "sesame" { Ok(()) } else { Err(ServiceError::Denied) }
}

#[monitor(skip(reached))]
async fn load(request: &Request, reached: &Notify) -> Vec<u32> {
    reached.notify_one();
    if request.stalls() || request.hangs_up() {
        std::future::pending::<()>().await;
    }
    tokio::task::yield_now().await;
    (0..request.number).collect()
}

#[monitor]
fn render(row: &[u32]) -> String {
    row.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), monitored::FlushError> {
    let answers = serve(REQUESTS).await;
    println!("{REQUESTS} requests: {answers:?}");
    let tenth = REQUESTS / 20;
    let expected = Answers { ok: REQUESTS - 3 * tenth, denied: tenth, timed_out: tenth, hung_up: tenth };
    assert_eq!(answers, expected);
    monitored::flush(Duration::from_secs(10))
}
