//! Tests of the whole pipeline, from the guard to the store, against a model. Every call is accounted for, whatever
//! random programs do on several threads, whatever the store answers, and however little memory there is.
//!
//! `random` generates programs, `program` runs them, `ledger` is the store that fails on command, and `account` is the
//! check. `clock` runs programs by a simulated clock. The tests never start the recorder of the process: each builds rings, collector and store of its own.

mod program;
mod ledger;
mod account;
mod random;
mod clock;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::time::Duration;

use proptest::prelude::*;

use crate::Context;
use crate::accountant::{Accountant, Part};
use crate::batch::CallRow;
use crate::collect::breaker::{Event, State};
use crate::collect::shared::Shared;
use crate::collect::{self, Collector, GuardSource, Mode, Opened};
use crate::config::{CaptureMode, Location, Settings, Surroundings};
use crate::platform::clock::{Clock, monotonic};
use crate::ring::memory::Memory;
use crate::sync::lock;
use crate::thread::pool::ThreadPool;
use ledger::{Answer, Entries, Ledger};
use program::{ALWAYS, Change, Ending, Functions, Program, Round, Run, Work};

/// A recorder built from its parts, which no other test shares.
struct Recorder {
    rings: &'static ThreadPool,
    shared: Arc<Shared>,
    collector: Collector,
    ledger: Ledger,
    /// The store that the next opening returns.
    opens: Arc<Mutex<Ledger>>,
}

impl Recorder {
    fn new(program: &Program) -> Self {
        let nowhere = Surroundings { variable: &|_| None, executable: None };
        let usual = Settings::resolve(None, &nowhere).0;
        // Without a bound on the rate there is no bound on the overhead either. Otherwise a step that takes long,
        // because other threads have the processor, would lower the rates of functions.
        let max_overhead = if program.max_rate == 0 { 1.0 } else { usual.max_overhead };
        let settings = Settings {
            db: Location::Memory,
            max_memory_bytes: program.memory_bytes,
            batch_rows: program.batch_rows,
            max_rate: program.max_rate,
            fold_after: program.fold_after,
            max_overhead,
            ..usual
        };
        let (overflow_in, overflow) = crossbeam_channel::unbounded();
        let memory_bytes = usize::try_from(program.memory_bytes).unwrap_or(usize::MAX);
        let accountant = Accountant::new(memory_bytes).with_part(Part::Rings, program.rings_bytes);
        let rings =
            ThreadPool::new(accountant, 0x5EED << 33, CaptureMode::All, overflow_in, Memory::on_heap(None));
        let rings: &'static ThreadPool = Box::leak(Box::new(rings));
        let shared = Arc::new(Shared::new(settings.sample.clone(), accountant).0);
        let ledger = Ledger::new(program.answers.clone());
        let opens = Arc::new(Mutex::new(ledger.clone()));
        let next = Arc::clone(&opens);
        let opener =
            Box::new(move |_| Ok(Opened { store: Box::new(lock(&next).clone()), path: None, notice: None }));
        let surroundings = collect::Surroundings {
            rings,
            overflow,
            shared: Arc::clone(&shared),
            clock: Clock::start(),
            opener,
            watch: None,
            renew_panic_hook: || {},
            guards: GuardSource { rows: Vec::new, hold: |_, _, _, _| false },
            sources: |_| 0,
        };
        let collector = Collector::new(&settings, surroundings);
        Self { rings, shared, collector, ledger, opens }
    }

    /// Makes the store accept everything, and writes all that is still waiting.
    fn settle(&mut self) {
        self.ledger.accept_all();
        let close = Event::ForceClose { why: "the end of a test", by: "the test" };
        lock(&self.shared.breaker).step(monotonic(), close);
        for _ in 0..STEPS_MAX {
            self.collector.step(Mode::Flush);
            if self.collector.is_settled() {
                return;
            }
        }
        panic!("the flush did not end within {STEPS_MAX} steps");
    }
}

/// The most steps of a flush, far more than any of these programs needs.
const STEPS_MAX: usize = 100_000;

