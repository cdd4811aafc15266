//! The load generator: sends requests at a fixed rate, whatever the shop does, and books the answers. The number of a
//! request decides what it asks for, so that two runs ask for the same.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::books::Books;
use crate::db::{ORDINARY_CUSTOMERS, PRODUCTS, REGULAR, WHOLESALER};
use crate::http::Client;
use crate::options::Options;
use crate::payments::bank::{CENTS_MAX, SILENT_ISSUER};

/// The number of calls of the tiny function in one hot request.
const HOT_STEPS: u64 = 5_000_000;
/// Customers from here on place orders.
const FIRST_BUYER: u64 = 1_000;
const BUYERS: u64 = 400;

/// A request: the name under which its answers are booked, the path, and the body if it is a POST.
#[derive(Debug)]
struct Request {
    name: &'static str,
    path: String,
    body: Option<Value>,
}

/// Sends the requests, waits for all answers, and books them.
pub(crate) async fn run(address: &str, options: &Options, books: &Arc<Books>) {
    let client = Client::new(address);
    let started = Instant::now();
    let mut ticks =
        tokio::time::interval(Duration::from_secs(1) / u32::try_from(options.rps).unwrap_or(u32::MAX));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut under_way = JoinSet::new();
    for number in 0..options.rps * options.seconds {
        ticks.tick().await;
        under_way.spawn(send(client.clone(), request(number, options), Arc::clone(books)));
        while under_way.try_join_next().is_some() {}
    }
    under_way.join_all().await;
    tracing::info!("the load took {:?}", started.elapsed());
}

async fn send(client: Client, request: Request, books: Arc<Books>) {
    let answer = match &request.body {
        Some(body) => client.post(&request.path, body).await,
        None => client.get(&request.path).await,
    };
    match answer {
        Ok(answer) => books.add(&format!("{} {}", request.name, answer.status)),
        Err(_) => books.add(&format!("{} unanswered", request.name)),
    }
}

/// Returns the request with this number.
fn request(number: u64, options: &Options) -> Request {
    let in_second = number % options.rps;
    if options.n_plus_one && in_second == options.rps / 4 {
        return get("list_orders (wholesaler)", format!("/customers/{WHOLESALER}/orders"));
    }
    if options.hot && in_second == options.rps / 2 {
        return get("show_forecast", format!("/forecast/{number}?steps={HOT_STEPS}"));
    }
    let round = number / 20;
    match number % 20 {
        0..=6 => get("show_product", format!("/products/{}", number * 7_919 % PRODUCTS + 1)),
        7 => get("show_product", format!("/products/{}", PRODUCTS + 1 + round)),
        8..=12 => post_order(number, round),
        13 => order(number, "westbank", json!([])),
        14..=16 => {
            let customer = WHOLESALER + 1 + number % ORDINARY_CUSTOMERS;
            get("list_orders (ordinary)", format!("/customers/{customer}/orders"))
        }
        17 => get("list_orders (regular)", format!("/customers/{REGULAR}/orders")),
        18 if round.is_multiple_of(4) => {
            get("show_stock (legacy)", format!("/stock/L-{}", PRODUCTS - round % 100))
        }
        18 => get("show_stock", format!("/stock/S-{}", 1 + number % PRODUCTS)),
        _ => get("recommend", format!("/products/{}/similar", 1 + number % PRODUCTS)),
    }
}

/// Returns an order. Most are fine; some come with a card whose issuer does not answer, some cost too much.
fn post_order(number: u64, round: u64) -> Request {
    let product = number * 31 % PRODUCTS + 1;
    match (number % 20, round % 5) {
        (12, 0) => order(number, SILENT_ISSUER, json!([{ "product": product, "quantity": 1 }])),
        (11, 1) => order(number, "westbank", json!([{ "product": product, "quantity": CENTS_MAX }])),
        _ => order(
            number,
            "westbank",
            json!([{ "product": product, "quantity": 2 }, { "product": number % PRODUCTS + 1, "quantity": 1 }]),
        ),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the lines are written where the order is made")]
fn order(number: u64, issuer: &str, lines: Value) -> Request {
    let customer = FIRST_BUYER + number % BUYERS;
    let body = json!({ "number": number, "customer": customer, "issuer": issuer, "lines": lines });
    Request { name: "create_order", path: "/orders".to_owned(), body: Some(body) }
}

fn get(name: &'static str, path: String) -> Request {
    Request { name, path, body: None }
}
