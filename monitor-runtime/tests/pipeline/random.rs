//! Strategies that generate programs: call trees of a few functions on a few threads, rates that change meanwhile,
//! answers of the store, and bounds of the memory.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::ledger::Answer;
use super::program::{Change, Ending, FUNCTIONS, Program, Round, Work};

/// Returns the number of cases: few enough for a short run, or `PROPTEST_CASES`.
pub(super) fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(48)
}

/// Returns a fixed seed, so that a failure comes from a change and not from other programs, or `PROPTEST_RNG_SEED`.
pub(super) fn seed() -> RngSeed {
    match ProptestConfig::default().rng_seed {
        RngSeed::Random => RngSeed::Fixed(1),
        requested @ RngSeed::Fixed(_) => requested,
    }
}

pub(super) fn program() -> impl Strategy<Value = Program> {
    let memory = (
        prop_oneof![Just(0_usize), Just(40 << 10), Just(32 << 20)],
        prop_oneof![Just(2_900_000_u64), Just(64 << 20)],
        prop_oneof![Just(7_usize), Just(100), Just(4096)],
        prop_oneof![Just(0_u32), Just(20), Just(1000)],
        prop_oneof![Just(0_u32), Just(1), Just(3), Just(64)],
    );
    let answers = prop_oneof![
        Just(Vec::new()),
        prop::collection::vec(answer(), 1..12),
        // Enough failures that the breaker opens and memory runs out.
        (3_usize..40).prop_map(|failures| vec![Answer::Transient; failures]),
    ];
    (memory, answers, prop::collection::vec(round(), 1..4)).prop_map(|(memory, answers, rounds)| {
        let (rings_bytes, memory_bytes, batch_rows, max_rate, fold_after) = memory;
        Program { rings_bytes, memory_bytes, batch_rows, max_rate, fold_after, answers, rounds }
    })
}

/// Returns a program without calls that has ample memory.
pub(super) fn idle_program(answers: Vec<Answer>) -> Program {
    Program {
        rings_bytes: 32 << 20,
        memory_bytes: 64 << 20,
        max_rate: 0,
        fold_after: 64,
        batch_rows: 100,
        answers,
        rounds: Vec::new(),
    }
}

/// Returns a round with one thread that makes one call.
pub(super) fn one_call() -> Round {
    let work = Work { function: 0, ending: Ending::Ok, times: 1, callees: Vec::new() };
    Round { threads: vec![vec![work]], changes: Vec::new(), held: false, steps: 0 }
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        Just(Answer::Written),
        Just(Answer::WrittenButFailed),
        Just(Answer::Busy),
        Just(Answer::Full),
        Just(Answer::Transient),
        Just(Answer::SetAside),
        Just(Answer::Unwritable),
        Just(Answer::Rejected),
    ]
}

fn round() -> impl Strategy<Value = Round> {
    let threads = prop::collection::vec(prop::collection::vec(work(), 0..6), 1..4);
    let changes = prop::collection::vec((2..FUNCTIONS, change()), 0..3);
    (threads, changes, any::<bool>(), 0_usize..4).prop_map(|(threads, changes, held, steps)| Round {
        threads,
        changes,
        held,
        steps,
    })
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        Just(Change::Rate(1.0)),
        Just(Change::Rate(0.3)),
        Just(Change::Rate(0.01)),
        Just(Change::Rate(0.0)),
        any::<bool>().prop_map(Change::Counted),
    ]
}

fn work() -> impl Strategy<Value = Work> {
    let one = (0..FUNCTIONS, ending(), prop_oneof![9 => 1_usize..4, 1 => 200_usize..900]);
    let leaf =
        one.prop_map(|(function, ending, times)| Work { function, ending, times, callees: Vec::new() });
    leaf.prop_recursive(3, 12, 4, |inner| {
        (0..FUNCTIONS, ending(), prop::collection::vec(inner, 1..4))
            .prop_map(|(function, ending, callees)| Work { function, ending, times: 1, callees })
    })
}

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        4 => Just(Ending::Ok),
        4 => Just(Ending::OkWithResult),
        2 => Just(Ending::Error),
        1 => Just(Ending::Panic),
        2 => Just(Ending::AsyncOk),
        1 => Just(Ending::AsyncError),
        1 => Just(Ending::AsyncPanic),
        1 => Just(Ending::AsyncCancelled),
    ]
}
