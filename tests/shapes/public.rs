//! Public functions, to which some lints of Clippy apply alone, and lints that users expect: M90.

use std::fmt::Debug;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use monitored::monitor;

/// Polls `future`, which is ready at once.
fn poll_once<F: Future>(future: F) -> F::Output {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future is ready"),
    }
}

/// A task whose value can be awaited.
#[derive(Debug)]
pub struct Task(pub u32);

impl Future for Task {
    type Output = u32;
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u32> {
        Poll::Ready(self.0)
    }
}

impl From<u32> for Task {
    fn from(number: u32) -> Self {
        Self(number)
    }
}

/// Tasks by number.
#[derive(Debug)]
pub struct Tasks(u32);

/// Never returns.
fn fail() -> ! {
    panic!("no task");
}

#[monitor]
impl Tasks {
    /// Returns a future.
    pub async fn start(&self) -> Task {
        ready(()).await;
        Task(self.0)
    }

    /// Returns one of two futures.
    pub async fn start_one(&self, (flag, _): (bool, u32)) -> Pin<Box<dyn Future<Output = u32> + Send>> {
        if flag {
            return Box::pin(async { 1 });
        }
        ready(()).await;
        Box::pin(ready(self.0))
    }

    /// Returns a future whose type has no name.
    pub async fn start_opaque(&self) -> impl Future<Output = u32> + Debug {
        ready(()).await;
        Task(self.0)
    }

    /// Returns a future of the standard library.
    pub async fn start_ready(&self, number: u32) -> Ready<u32> {
        if number > self.0 { ready(number) } else { ready(self.0) }
    }

    /// Converts its value.
    pub async fn start_into(&self) -> Task {
        let cell = std::cell::RefCell::new(self.0);
        let number = *cell.borrow();
        number.into()
    }

    /// Does not come to its end.
    pub async fn start_never(&self) -> Task {
        ready(()).await;
        fail()
    }

    /// Does not come to its end, by a macro.
    pub async fn start_todo(&self) -> Task {
        unimplemented!("{self:?}")
    }

    /// Has the name of a standard method.
    pub async fn next(&mut self) -> Option<u32> {
        self.0 += 1;
        Some(self.0)
    }

    /// Has the name of a standard method.
    pub async fn from_str(text: &str) -> Self {
        Self(text.parse().unwrap_or_default())
    }

    /// Has the name of a standard method.
    pub async fn default() -> Self {
        Self(1)
    }

    /// Has the name of a standard method.
    pub async fn not(self) -> bool {
        self.0 == 0
    }

    /// Has the name of a standard method.
    pub async fn sub(self, other: u32) -> u32 {
        self.0 - other
    }

    /// Returns a value to use.
    #[must_use]
    pub async fn number(&self) -> u32 {
        self.0
    }

    /// Returns a value to use, for a reason.
    #[must_use = "the number is all that this returns"]
    pub async fn number_for_a_reason(&self) -> u32 {
        self.0
    }

    /// Returns a value to use, under a condition.
    #[cfg_attr(all(), must_use)]
    pub async fn number_under_a_condition(&self) -> u32 {
        self.0
    }
}

#[test]
fn m90_public_async_functions_raise_no_lint_of_plain_ones() {
    let mut tasks = poll_once(Tasks::default());
    assert_eq!(poll_once(poll_once(tasks.start())), 1);
    assert_eq!(poll_once(poll_once(tasks.start_one((false, 1)))), 1);
    assert_eq!(poll_once(poll_once(tasks.start_opaque())), 1);
    assert_eq!(poll_once(poll_once(tasks.start_ready(2))), 2);
    assert_eq!(poll_once(poll_once(tasks.start_into())), 1);
    drop((tasks.start_never(), tasks.start_todo()));
    assert_eq!(poll_once(tasks.next()), Some(2));
    assert_eq!(poll_once(tasks.number()) + poll_once(tasks.number_for_a_reason()), 4);
    assert_eq!(poll_once(tasks.number_under_a_condition()), 2);
    assert!(!poll_once(tasks.not()));
    assert_eq!(poll_once(poll_once(Tasks::from_str("4")).sub(1)), 3);
}

#[test]
fn m90_an_expected_lint_of_an_argument_is_expected_once() {
    #[monitor]
    fn unit(#[expect(unused_variables)] number: u8) {}
    #[monitor]
    fn value(#[expect(unused_variables, reason = "for later")] number: u8) -> u8 {
        1
    }
    #[monitor(fields(one = 1))]
    fn with_field(#[expect(unused_variables, unused_mut)] mut number: u8) -> u8 {
        1
    }
    #[monitor]
    fn pattern(#[expect(unused_variables)] (first, second): (u8, u8)) -> u8 {
        first
    }
    #[monitor]
    #[track_caller]
    fn tracked(#[expect(unused)] number: u8, #[cfg_attr(all(), expect(unused_variables))] other: u8) -> u8 {
        1
    }
    #[monitor(skip(first), redact(second))]
    fn left_out(#[expect(unused_variables)] first: u8, #[expect(unused_variables)] second: u8) {}
    #[monitor]
    async fn later(#[expect(unused_variables)] number: u8) -> u8 {
        1
    }
    #[monitor]
    async fn patterns_later(
        #[expect(unused_variables)] (first, second): (u8, u8),
        #[expect(unused_variables, unused_mut)] mut third: u8,
        #[cfg_attr(all(), expect(unused_variables))] fourth: u8,
    ) -> u8 {
        first
    }
    #[monitor]
    fn boxed(#[expect(unused_variables)] number: u8) -> Pin<Box<dyn Future<Output = u8>>> {
        Box::pin(ready(1))
    }
    #[monitor]
    fn other_lints(#[expect(unused_mut)] mut number: u8) -> u8 {
        number
    }
    unit(1);
    left_out(1, 2);
    assert_eq!(value(1) + with_field(2) + pattern((1, 2)) + tracked(1, 2) + other_lints(1), 5);
    assert_eq!(poll_once(later(1)) + poll_once(patterns_later((1, 2), 3, 4)) + poll_once(boxed(1)), 3);
}
