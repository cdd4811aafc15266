//! Side effects that are done once: a key, and the recorded result of what was done under it.
//!
//! Takes a key, a time to live and a function; gives the function's result, or the result that the first caller of the
//! key recorded, in this process or another one. The file does not know SQL: `ledger` does.
//!
//! The keys are in a file of their own beside the store, for three reasons. The store may be replaced when it is
//! damaged, and deleted when nobody needs it, and the keys would be lost with it. It is written without waiting for the
//! disk, but a key must be on the disk before its side effect begins. And `once` has to work even while recording is
//! off or the recorder's breaker is open.

mod desk;
mod owner;
mod file;
mod endings;
mod ledger;

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::verdict::Verdict;
use endings::Ending;
use ledger::Claimed;
pub use ledger::{Doubt, Ledger};

/// The result of a side effect that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Once<T> {
    /// This caller did the side effect now.
    First(T),
    /// An earlier caller did the side effect, perhaps in another process, and got this value.
    Recorded(T),
}

impl<T> Once<T> {
    /// Returns the value, whether this caller or an earlier one got it.
    pub fn into_value(self) -> T {
        match self {
            Self::First(value) | Self::Recorded(value) => value,
        }
    }

    /// Returns true if this caller did the side effect.
    pub const fn is_first(&self) -> bool {
        matches!(self, Self::First(_))
    }
}

/// The reason for which there is no result. Unless it is [`Self::Failed`], the function was not run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnceError<E> {
    /// The function was run, and failed.
    Failed(E),
    /// An earlier caller ran its function, which failed with this message for good.
    FailedBefore(String),
    /// Another caller runs its function now, and began this long ago.
    InProgress(Duration),
    /// An earlier caller may have done the side effect or not: its process died, its function panicked, or its future
    /// was dropped. [`Ledger::resolve`] and [`Ledger::forget`] record which it was.
    InDoubt {
        /// Time since the earlier caller began.
        since: Duration,
        /// The way in which the function of the earlier caller ended.
        why: String,
    },
    /// An earlier caller's result was recorded, and is no value of the type that is asked for.
    Unreadable(String),
    /// The key could not be recorded, for this reason.
    Unavailable(String),
}

impl<E: fmt::Display> fmt::Display for OnceError<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => write!(formatter, "{error}"),
            Self::FailedBefore(message) => write!(formatter, "it failed before: {message}"),
            Self::InProgress(since) => {
                write!(formatter, "it is in progress since {:.1} s", since.as_secs_f64())
            }
            Self::InDoubt { since, why } => {
                let since = since.as_secs_f64();
                write!(formatter, "it is in doubt whether it was done {since:.1} s ago: {why}")
            }
            Self::Unreadable(why) => write!(formatter, "the recorded result cannot be read: {why}"),
            Self::Unavailable(why) => {
                write!(formatter, "the key cannot be recorded, so nothing was done: {why}")
            }
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for OnceError<E> {}

/// The number of calls of [`once`] in this process, by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OnceFigures {
    /// Side effects that were done.
    pub done: u64,
    /// Calls that got the result of an earlier one.
    pub recorded: u64,
    /// Calls that found another one in progress.
    pub in_progress: u64,
    /// Calls that found their key in doubt.
    pub in_doubt: u64,
    /// Functions that failed.
    pub failed: u64,
}

static DONE: AtomicU64 = AtomicU64::new(0);
static RECORDED: AtomicU64 = AtomicU64::new(0);
static IN_PROGRESS: AtomicU64 = AtomicU64::new(0);
static IN_DOUBT: AtomicU64 = AtomicU64::new(0);
static FAILED: AtomicU64 = AtomicU64::new(0);

/// Returns the number of calls of [`once`] in this process, by outcome.
#[must_use]
pub fn once_figures() -> OnceFigures {
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    OnceFigures {
        done: read(&DONE),
        recorded: read(&RECORDED),
        in_progress: read(&IN_PROGRESS),
        in_doubt: read(&IN_DOUBT),
        failed: read(&FAILED),
    }
}

