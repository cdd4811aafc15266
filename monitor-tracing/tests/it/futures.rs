//! Instrumented futures that are dropped at each of their polls.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use monitored::monitor;
use tracing::{Instrument, info_span};

use crate::stage::{install, store_of};

/// The number of times that the future waits.
const WAITS: u32 = 6;

#[monitor]
fn step() {}

#[monitor]
fn after() {}

/// Waits once.
async fn pause() {
    let mut has_waited = false;
    std::future::poll_fn(|_| {
        if std::mem::replace(&mut has_waited, true) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

pub(crate) fn program() {
    install();
    for polls in 0..=WAITS + 1 {
        let steps = async {
            for _ in 0..WAITS {
                step();
                pause().await;
            }
        };
        {
            let mut future = pin!(steps.instrument(info_span!("steps", polls)));
            let mut context = Context::from_waker(Waker::noop());
            for poll in 0..polls {
                let is_done = future.as_mut().poll(&mut context).is_ready();
                assert_eq!(is_done, poll == WAITS);
            }
        }
        after();
    }
}

#[test]
fn a_future_may_be_dropped_after_any_poll() {
    let store = store_of("futures");
    assert_eq!(store.one::<i64>("SELECT COUNT(*) FROM calls WHERE function = 'it::futures::steps'"), 8);
    let steps: Vec<i64> = store.all(
        "SELECT (SELECT COUNT(*) FROM calls s WHERE s.parent_id = c.span_id AND s.function = 'it::futures::step')
         FROM calls c WHERE c.function = 'it::futures::steps' ORDER BY json_extract(c.args, '$.polls')",
    );
    assert_eq!(steps, [0, 1, 2, 3, 4, 5, 6, 6]);
    // Nothing stays current.
    assert_eq!(
        store.one::<i64>(
            "SELECT COUNT(*) FROM calls WHERE function = 'it::futures::after' AND parent_id IS NULL"
        ),
        8
    );
    assert_eq!(store.one::<i64>("SELECT COUNT(*) FROM calls WHERE outcome <> 'ok'"), 0);
}
