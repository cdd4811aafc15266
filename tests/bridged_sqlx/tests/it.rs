//! A program whose queries go through sqlx's SQLite driver, unmodified, under the layer that records its spans.
//!
//! sqlx makes no spans. A thread of each connection runs the queries within the span of the task that asks, while the
//! task may be within the same span on its own thread. Each query is an event of the target `sqlx::query` on the
//! connection's thread. The recorder's own SQLite is the one that sqlx links.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../bridged/tests/it/reference.rs"]
mod reference;

use std::time::Duration;

use monitored::monitor;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use tracing::instrument;

use reference::Run;

const TASKS: i64 = 4;
const ORDERS: i64 = 40;
const ITEMS: i64 = 3;
const CONNECTIONS: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(600);

type Result<T> = std::result::Result<T, sqlx::Error>;

#[instrument(skip(pool))]
async fn order(pool: &SqlitePool, number: i64) -> Result<i64> {
    add(pool, number).await?;
    let total = total(pool, number).await?;
    assert_eq!(prices(pool, number).await?.iter().sum::<i64>(), total);
    give_up(pool).await;
    find(pool, number).await
}

/// Writes the items of an order in one transaction.
#[instrument(skip(pool))]
async fn add(pool: &SqlitePool, number: i64) -> Result<()> {
    let mut transaction = pool.begin().await?;
    for item in 0..ITEMS {
        let insert = sqlx::query("INSERT INTO item VALUES (?, ?, ?)").bind(number).bind(item);
        insert.bind(number + item).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

#[monitor(skip_all)]
async fn total(pool: &SqlitePool, number: i64) -> Result<i64> {
    sum(pool, number).await
}

#[instrument(skip(pool))]
async fn sum(pool: &SqlitePool, number: i64) -> Result<i64> {
    let select = sqlx::query_scalar("SELECT sum(price) FROM item WHERE number = ?");
    select.bind(number).fetch_one(pool).await
}

#[instrument(skip(pool))]
async fn prices(pool: &SqlitePool, number: i64) -> Result<Vec<i64>> {
    let select = sqlx::query_scalar("SELECT price FROM item WHERE number = ?");
    select.bind(number).fetch_all(pool).await
}

/// Drops a query's future after its first poll, while the connection's thread may be within the span.
#[instrument(skip(pool))]
async fn give_up(pool: &SqlitePool) {
    tokio::select! {
        biased;
        _ = sqlx::query("SELECT count(*) FROM item").execute(pool) => {}
        () = std::future::ready(()) => {}
    }
}

/// Fails for every tenth order, because none of its items is that dear.
#[instrument(skip(pool), err)]
async fn find(pool: &SqlitePool, number: i64) -> Result<i64> {
    let least = if number % 10 == 0 { i64::MAX } else { 0 };
    let select = sqlx::query_scalar("SELECT item FROM item WHERE number = ? AND price >= ?");
    select.bind(number).bind(least).fetch_one(pool).await
}

/// Makes the table, and then all orders from several tasks.
async fn make_orders() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("shop.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(PATIENCE);
    let pool = SqlitePoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(PATIENCE)
        .connect_with(options)
        .await
        .unwrap();
    let table = "CREATE TABLE item (number INTEGER, item INTEGER, price INTEGER)";
    sqlx::query(table).execute(&pool).await.unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let pool = pool.clone();
            tokio::spawn(async move {
                for number in task * ORDERS..(task + 1) * ORDERS {
                    assert_eq!(order(&pool, number).await.is_err(), number % 10 == 0);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    // The threads of the connections end, and leave the spans that they are in.
    pool.close().await;
}

#[test]
fn shop() {
    reference::run_as_program(|| {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(4).enable_all().build().unwrap().block_on(make_orders());
    });
}

#[test]
fn the_spans_around_queries_are_recorded_as_the_program_makes_them() {
    let run = Run::of("shop");
    let orders = TASKS * ORDERS;

    // The functions and counts are those of a layer that only counts.
    assert_eq!(run.calls_of_spans(&["it::total"]), run.counted("span "));

    // Spans and `#[monitor]` calls are one tree, and no thread of a connection adds a caller.
    let link = |link: &str| format!("{link} {orders}");
    assert_eq!(
        run.links(),
        [
            link("it::add < it::order"),
            link("it::find < it::order"),
            link("it::give_up < it::order"),
            link("it::order < -"),
            link("it::prices < it::order"),
            link("it::sum < it::total"),
            link("it::total < it::order"),
        ]
    );

    // Failures are those that the program reported, with the text of sqlx's error.
    let failed = "SELECT function || ': ' || error || ' ' || COUNT(*) FROM calls WHERE outcome <> 'ok'
         GROUP BY function, error ORDER BY 1";
    let text = sqlx::Error::RowNotFound;
    assert_eq!(run.all(failed), [format!("it::find: {text} {}", orders / 10)]);

    // Every query is counted as a log line, beside the span that asked for it. sqlx cuts the text after four words.
    run.assert_lines_add_up();
    let said = run.all(
        "SELECT DISTINCT COALESCE(function, '-') || ': ' || (fields ->> 'summary') FROM logs
         WHERE target = 'sqlx::query' AND fields NOT LIKE '%PRAGMA%' AND COALESCE(function, '') <> 'it::give_up' ORDER BY 1",
    );
    assert_eq!(
        said,
        [
            "-: CREATE TABLE item (number …",
            "it::add: INSERT INTO item VALUES …",
            "it::find: SELECT item FROM item …",
            "it::prices: SELECT price FROM item …",
            "it::sum: SELECT sum(price) FROM item …",
        ]
    );
}
