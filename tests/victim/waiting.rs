//! Async calls.

use std::hint::black_box;
use std::time::Duration;

use monitored::monitor;

#[monitor]
async fn fetch(number: u64) -> u64 {
    tokio::task::yield_now().await;
    number + 1
}

#[monitor]
async fn serve(number: u64) -> u64 {
    let first = fetch(number).await;
    // The pause keeps all tasks in flight at once before the first of them ends.
    tokio::time::sleep(Duration::from_millis(300)).await;
    first + fetch(number).await
}

#[monitor]
async fn endless() {
    std::future::pending::<()>().await;
}

#[monitor]
async fn starts_tasks() -> u64 {
    let task = tokio::spawn(fetch(1));
    let inside = tokio::spawn(monitored::Context::current().instrument(async { fetch(2).await }));
    task.await.unwrap_or(0) + inside.await.unwrap_or(0)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Runs this many tasks at once, three calls each.
pub(crate) fn tasks(number: u64) {
    let sum = runtime().block_on(async {
        let tasks: Vec<_> = (0..number).map(|at| tokio::spawn(serve(at))).collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap_or(0);
        }
        sum
    });
    println!("{sum}");
}

/// Drops futures before, during and after their first poll.
pub(crate) fn cancel() {
    runtime().block_on(async {
        drop(endless());
        let timeout = tokio::time::timeout(Duration::from_millis(5), endless()).await;
        let task = tokio::spawn(endless());
        tokio::task::yield_now().await;
        task.abort();
        println!("{} {}", timeout.is_err(), task.await.is_err());
    });
}

/// Drops a future after its first poll.
pub(crate) fn cancel_one() {
    let mut future = Box::pin(endless());
    let mut task = std::task::Context::from_waker(std::task::Waker::noop());
    let _ = std::future::Future::poll(future.as_mut(), &mut task);
}

/// Calls when it is dropped.
struct Held(&'static str);

impl Drop for Held {
    #[monitor(name = "victim::release", fields(held = self.0))]
    fn drop(&mut self) {
        black_box(self.0);
    }
}

#[monitor(name = "victim::holds")]
async fn holds(argument: Held) {
    let _local = Held("local");
    holds_more().await;
    drop(argument);
}

#[monitor(name = "victim::holds_more")]
async fn holds_more() {
    let _more = Held("more");
    std::future::pending::<()>().await;
}

#[monitor(name = "victim::drops")]
fn drops(future: impl Future<Output = ()>) {
    drop(future);
}

/// Drops futures that hold values with destructors: before the first poll, after it within another call, on another
/// thread, and as an aborted task.
pub(crate) fn destructors() {
    runtime().block_on(async {
        drop(holds(Held("unpolled")));
        let mut polled = Box::pin(holds(Held("polled")));
        let _ = tokio::time::timeout(Duration::from_millis(5), &mut polled).await;
        drops(polled);
        let mut sent = Box::pin(holds(Held("sent")));
        let _ = tokio::time::timeout(Duration::from_millis(5), &mut sent).await;
        let dropped = std::thread::spawn(move || drop(sent)).join();
        let task = tokio::spawn(holds(Held("task")));
        tokio::task::yield_now().await;
        task.abort();
        println!("{} {}", dropped.is_ok(), task.await.is_err());
    });
}

/// Makes an async call that ends and one that is dropped; for `service`.
pub(crate) fn round(number: u64) {
    thread_local!(static RUNTIME: tokio::runtime::Runtime = runtime());
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            fetch(number).await;
            let _ = tokio::time::timeout(Duration::from_micros(100), endless()).await;
        });
    });
}

#[monitor(name = "victim::stolen")]
fn stolen(by: &str) -> usize {
    by.len()
}

/// Runs the jobs that wait, as a thread of a pool does while it waits for a part of its own job.
#[monitor(name = "victim::waits_for_job")]
fn waits_for_job(jobs: usize) {
    for _ in 0..jobs {
        rayon::yield_now();
    }
}

#[monitor(name = "victim::waits_for_task")]
fn waits_for_task(runtime: &tokio::runtime::Runtime) {
    runtime.block_on(async {
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
    });
}

/// Makes calls in jobs and tasks of others, on the thread of a call that waits: bare, under the context of none, and under
/// that of the call which made them.
pub(crate) fn stealing() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
    pool.install(|| {
        let here = monitored::Context::current();
        rayon::spawn(|| {
            black_box(stolen("bare job"));
        });
        rayon::spawn(|| {
            monitored::Context::root().scope(|| {
                black_box(stolen("root job"));
            });
        });
        rayon::spawn(move || {
            here.scope(|| {
                black_box(stolen("carried job"));
            });
        });
        waits_for_job(3);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.spawn(async { stolen("bare task") });
    runtime.spawn(monitored::Context::root().instrument(async { stolen("root task") }));
    runtime.spawn(fetch(1));
    waits_for_task(&runtime);
    println!("stolen");
}

/// Makes calls in spawned tasks, which belong to the call that spawned them.
pub(crate) fn spawned() {
    println!("{}", runtime().block_on(starts_tasks()));
}

/// Makes async calls that stay suspended, on a runtime that stays busy.
pub(crate) fn stuck() {
    runtime().block_on(async {
        for _ in 0..3 {
            tokio::spawn(endless());
        }
        tokio::time::sleep(Duration::from_secs(600)).await;
    });
}

#[monitor]
async fn ships(order: u64) {
    asks("the carrier", order).await;
}

#[monitor]
async fn asks(whom: &str, order: u64) {
    black_box((whom, order));
    std::future::pending::<()>().await;
}

/// Blocks in its first poll.
#[monitor]
async fn blocks(shelf: &str) {
    black_box(shelf);
    std::thread::sleep(Duration::from_secs(600));
}

/// Blocks in its second poll.
#[monitor]
async fn blocks_later(shelf: &str) {
    black_box(shelf);
    tokio::task::yield_now().await;
    std::thread::sleep(Duration::from_secs(600));
}

#[monitor]
async fn weighs(load: &[String]) {
    black_box(load);
    std::future::pending::<()>().await;
}

/// Makes async calls that stay suspended, one below the other, and calls that block while they are polled.
pub(crate) fn stuck_tasks() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        for order in [7, 8] {
            tokio::spawn(ships(order));
        }
        tokio::spawn(async { weighs(&vec!["iron".repeat(20); 10]).await });
        tokio::spawn(blocks("upper"));
        tokio::spawn(blocks_later("lower"));
        tokio::time::sleep(Duration::from_secs(600)).await;
    });
}