/// Runs a function whose side effect must not be done twice, unless it was run before under the same key. The keys are
/// kept beside the recorder's store, in the file `<store>-once.db`; a [`Ledger`] of your own keeps them in the file
/// that you name.
///
/// The second caller of a key gets what the first one got: its value, or the message of its failure. A key is forgotten
/// once `ttl` has passed since its function ended; until then neither a crash nor another process makes the function
/// run twice. If the process dies while the function runs, nobody knows whether the side effect was done: the key is
/// then [in doubt](OnceError::InDoubt), until [`Ledger::resolve`] or [`Ledger::forget`] records whether it was.
///
/// ```no_run
/// use std::time::Duration;
/// use monitored_guard::{Once, once};
///
/// fn charge(order: u64) -> Result<String, std::io::Error> { Ok(format!("receipt of {order}")) }
///
/// const DAY: Duration = Duration::from_secs(86_400);
/// match once("order-4711", DAY, || charge(4711)) {
///     Ok(Once::First(receipt)) => println!("charged: {receipt}"),
///     Ok(Once::Recorded(receipt)) => println!("was charged before: {receipt}"),
///     Err(why) => println!("not charged: {why}"),
/// }
/// ```
///
/// # Errors
/// [`OnceError`]: the function failed, now or before, or another caller has begun and not ended.
pub fn once<T, E>(
    key: &str,
    ttl: Duration,
    body: impl FnOnce() -> Result<T, E>,
) -> Result<Once<T>, OnceError<E>>
where
    T: Serialize + DeserializeOwned,
    E: fmt::Display,
{
    once_ledger().map_err(OnceError::Unavailable)?.once(key, ttl, body)
}

/// Returns the ledger of [`once`], whose file is `<store>-once.db` beside the recorder's store. The first ledger that is
/// returned stays the same, in children of forks as well.
///
/// ```no_run
/// # const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);
/// # fn find_receipt(order: &str) -> Option<String> { None }
/// let ledger = monitored_guard::once_ledger()?;
/// for doubt in ledger.doubts()? {
///     match find_receipt(&doubt.key) {
///         Some(receipt) => ledger.resolve(&doubt.key, &receipt, DAY)?, // it was done: callers get the receipt
///         None => ledger.forget(&doubt.key)?,                          // it was not: the next caller does it
///     };
/// }
/// # Ok::<(), String>(())
/// ```
///
/// # Errors
/// A message if the store is kept in memory, or if the settings that name the store cannot be read.
pub fn once_ledger() -> Result<&'static Ledger, String> {
    static BESIDE_STORE: OnceLock<Ledger> = OnceLock::new();
    if let Some(ledger) = BESIDE_STORE.get() {
        return Ok(ledger);
    }
    let path = monitor_runtime::bridge::store_path()?;
    let path = path.ok_or("the store is kept in memory; name a file by `Ledger::new`")?;
    let mut path = path.into_os_string();
    path.push("-once.db");
    Ok(BESIDE_STORE.get_or_init(|| Ledger::new(path)))
}

impl Ledger {
    /// Runs a function as [`once`] does, with the keys in the file of this ledger.
    ///
    /// # Errors
    /// Those of [`once`].
    pub fn once<T, E>(
        &self,
        key: &str,
        ttl: Duration,
        body: impl FnOnce() -> Result<T, E>,
    ) -> Result<Once<T>, OnceError<E>>
    where
        T: Serialize + DeserializeOwned,
        E: fmt::Display,
    {
        self.once_classified(key, ttl, |_| Verdict::DoNotRetry, body)
    }

    /// Runs a function as [`once`] does, with a classifier of errors. An error of class [`Verdict::Retry`] or
    /// [`Verdict::Wait`] says that the side effect was not done, so the next caller may do it; [`Verdict::Fatal`] says
    /// that nobody knows.
    ///
    /// # Errors
    /// Those of [`once`].
    pub fn once_classified<T, E>(
        &self,
        key: &str,
        ttl: Duration,
        classify: impl Fn(&E) -> Verdict,
        body: impl FnOnce() -> Result<T, E>,
    ) -> Result<Once<T>, OnceError<E>>
    where
        T: Serialize + DeserializeOwned,
        E: fmt::Display,
    {
        let claim = match Claim::take(self, key)? {
            Taken::Claim(claim) => claim,
            Taken::Recorded(value) => return Ok(Once::Recorded(value)),
        };
        let result = body();
        claim.conclude(ttl, result, classify)
    }

