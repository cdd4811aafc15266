//! A guard together with a classifier of the part's errors.

use std::fmt::Display;
use std::thread::sleep;
use std::time::Duration;

use crate::answer::Answer;
use crate::guard::Guard;
use crate::retry::random;
use crate::verdict::Verdict;
use crate::why::Why;

/// A guard with a classifier of the part's errors: the result of [`Guard::classify`] and [`Guard::ignore`].
#[derive(Debug, Clone, Copy)]
#[must_use = "nothing is called yet"]
pub struct Classified<C> {
    pub(crate) guard: &'static Guard,
    pub(crate) classify: C,
}

impl<C> Classified<C> {
    /// Makes a call as [`Guard::call`] does; the classifier decides which errors are failures of the part.
    #[inline]
    pub fn call<T, E: Display>(&self, body: impl FnOnce() -> Result<T, E>) -> Answer<T, E>
    where
        C: Fn(&E) -> Verdict,
    {
        self.guard.call_once(body, &self.classify).0
    }

    /// Awaits a future as [`Guard::call_async`] does; the classifier decides which errors are failures of the part.
    pub async fn call_async<T, E: Display>(&self, future: impl Future<Output = Result<T, E>>) -> Answer<T, E>
    where
        C: Fn(&E) -> Verdict,
    {
        self.guard.call_once_async(future, &self.classify).await.0
    }

    /// Makes a call as [`Guard::call_retrying`] does; the classifier decides which errors are failures and which are
    /// retried.
    pub fn call_retrying<T, E: Display>(&self, mut body: impl FnMut() -> Result<T, E>) -> Answer<T, E>
    where
        C: Fn(&E) -> Verdict,
    {
        let mut attempts = Attempts::new(self.guard);
        loop {
            let attempt = self.guard.call_once(&mut body, &self.classify);
            match attempts.judge(attempt) {
                Next::Done(answer) => return answer,
                Next::After(pause) => sleep(pause),
            }
        }
    }

    /// Awaits futures as [`Guard::call_async_retrying`] does; the classifier decides which errors are failures and
    /// which are retried.
    pub async fn call_async_retrying<T, E: Display, F: Future<Output = Result<T, E>>, S: Future>(
        &self,
        sleep: impl Fn(Duration) -> S,
        mut make: impl FnMut() -> F,
    ) -> Answer<T, E>
    where
        C: Fn(&E) -> Verdict,
    {
        let mut attempts = Attempts::new(self.guard);
        loop {
            let attempt = self.guard.call_once_async(make(), &self.classify).await;
            match attempts.judge(attempt) {
                Next::Done(answer) => return answer,
                Next::After(pause) => _ = sleep(pause).await,
            }
        }
    }
}

/// The attempts of one call.
struct Attempts<T, E> {
    guard: &'static Guard,
    made: u32,
    /// The answer of the last attempt that failed.
    failed: Option<Answer<T, E>>,
}

/// The step that follows an attempt.
enum Next<T, E> {
    Done(Answer<T, E>),
    After(Duration),
}

impl<T, E> Attempts<T, E> {
    const fn new(guard: &'static Guard) -> Self {
        Self { guard, made: 0, failed: None }
    }

    fn judge(&mut self, (answer, verdict): (Answer<T, E>, Option<Verdict>)) -> Next<T, E> {
        let counters = &self.guard.counters;
        let is_rejection = answer.why().is_some_and(Why::is_rejection);
        if is_rejection {
            // The error of the last attempt explains the failure better than the answer that the breaker is open now.
            return Next::Done(self.failed.take().unwrap_or(answer));
        }
        self.made += 1;
        if self.made > 1 {
            counters.retries.add();
        }
        let wait = match verdict {
            None => {
                if self.made > 1 {
                    counters.retried_ok.add();
                }
                return Next::Done(answer);
            }
            Some(Verdict::DoNotRetry | Verdict::Fatal) => return Next::Done(answer),
            Some(Verdict::Retry) => None,
            Some(Verdict::Wait(wait)) => wait,
        };
        match self.guard.retry.pause_after(self.made, wait, random()) {
            Some(pause) => {
                self.failed = Some(answer);
                Next::After(pause)
            }
            None => Next::Done(answer),
        }
    }
}