/// Runs a program and asserts that every call is accounted for.
fn check(program: &Program) {
    let mut recorder = Recorder::new(program);
    let functions = Functions::new();
    let mut run = Run::default();
    for round in &program.rounds {
        run.round(round, &functions, &mut recorder);
    }
    recorder.settle();
    let health = lock(&recorder.shared.health).clone();
    account::check(program, &functions, &run.calls, &recorder.ledger.entries(), &health);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: random::cases(), rng_seed: random::seed(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_call_is_accounted_for_whatever_happens(program in random::program()) {
        check(&program);
    }
}

#[test]
fn a_store_that_others_write_to_is_waited_for_and_no_failure() {
    let answers = vec![Answer::Busy; 20];
    let mut program = random::idle_program(answers);
    program.rounds = vec![random::one_call()];
    let (mut recorder, functions, mut run) = (Recorder::new(&program), Functions::new(), Run::default());
    run.round(&program.rounds[0], &functions, &mut recorder);
    for _ in 0..10 {
        recorder.collector.step(Mode::Flush);
    }
    let health = lock(&recorder.shared.health).clone();
    assert_eq!((health.writer_errors, health.breaker.state), (0, State::Closed));
    assert!(recorder.ledger.entries().calls.is_empty());
    recorder.settle();
    assert_eq!(recorder.ledger.entries().calls.len(), 1);
}

#[test]
fn a_step_that_panics_loses_nothing_and_is_told_of() {
    // The first answer is `Busy`, so that the call is drained before the store panics.
    let program = random::idle_program([vec![Answer::Busy], vec![Answer::Panic; 3]].concat());
    let (mut recorder, functions, mut run) = (Recorder::new(&program), Functions::new(), Run::default());
    run.round(&random::one_call(), &functions, &mut recorder);
    for _ in 0..3 {
        let step = AssertUnwindSafe(|| recorder.collector.step(Mode::Flush));
        let payload = catch_unwind(step).expect_err("the store panics");
        recorder.collector.note_panic(&*payload);
    }
    recorder.settle();
    let Entries { calls, events, .. } = recorder.ledger.entries();
    assert_eq!(calls.len(), 1);
    let panics = events.iter().filter(|(kind, detail)| kind == "recorder" && detail.ends_with("a bug"));
    assert_eq!(panics.count(), 3, "{events:?}");
}

#[test]
fn every_report_from_the_first_one_on_tells_since_when_the_breaker_is_in_its_state() {
    let failing = vec![Answer::Transient; 12];
    for answers in [Vec::new(), vec![Answer::Busy; 3], failing] {
        let before_ns = Clock::start().now_ns();
        let program = random::idle_program(answers);
        let (mut recorder, functions, mut run) = (Recorder::new(&program), Functions::new(), Run::default());
        run.round(&random::one_call(), &functions, &mut recorder);
        recorder.settle();
        let reports = recorder.ledger.entries().reports;
        assert!(!reports.is_empty());
        for report in reports {
            assert!((before_ns..=report.at_ns).contains(&report.breaker_since_ns), "{report:?}");
        }
    }
}

#[test]
fn a_callee_that_is_thinned_leaves_the_weight_of_the_next_as_it_was() {
    let call = |function, times| Work { function, ending: Ending::Ok, times, callees: Vec::new() };
    let root = Work { callees: vec![call(ALWAYS, 20), call(1, 1)], ..call(0, 20) };
    let thinned =
        Round { threads: Vec::new(), changes: vec![(ALWAYS, Change::Rate(0.3))], ..random::one_call() };
    let mut program = random::idle_program(Vec::new());
    program.rounds = vec![thinned, Round { threads: vec![vec![root]], ..random::one_call() }];
    check(&program);
}

#[test]
fn a_burst_is_folded_exactly_whether_or_not_its_ring_is_drained_meanwhile() {
    let call = |function, times, callees| Work { function, ending: Ending::Ok, times, callees };
    for steps in [0, 40] {
        let queries = || call(1, 20_000, vec![call(2, 1, Vec::new()), call(2, 1, Vec::new())]);
        let lists = vec![call(0, 1, vec![queries()]), call(0, 1, vec![queries()])];
        let mut program = random::idle_program(Vec::new());
        program.rounds = vec![Round { threads: vec![lists.clone(), lists], steps, ..random::one_call() }];
        let (mut recorder, functions, mut run) = (Recorder::new(&program), Functions::new(), Run::default());
        run.round(&program.rounds[0], &functions, &mut recorder);
        recorder.settle();
        let (entries, health) = (recorder.ledger.entries(), lock(&recorder.shared.health).clone());
        account::check(&program, &functions, &run.calls, &entries, &health);
        let rows = |function: usize, parent: u64| {
            let id = functions.id(function);
            let of_function = |row: &&CallRow| row.function == id && row.parent_id == parent;
            let rows: Vec<&CallRow> = entries.calls.iter().filter(of_function).collect();
            rows.into_iter().partition::<Vec<_>, _>(|row| row.shared.is_none())
        };
        let calls = |rows: &[&CallRow]| rows.iter().map(|row| row.calls()).sum::<u64>();
        let (lists, _) = rows(0, 0);
        assert_eq!(lists.len(), 4);
        let innermost = entries.calls.iter().filter(|row| row.function == functions.id(2));
        assert_eq!(innermost.map(CallRow::calls).sum::<u64>(), 4 * 40_000, "{steps} steps");
        for list in lists {
            let (own, shared) = rows(1, list.span_id);
            // A drain that finds callees' records without that of their caller, which ends before the drain looks who is under
            // way, gives them rows. On a busy machine these may be as many as the ring holds.
            let own_max = if steps == 0 { 64 } else { 64 + 2 * steps + RING_RECORDS };
            assert!((64..=own_max).contains(&own.len()), "{} rows after {steps} steps", own.len());
            assert_eq!(calls(&own) + calls(&shared), 20_000);
            // A row that has been open for a window is closed. A burst lasts that long in an emulator.
            assert!((1..=4).contains(&shared.len()), "{} shared rows", shared.len());
            assert!(shared[0].args.is_some(), "{:?}", shared[0]);
            let (below_own, below_shared) = own
                .iter()
                .chain(&shared)
                .map(|row| rows(2, row.span_id))
                .fold((0, 0), |sum, (own, shared)| (sum.0 + calls(&own), sum.1 + calls(&shared)));
            // A callee's own row has no row above it if its caller is folded after the drain gave the callee that row. Each
            // drain can leave one such row on each of the two threads.
            let orphans_max = 2 * steps as u64;
            let below = below_own + below_shared;
            assert!((40_000 - orphans_max..=40_000).contains(&below), "{below} calls below, {steps} steps");
            assert!(below_shared >= 2 * shared[0].calls(), "{steps} steps");
        }
    }
}

#[test]
fn a_collector_that_drains_more_slowly_than_a_thread_records_counts_and_writes_too() {
    let (mut recorder, functions) = (Recorder::new(&random::idle_program(Vec::new())), Functions::new());
    let rings = recorder.rings;
    let sites = [functions.site(0), functions.site(1)];
    std::thread::scope(|scope| {
        let (filled, fills) = mpsc::channel();
        let (drained, drains) = mpsc::channel::<()>();
        scope.spawn(move || {
            rings.acquire().expect("memory for a thread's state");
            // Calls below one caller are folded, so that the backlog stays nearly empty however many there are.
            program::call(sites[0], 1, Ending::Ok, || {
                loop {
                    (0..RING_RECORDS / 2).for_each(|_| program::call(sites[1], 1, Ending::Ok, || ()));
                    if filled.send(()).is_err() || drains.recv().is_err() {
                        break;
                    }
                }
            });
        });
        let begun = monotonic();
        loop {
            fills.recv().expect("the thread goes on");
            recorder.collector.step(Mode::Usual);
            if recorder.collector.last_whole_step() > begun {
                break;
            }
            assert!(
                monotonic().saturating_sub(begun) < Duration::from_secs(60),
                "every step did nothing but drain"
            );
            drained.send(()).expect("the thread waits");
        }
        drop(drained);
    });
}

#[test]
fn a_tree_on_two_threads_is_whole_although_their_rings_are_drained_one_after_the_other() {
    // More calls than tail sampling remembers decisions, and fewer on each thread than its ring holds.
    const THREADS: usize = 16;
    const TREES: usize = 280;
    let mut program = random::idle_program(Vec::new());
    program.max_rate = 1000;
    let (mut recorder, functions) = (Recorder::new(&program), Functions::new());
    let [trunk, leaf, twig] = [0, 1, 2].map(|function| functions.site(function));
    let call = |site, body: &dyn Fn()| program::call(site, 0, Ending::Ok, body);
    let rings = recorder.rings;
    // Callers do not throttle their functions, so that the whole burst is recorded.
    rings.home.throttles.store(false, Ordering::Relaxed);
    std::thread::scope(|scope| {
        let (order, orders) = mpsc::channel();
        let have_grown = Arc::new(Barrier::new(THREADS + 1));
        for _ in 0..THREADS {
            let (order, have_grown) = (order.clone(), Arc::clone(&have_grown));
            scope.spawn(move || {
                rings.acquire().expect("memory for a thread's state");
                for tree in 0..TREES {
                    call(trunk, &|| {
                        if tree % 2 == 0 {
                            order.send(Context::current()).expect("the other thread waits");
                        }
                        (0..8).for_each(|_| call(leaf, &|| ()));
                    });
                }
                drop(order);
                // No other thread takes over this thread's ring.
                have_grown.wait();
            });
        }
        drop(order);
        scope.spawn(move || {
            let contexts: Vec<Context> = orders.iter().collect();
            // The ring of this thread is the last one that is drained. It has room for a twig of every second tree.
            rings.acquire().expect("memory for a thread's state");
            for context in contexts {
                context.scope(|| call(twig, &|| ()));
            }
            have_grown.wait();
        });
    });
    recorder.settle();
    let (entries, health) = (recorder.ledger.entries(), lock(&recorder.shared.health).clone());
    assert_eq!(health.dropped.total(), 0, "{health:?}");
    let [trunks, leaves, twigs] = [0, 1, 2].map(|function| {
        let of_function = entries.calls.iter().filter(|row| row.function == functions.id(function));
        of_function.collect::<Vec<_>>()
    });
    let spans: HashSet<u64> = trunks.iter().map(|row| row.span_id).collect();
    let orphans =
        leaves.iter().chain(&twigs).filter(|row| row.parent_id != 0 && !spans.contains(&row.parent_id));
    assert_eq!(orphans.count(), 0, "of {} twigs, with {} trunks", twigs.len(), trunks.len());
    // The more time the drains take, the more rows are allowed.
    assert!((5..THREADS * TREES).contains(&trunks.len()), "{} trees have rows", trunks.len());
}

/// The records that a thread's usual ring holds.
const RING_RECORDS: usize = 4096;

#[test]
fn a_store_opened_elsewhere_is_given_all_functions_and_threads_again() {
    let mut program = random::idle_program(vec![Answer::Written, Answer::Unwritable]);
    program.rounds = vec![random::one_call(), random::one_call()];
    let (mut recorder, functions, mut run) = (Recorder::new(&program), Functions::new(), Run::default());
    run.round(&program.rounds[0], &functions, &mut recorder);
    assert_eq!(recorder.ledger.entries().calls.len(), 1);
    let elsewhere = Ledger::new(Vec::new());
    *lock(&recorder.opens) = elsewhere.clone();
    run.round(&program.rounds[1], &functions, &mut recorder);
    recorder.settle();
    let entries = elsewhere.entries();
    assert_eq!(entries.calls.len(), 1);
    for call in &entries.calls {
        assert!(entries.functions.contains_key(&call.function), "{entries:?}");
        assert!(entries.threads.contains_key(&call.thread), "{entries:?}");
    }
    let thread_before = recorder.ledger.entries().calls[0].thread;
    assert!(entries.threads.contains_key(&thread_before), "{entries:?}");
}

#[test]
fn the_end_waits_for_the_lock_until_it_is_late() {
    for (held, is_late_at, closed) in [(3, 10, true), (10, 3, false)] {
        let mut recorder = Recorder::new(&random::idle_program(Vec::new()));
        let (functions, mut run) = (Functions::new(), Run::default());
        run.round(&random::one_call(), &functions, &mut recorder);
        recorder.ledger.hold_lock(held);
        let mut attempts = 0;
        while !recorder.collector.close(true, attempts >= is_late_at) {
            attempts += 1;
        }
        assert_eq!((attempts, recorder.ledger.is_closed()), (held.min(is_late_at), closed));
    }
}

#[test]
fn rings_are_drained_between_two_attempts_to_get_the_lock() {
    let mut program = random::idle_program(vec![Answer::Busy; 1000]);
    program.rounds = vec![random::one_call(), random::one_call(), random::one_call()];
    let (mut recorder, functions, mut run) = (Recorder::new(&program), Functions::new(), Run::default());
    for round in &program.rounds {
        run.round(round, &functions, &mut recorder);
        let pending: usize =
            recorder.rings.states().flat_map(|state| state.rings().map(|(_, ring)| ring.pending())).sum();
        assert_eq!(pending, 0, "the rows wait in the backlog, not in the rings");
        assert!(recorder.ledger.entries().calls.is_empty());
    }
    let health = lock(&recorder.shared.health).clone();
    assert_eq!((health.writer_errors, health.dropped.total()), (0, 0));
    recorder.settle();
    assert_eq!(recorder.ledger.entries().calls.len(), 3);
}

#[test]
fn calls_after_one_that_fails_while_it_is_expected_to_share_a_row_are_folded_exactly() {
    const FOLD_AFTER: u64 = 3;
    let call = |site, ending, body: &dyn Fn()| program::call(site, 0, ending, body);
    let mut program = random::idle_program(Vec::new());
    program.fold_after = FOLD_AFTER as u32;
    let (mut recorder, functions) = (Recorder::new(&program), Functions::new());
    let [list, query, step] = [0, 1, 2].map(|function| functions.site(function));
    let (rings, collector) = (recorder.rings, &mut recorder.collector);
    std::thread::scope(|scope| {
        let (begun, begins) = mpsc::channel();
        let (drained, drains) = mpsc::channel::<()>();
        scope.spawn(move || {
            rings.acquire().expect("memory for a thread's state");
            let queries = |times| {
                for _ in 0..times {
                    call(query, Ending::Ok, &|| call(step, Ending::Ok, &|| ()));
                }
            };
            call(list, Ending::Ok, &|| {
                queries(FOLD_AFTER);
                // This query is expected to share a row when its callee is drained, because enough queries have ended.
                call(query, Ending::Error, &|| {
                    call(step, Ending::Ok, &|| ());
                    begun.send(()).expect("the test waits");
                    let _ = drains.recv();
                });
                queries(10);
            });
        });
        begins.recv().expect("the thread runs");
        collector.step(Mode::Usual);
        drop(drained);
    });
    recorder.settle();
    let Entries { calls, .. } = recorder.ledger.entries();
    for function in [1, 2] {
        let rows = calls.iter().filter(|row| row.function == functions.id(function));
        assert_eq!(rows.map(CallRow::calls).sum::<u64>(), FOLD_AFTER + 1 + 10, "function {function}");
    }
    let spans: Vec<u64> = calls.iter().map(|row| row.span_id).collect();
    let is_orphan = |row: &&CallRow| row.parent_id != 0 && !spans.contains(&row.parent_id);
    assert_eq!(calls.iter().find(is_orphan), None, "a row names a caller without a row");
}