    /// Awaits a future as [`once`] runs a function. The key is taken at the first poll. If the future is dropped after
    /// that, the key is in doubt.
    ///
    /// The first poll and the last one wait for the disk, and block their thread for up to 10 s each while another
    /// process writes to the file of keys without a pause. In an async runtime with few threads, use a thread for
    /// blocking code.
    ///
    /// # Errors
    /// Those of [`once`].
    pub async fn once_async<T, E>(
        &self,
        key: &str,
        ttl: Duration,
        future: impl Future<Output = Result<T, E>>,
    ) -> Result<Once<T>, OnceError<E>>
    where
        T: Serialize + DeserializeOwned,
        E: fmt::Display,
    {
        let mut claim = match Claim::take(self, key)? {
            Taken::Claim(claim) => claim,
            Taken::Recorded(value) => return Ok(Once::Recorded(value)),
        };
        let mut future = pin!(future);
        let result = poll_fn(|context| {
            claim.unfinished = "its function panicked";
            let polled = future.as_mut().poll(context);
            claim.unfinished = "its future was dropped";
            polled
        });
        let result = result.await;
        claim.conclude(ttl, result, |_| Verdict::DoNotRetry)
    }
}

/// A key whose function this caller runs. Its drop leaves the key in doubt.
struct Claim<'a> {
    ledger: &'a Ledger,
    key: &'a str,
    begun_ns: i64,
    /// The way of ending that is recorded if the claim is dropped now.
    unfinished: &'static str,
    is_over: bool,
}

/// The result of taking a key.
enum Taken<'a, T> {
    Claim(Claim<'a>),
    Recorded(T),
}

impl<'a> Claim<'a> {
    fn take<T: DeserializeOwned, E>(ledger: &'a Ledger, key: &'a str) -> Result<Taken<'a, T>, OnceError<E>> {
        let now_ns = now_ns();
        let since =
            |begun_ns: i64| Duration::from_nanos(now_ns.saturating_sub(begun_ns).try_into().unwrap_or(0));
        match ledger.claim(key, now_ns).map_err(OnceError::Unavailable)? {
            Claimed::First => Ok(Taken::Claim(Self {
                ledger,
                key,
                begun_ns: now_ns,
                unfinished: "its function panicked",
                is_over: false,
            })),
            Claimed::Done(text) => {
                RECORDED.fetch_add(1, Ordering::Relaxed);
                let value = serde_json::from_str(&text);
                value.map(Taken::Recorded).map_err(|why| OnceError::Unreadable(why.to_string()))
            }
            Claimed::Failed(message) => {
                RECORDED.fetch_add(1, Ordering::Relaxed);
                Err(OnceError::FailedBefore(message))
            }
            Claimed::InProgress { begun_ns } => {
                IN_PROGRESS.fetch_add(1, Ordering::Relaxed);
                Err(OnceError::InProgress(since(begun_ns)))
            }
            Claimed::InDoubt { begun_ns, why } => {
                IN_DOUBT.fetch_add(1, Ordering::Relaxed);
                Err(OnceError::InDoubt { since: since(begun_ns), why })
            }
        }
    }

    fn conclude<T: Serialize, E: fmt::Display>(
        mut self,
        ttl: Duration,
        result: Result<T, E>,
        classify: impl Fn(&E) -> Verdict,
    ) -> Result<Once<T>, OnceError<E>> {
        match result {
            Ok(value) => {
                DONE.fetch_add(1, Ordering::Relaxed);
                // If the value cannot be written as JSON, the next caller cannot read it, but the side effect counts as
                // done.
                let text = serde_json::to_string(&value).unwrap_or_default();
                self.end(Ending::Done { text: &text, ttl });
                Ok(Once::First(value))
            }
            Err(error) => {
                FAILED.fetch_add(1, Ordering::Relaxed);
                let message = error.to_string();
                self.end(match classify(&error) {
                    Verdict::Retry | Verdict::Wait(_) => Ending::Free,
                    Verdict::DoNotRetry => Ending::Failed { message: &message, ttl },
                    Verdict::Fatal => Ending::Doubt { why: &message },
                });
                Err(OnceError::Failed(error))
            }
        }
    }

    /// Records the end. If that fails, the key stays in progress until the next call of this ledger records it; if the
    /// process ends before, the key is in doubt from then on.
    fn end(&mut self, ending: Ending<'_>) {
        self.is_over = true;
        self.ledger.end(self.key, self.begun_ns, now_ns(), ending);
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.end(Ending::Doubt { why: self.unfinished });
        }
    }
}

/// Returns the time of day, in ns since the Unix epoch. Processes share no other clock.
fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
