//! The job queue: workers write receipts after the answer to the customer, and look after the search index.
//!
//! The first half of the job on the index keeps the index's lock, so the second half waits for it for good: this is
//! the flaw behind the hung job.

use std::sync::{Arc, PoisonError};

use monitored::monitor;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::JoinSet;

use crate::books::Books;
use crate::db::{Database, DatabaseError};
use crate::receipts;

const WORKERS: usize = 4;
/// The number of workers that wait for good by the end.
const HUNG_WORKERS: usize = 1;

/// A piece of work for later.
#[derive(Debug, Clone)]
pub(crate) enum Job {
    RefreshIndex,
    Receipt {
        order: i64,
        customer: &'static str,
    },
    /// Ends the worker that takes it.
    End,
}

/// The end of the queue at which jobs are put in.
pub(crate) type Queue = UnboundedSender<Job>;

/// The workers.
pub(crate) struct Workers {
    queue: Queue,
    tasks: JoinSet<()>,
}

impl Workers {
    /// Lets the workers do what is in the queue, and waits for those that can end.
    pub(crate) async fn end(mut self) {
        for _ in HUNG_WORKERS..WORKERS {
            // The queue is open as long as a worker is left.
            let _ = self.queue.send(Job::End);
        }
        for _ in HUNG_WORKERS..WORKERS {
            self.tasks.join_next().await;
        }
    }
}

/// The parts that a job works with.
#[derive(Clone)]
struct Surroundings {
    database: Database,
    index: Arc<Mutex<Index>>,
    kept: Arc<std::sync::Mutex<Option<OwnedMutexGuard<Index>>>>,
}

/// The search index.
#[derive(Debug, Default)]
struct Index {
    generation: u64,
}

/// Starts the workers, and puts the job into the queue that refreshes the index.
pub(crate) fn start(database: Database, books: &Arc<Books>) -> (Queue, Workers) {
    let (queue, jobs) = mpsc::unbounded_channel();
    let jobs = Arc::new(Mutex::new(jobs));
    let surroundings = Surroundings { database, index: Arc::default(), kept: Arc::default() };
    let mut tasks = JoinSet::new();
    for _ in 0..WORKERS {
        tasks.spawn(work(Arc::clone(&jobs), surroundings.clone(), Arc::clone(books)));
    }
    let is_open = queue.send(Job::RefreshIndex).is_ok();
    debug_assert!(is_open, "the workers hold the other end");
    (queue.clone(), Workers { queue, tasks })
}

/// Runs jobs until one says that it is the end. Each job is a task of its own, so that a panic ends the job and not the worker.
async fn work(jobs: Arc<Mutex<UnboundedReceiver<Job>>>, surroundings: Surroundings, books: Arc<Books>) {
    loop {
        let job = match jobs.lock().await.recv().await {
            None | Some(Job::End) => return,
            Some(job) => job,
        };
        books.add("jobs begun");
        match tokio::spawn(run(job, surroundings.clone())).await {
            Ok(Ok(())) => books.add("jobs done"),
            Ok(Err(_)) => books.add("jobs failed"),
            Err(_) => books.add("jobs panicked"),
        }
    }
}

#[monitor(skip(surroundings))]
async fn run(job: Job, surroundings: Surroundings) -> Result<(), DatabaseError> {
    match job {
        Job::RefreshIndex => {
            let generation = compact(&surroundings).await;
            reindex(&surroundings, generation).await;
        }
        Job::Receipt { order, customer } => {
            let body = receipts::render(order, customer);
            surroundings.database.run(move |session| session.add_receipt(order, &body)).await?;
        }
        Job::End => {}
    }
    Ok(())
}

/// Makes the index smaller, and returns its generation.
#[monitor]
async fn compact(surroundings: &Surroundings) -> u64 {
    let mut index = Arc::clone(&surroundings.index).lock_owned().await;
    index.generation += 1;
    let generation = index.generation;
    // The index is kept for the next time, and its lock with it.
    *surroundings.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(index);
    generation
}

/// Fills the index anew.
#[monitor]
async fn reindex(surroundings: &Surroundings, generation: u64) {
    surroundings.index.lock().await.generation = generation + 1;
}
