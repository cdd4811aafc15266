//! Exact counts of many spans, beside a layer that only counts.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tracing::span::{Attributes, Id};
use tracing::{Subscriber, info_span, instrument};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;

use crate::stage::{Stage, finish, install};

/// Counts the spans of each name.
#[derive(Clone, Default)]
struct Counting(Arc<Mutex<BTreeMap<&'static str, i64>>>);

impl<S: Subscriber + for<'lookup> LookupSpan<'lookup>> Layer<S> for Counting {
    fn on_new_span(&self, span: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        *self.0.lock().unwrap().entry(span.metadata().name()).or_default() += 1;
    }
}

#[instrument]
fn order(number: u64) {
    (0..number % 4).for_each(line);
    let _ = charge(number);
}

#[instrument]
fn line(number: u64) {}

#[instrument(err)]
fn charge(number: u64) -> Result<u64, &'static str> {
    if number.is_multiple_of(50) { Err("declined") } else { Ok(number) }
}

const THREADS: u64 = 8;
/// The number of orders of a thread: with their lines and charges they make 3.5 spans each.
const ORDERS: u64 = 3_600;

pub(crate) fn program() {
    let counting = Counting::default();
    tracing_subscriber::registry().with(counting.clone()).with(monitored_tracing::layer()).init();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..ORDERS).for_each(order));
        }
    });
    let mut output = std::io::stdout();
    for (name, count) in &*counting.0.lock().unwrap() {
        writeln!(output, "{name} {count}").unwrap();
    }
}

#[test]
fn a_hundred_thousand_spans_on_eight_threads_are_counted_as_by_a_counting_layer() {
    // With rows for all, and with the bounds that programs have, under which most spans have none.
    for is_bounded in [false, true] {
        let stage = Stage::new();
        let mut command = stage.command("counts");
        if is_bounded {
            command.env_remove("MONITOR_MAX_RATE").env_remove("MONITOR_MAX_OVERHEAD");
        }
        let output = finish(&mut command);
        let text = String::from_utf8(output.stdout).unwrap();
        let counted: Vec<&str> = text
            .lines()
            .filter(|line| ["order ", "line ", "charge "].iter().any(|name| line.starts_with(name)))
            .collect();
        let store = stage.store();
        let stored: Vec<String> = store.all(
            "SELECT REPLACE(function, 'it::counts::', '') || ' ' || calls FROM functions ORDER BY function",
        );
        assert_eq!(stored, counted, "bounded: {is_bounded}");
        assert_eq!(store.one::<i64>("SELECT SUM(calls) FROM functions"), 100_800);
        // A caller may have no row, and one that is only counted none to name, but no call has another caller.
        let false_parents = "SELECT COUNT(*) FROM calls c LEFT JOIN calls p ON p.span_id = c.parent_id
             WHERE p.function <> 'it::counts::order' OR c.function = 'it::counts::order' AND c.parent_id IS NOT NULL";
        assert_eq!(store.one::<i64>(false_parents), 0, "bounded: {is_bounded}");
        let without =
            "SELECT COUNT(*) FROM calls WHERE function <> 'it::counts::order' AND parent_id IS NULL";
        assert!(is_bounded || store.one::<i64>(without) == 0);
        let failed: i64 = store.one("SELECT errors FROM functions WHERE function = 'it::counts::charge'");
        assert_eq!(failed, i64::try_from(THREADS * ORDERS / 50).unwrap());
        // Rows stand for all calls of their function.
        let off: i64 = store.one(
            "SELECT COUNT(*) FROM functions f WHERE NOT f.estimated AND f.dropped = 0 AND
             (SELECT SUM(weight) FROM calls c WHERE c.function = f.function) NOT BETWEEN calls * 0.5 AND calls * 2.0",
        );
        assert_eq!(off, 0, "bounded: {is_bounded}");
    }
}

/// The number of spans that are closed on another thread.
const MOVED: u64 = 1_000_000;

pub(crate) fn move_spans() {
    install();
    let (send, receive) = sync_channel(64);
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..MOVED {
                let span = info_span!("moved");
                // Some are entered here, some there, some on both threads, some nowhere.
                if number & 1 != 0 {
                    span.in_scope(|| ());
                }
                send.send((number, span)).unwrap();
            }
        });
        scope.spawn(move || {
            for (number, span) in receive {
                if number & 2 != 0 {
                    span.in_scope(|| ());
                }
            }
        });
    });
    assert!(began.elapsed() < Duration::from_secs(540), "{:?}", began.elapsed());
}

#[test]
fn a_million_spans_are_closed_on_another_thread() {
    let stage = Stage::new();
    let mut command = stage.command("moved");
    command.env_remove("MONITOR_MAX_RATE").env_remove("MONITOR_MAX_OVERHEAD");
    finish(&mut command);
    let store = stage.store();
    let counted: Vec<String> = store.all("SELECT function || ' ' || calls FROM functions");
    assert_eq!(counted, [format!("it::counts::moved {MOVED}")]);
    assert_eq!(
        store.one::<i64>("SELECT COUNT(*) FROM calls WHERE parent_id IS NOT NULL OR outcome <> 'ok'"),
        0
    );
}
