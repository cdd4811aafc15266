//! Tests of the whole pipeline, from the guard to the store, against a model. Every call is accounted for, whatever
//! random programs do on several threads, whatever the store answers, and however little memory there is.
//!
//! `random` generates programs, `program` runs them, `ledger` is the store that fails on command, and `account` is the
//! check. The tests never start the recorder of the process: each builds rings, collector and store of its own.

mod program;
mod ledger;
mod account;
mod random;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use crate::collect::breaker::{Event, State};
use crate::collect::shared::Shared;
use crate::collect::{self, Collector, Mode, Opened};
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
        let rings = ThreadPool::new(
            program.rings_bytes,
            0x5EED << 33,
            CaptureMode::All,
            overflow_in,
            Memory::on_heap(None),
        );
        let rings: &'static ThreadPool = Box::leak(Box::new(rings));
        let shared = Arc::new(Shared::new(settings.sample.clone()).0);
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
            recorder.rings.all().iter().flat_map(|state| state.rings().map(|(_, ring)| ring.pending())).sum();
        assert_eq!(pending, 0, "the rows wait in the backlog, not in the rings");
        assert!(recorder.ledger.entries().calls.is_empty());
    }
    let health = lock(&recorder.shared.health).clone();
    assert_eq!((health.writer_errors, health.dropped.total()), (0, 0));
    recorder.settle();
    assert_eq!(recorder.ledger.entries().calls.len(), 3);
}
