//! Simulated programs: the ladder looks at them once a second, and its rungs change what they leave.

#![allow(clippy::float_cmp, clippy::unwrap_used, reason = "tests; exact values are meant")]
use super::*;

const COSTS: Costs = Costs {
    recorded: 20.0,
    values: 20.0,
    values_bytes: 20.0,
    timed: 25.0,
    counted: 1.8,
    drained: 150.0,
    row: 600.0,
    value_byte: 1.0,
    ticks: 1.5e6,
};
const ONE_PERCENT: f64 = 1e7;
const BOUNDS: Bounds = Bounds { rows_per_s: 10_000.0, overhead: 0.01 };
/// The number of calls of a function in a tree that have rows of their own.
const FOLDED_FROM: f64 = 64.0;

/// Functions, and their calls in a tree.
type Callees = Vec<(usize, f64)>;

/// A program: roots with their trees per second, and the calls of each function in a tree.
#[derive(Debug, Clone, Default)]
struct Program {
    functions: usize,
    /// Root, trees per second, and for each callee its calls in a tree.
    trees: Vec<(usize, f64, Callees)>,
    requested: Vec<(usize, f64)>,
    /// The bytes of the values of each call.
    value_bytes: f64,
    /// The cores that the program uses.
    cores: f64,
}

impl Program {
    /// The service by which the defaults are judged: 29 functions, 100 requests and 4 200 queries a second.
    fn service() -> Self {
        let mut trees = vec![(0, 100.0, vec![(1, 1.0), (2, 42.0), (3, 2.0), (4, 1.0)])];
        trees.extend((5..29).map(|root| (root, 5.0, vec![(1, 1.0), (2, 3.0)])));
        Self { functions: 29, trees, value_bytes: 60.0, cores: 0.2, ..Self::default() }
    }

    fn add(&mut self, number: f64, callees: Callees) -> usize {
        self.trees.push((self.functions, number, callees));
        self.functions += 1;
        self.functions - 1
    }

    /// Adds a function that is called in the trees of another, and returns it.
    fn add_callee(&mut self, root: usize, calls: f64) -> usize {
        self.trees
            .iter_mut()
            .filter(|tree| tree.0 == root)
            .for_each(|tree| tree.2.push((self.functions, calls)));
        self.functions += 1;
        self.functions - 1
    }

    fn requested(&self, function: usize) -> f64 {
        self.requested.iter().find(|(of, _)| *of == function).map_or(1.0, |(_, rate)| *rate)
    }

    /// Returns the calls of a second, as far as the rungs let them leave records, and the trees.
    fn second(&self, rungs: &[Rung]) -> (Vec<Load>, Vec<Tree>) {
        let values = Values { share: f64::from(u8::from(self.value_bytes > 0.0)), bytes: self.value_bytes };
        let mut loads = vec![Load { values, ..Load::default() }; self.functions];
        let mut trees = Vec::new();
        for (root, number, callees) in &self.trees {
            let rate = self.requested(*root).min(rungs[*root].cap);
            let mut tree = Tree { root: *root, parts: Vec::new() };
            for (function, calls) in std::iter::once((*root, 1.0)).chain(callees.iter().copied()) {
                let all = number * calls;
                let load = &mut loads[function];
                load.calls += all;
                let kept = match rungs[function].depth {
                    Depth::Counted => {
                        let sampled = all * rungs[function].cap;
                        load.records += sampled;
                        load.rows += sampled;
                        load.timed += (all - sampled) / 256.0;
                        load.counted += (all - sampled) * 255.0 / 256.0;
                        continue;
                    }
                    Depth::TimedOnly if function != *root => 0.0,
                    _ => all * rate,
                };
                let rows = kept * calls.min(FOLDED_FROM + 1.0) / calls;
                load.records += kept;
                load.rows += rows;
                load.timed += all - kept;
                if kept > 0.0 {
                    tree.parts.push(TreePart { place: function, records: kept, rows, calls: all });
                }
            }
            if !tree.parts.is_empty() {
                trees.push(tree);
            }
        }
        (loads, trees)
    }
}

/// A program and its ladder.
struct Run {
    program: Program,
    rungs: Vec<Rung>,
    budget: Budget,
    costs: Costs,
    bounds: Bounds,
}

impl Run {
    fn new(program: Program) -> Self {
        let rungs = vec![Rung::default(); program.functions];
        Self { program, rungs, budget: Budget::default(), costs: COSTS, bounds: BOUNDS }
    }

    fn with_bounds(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }

    /// Runs for this many seconds. Returns the figures of the last one.
    fn seconds(&mut self, seconds: usize) -> Figures {
        let mut last = Figures::default();
        for _ in 0..seconds {
            let (loads, trees) = self.program.second(&self.rungs);
            let drained: f64 = loads
                .iter()
                .map(|load| load.total_cost(&self.costs, true) - load.caller_cost(&self.costs, true))
                .sum();
            let cpu = Cpu { process: self.program.cores * CORE, collector: 2e6 + drained, fixed: 2e6 };
            let mut places: Vec<Place<'_>> = Vec::new();
            for (function, (rung, load)) in self.rungs.iter_mut().zip(loads).enumerate() {
                places.push(Place {
                    function: function as u32,
                    rung,
                    load,
                    requested: self.program.requested(function),
                });
            }
            let kept = self.budget.keep(&mut places, trees, &self.costs, (cpu, 1.0), &self.bounds);
            last = kept.expect("memory");
        }
        last
    }

    /// Returns the functions that are lowered.
    fn lowered(&self) -> Vec<usize> {
        let is_lowered = |at: &usize| {
            let rung = &self.rungs[*at];
            rung.cap < 1.0 || rung.depth != Depth::Whole
        };
        (0..self.rungs.len()).filter(is_lowered).collect()
    }
}

#[test]
fn nothing_of_an_ordinary_service_is_lowered() {
    let mut run = Run::new(Program::service());
    let figures = run.seconds(60);
    assert!(run.lowered().is_empty(), "{:?}", run.rungs);
    assert!(figures.cost < ONE_PERCENT && figures.saved <= 0.0, "{figures:?}");
    assert!(run.rungs.iter().all(|rung| rung.reason == Reason::AsRequested));
}

#[test]
fn the_fixed_cost_of_the_recorder_lowers_nothing() {
    let mut run = Run::new(Program::service());
    // The program gets little of its processor, and the recorder's thread is busy with other work.
    run.program.cores = 0.01;
    let (loads, trees) = run.program.second(&run.rungs);
    let places =
        run.rungs.iter_mut().zip(loads).map(|(rung, load)| Place { function: 0, rung, load, requested: 1.0 });
    let cpu = Cpu { process: 1e7, collector: 5e7, fixed: 4e7 };
    let figures = run.budget.keep(&mut places.collect::<Vec<_>>(), trees, &COSTS, (cpu, 1.0), &BOUNDS);
    let figures = figures.expect("memory");
    assert!(figures.cost > 5.0 * figures.budget, "{figures:?}");
    assert!(run.lowered().is_empty());
}

#[test]
fn a_hot_function_beside_a_service_is_counted_and_nothing_else_lowered() {
    for calls in [5e6, 24e6] {
        // The function is called as a root of its own and in the trees of requests.
        for is_callee in [false, true] {
            let mut program = Program::service();
            let hot =
                if is_callee { program.add_callee(0, calls / 100.0) } else { program.add(calls, vec![]) };
            let mut run = Run::new(program);
            run.seconds(1);
            assert_eq!(run.lowered(), [hot], "{calls} {is_callee}");
            assert!(run.rungs[hot].is_counted() && run.rungs[hot].cap < 1e-4);
            // The function stays where it is, because rising would cost too much again.
            let figures = run.seconds(60);
            assert_eq!(run.lowered(), [hot], "{calls} {is_callee}");
            let (Reason::Counted(saving) | Reason::CountingAlone(saving)) = run.rungs[hot].reason else {
                panic!("{:?}", run.rungs[hot])
            };
            assert!(saving.saved > 0.8 * saving.would_cost, "{saving:?}");
            assert!((figures.saved - saving.saved).abs() < 1.0, "{figures:?}");
            let is_alone = matches!(run.rungs[hot].reason, Reason::CountingAlone(_));
            assert_eq!(is_alone, calls * COSTS.counted > ONE_PERCENT);
        }
    }
}

#[test]
fn an_n_plus_1_of_many_calls_is_folded_and_nothing_lowered() {
    let mut program = Program::service();
    let page = program.add(1.0, vec![]);
    program.add_callee(page, 20_000.0);
    let mut run = Run::new(program);
    run.seconds(60);
    assert!(run.lowered().is_empty(), "{:?}", run.rungs);
}

#[test]
fn an_n_plus_1_that_breaks_the_budget_is_only_timed_and_no_tree_lost_for_it() {
    let mut program = Program::service();
    let page = program.add(20.0, vec![]);
    let query = program.add_callee(page, 4_000.0);
    let mut run = Run::new(program);
    run.seconds(10);
    assert_eq!(run.lowered(), [query]);
    assert!(matches!(run.rungs[query].reason, Reason::TimedOnly(_)), "{:?}", run.rungs[query]);
    // The function rises again when it is called less.
    let number = run.program.trees.len() - 1;
    run.program.trees[number].1 = 0.5;
    run.seconds(40);
    assert!(run.lowered().is_empty(), "{:?}", run.rungs[query]);
}

#[test]
fn a_fan_out_over_the_budget_is_thinned_at_its_root_and_its_trees_stay_whole() {
    let mut program = Program::service();
    program.trees.remove(0);
    let handler = program.add(2_000.0, vec![]);
    let query = program.add_callee(handler, 40.0);
    let unbounded = Bounds { rows_per_s: f64::INFINITY, ..BOUNDS };
    let mut run = Run::new(program).with_bounds(unbounded);
    let figures = run.seconds(20);
    assert_eq!(run.lowered(), [handler], "{:?}", run.rungs[query]);
    assert!(figures.cost < 1.1 * ONE_PERCENT + figures.fixed, "{figures:?}");
    // 80 000 queries a second cost some nine times the budget.
    assert!((0.01..0.1).contains(&run.rungs[handler].cap), "{:?}", run.rungs[handler]);
    let Reason::Trees(saving) = run.rungs[handler].reason else { panic!("{:?}", run.rungs[handler]) };
    let share = 1.0 - run.rungs[handler].cap;
    assert!((saving.saved / saving.would_cost - share).abs() < 1e-6, "{saving:?}");
}

#[test]
fn the_rate_of_a_thinned_root_is_steady_and_rises_when_there_is_room() {
    let mut program = Program::service();
    let handler = program.add(5_000.0, vec![]);
    program.add_callee(handler, 10.0);
    let mut run = Run::new(program).with_bounds(Bounds { rows_per_s: f64::INFINITY, ..BOUNDS });
    run.seconds(10);
    let cap = run.rungs[handler].cap;
    run.seconds(50);
    assert!((run.rungs[handler].cap / cap - 1.0).abs() < 0.15, "{cap} {:?}", run.rungs[handler]);
    let number = run.program.trees.len() - 1;
    run.program.trees[number].1 = 10.0;
    run.seconds(30);
    assert!(run.lowered().is_empty(), "{:?}", run.rungs[handler]);
}

#[test]
fn a_function_with_more_rows_than_may_be_written_is_bounded_at_the_roots_of_its_trees() {
    let mut program = Program::service();
    program.trees.truncate(1);
    program.add(900.0, vec![(2, 1.0)]);
    let bounds = Bounds { rows_per_s: 1000.0, overhead: 1.0 };
    let mut run = Run::new(program).with_bounds(bounds);
    run.seconds(20);
    // The root that brings most of the queries is thinned, the other as far as it takes more than an equal share.
    assert_eq!(run.lowered(), [0, 29]);
    let queries = run.rungs[0].cap * 4200.0 + run.rungs[29].cap * 900.0;
    assert!((600.0..1000.0).contains(&queries), "{queries}");
    for root in [0, 29] {
        let Reason::Rows { function: 2, rows } = run.rungs[root].reason else {
            panic!("{:?}", run.rungs[root])
        };
        assert!((rows - 5100.0).abs() < 1.0, "{rows}");
    }
    assert_eq!((run.rungs[2].cap, run.rungs[2].depth), (1.0, Depth::Whole));
}

#[test]
fn a_process_with_much_cpu_has_a_larger_budget() {
    let mut program = Program::service();
    let handler = program.add(500.0, vec![]);
    program.add_callee(handler, 40.0);
    let unbounded = Bounds { rows_per_s: f64::INFINITY, ..BOUNDS };
    for (cores, is_lowered) in [(0.5, true), (1.0, true), (16.0, false)] {
        let mut run = Run::new(Program { cores, ..program.clone() }).with_bounds(unbounded);
        let figures = run.seconds(30);
        assert_eq!(!run.lowered().is_empty(), is_lowered, "{cores}");
        assert!((figures.budget - ONE_PERCENT * cores.max(1.0)).abs() < 1.0);
    }
}

#[test]
fn without_a_budget_nothing_is_lowered_and_what_was_rises_at_once() {
    let mut program = Program::service();
    let hot = program.add(5e6, vec![]);
    let mut run = Run::new(program);
    run.seconds(5);
    assert_eq!(run.lowered(), [hot]);
    run.bounds = Bounds::new(0, 1.0);
    let figures = run.seconds(60);
    assert!(run.lowered().is_empty() && figures.budget.is_infinite(), "{:?}", run.rungs[hot]);
    assert!(figures.saved <= 0.0);
}

#[test]
fn a_moment_over_the_budget_lowers_nothing() {
    let mut run = Run::new(Program::service());
    run.seconds(5);
    // A second of three times the usual load, as at a start or when caches are cold.
    run.program.trees[0].1 = 300.0;
    run.seconds(1);
    assert!(run.lowered().is_empty(), "{:?}", run.rungs);
    run.seconds(10);
    assert_eq!(run.lowered(), [0], "it goes on");
}

#[test]
fn no_function_is_lowered_for_less_than_a_tenth_of_the_budget() {
    let mut program = Program { cores: 1.0, ..Program::default() };
    // One function alone exceeds the budget, beside many that cost a twentieth of it each.
    let large = program.add(20_000.0, vec![]);
    for _ in 0..10 {
        program.add(400.0, vec![]);
    }
    let mut run = Run::new(program).with_bounds(Bounds { rows_per_s: f64::INFINITY, ..BOUNDS });
    let figures = run.seconds(30);
    assert_eq!(run.lowered(), [large]);
    assert!(figures.cost - figures.fixed < 1.1 * ONE_PERCENT, "{figures:?}");
}

#[test]
fn many_functions_that_cost_little_each_give_way_together() {
    let mut program = Program { cores: 1.0, ..Program::default() };
    for _ in 0..100 {
        program.add(900.0, vec![]);
    }
    let mut run = Run::new(program);
    let figures = run.seconds(30);
    assert_eq!(run.lowered().len(), 100);
    assert!(figures.cost - figures.fixed < 1.1 * ONE_PERCENT, "{figures:?}");
}

#[test]
fn many_hot_functions_sink_by_what_that_saves_until_the_rest_fits() {
    let mut program = Program { cores: 1.0, ..Program::default() };
    for at in 0..40 {
        program.add(f64::from(at) * 5_000.0, vec![]);
    }
    let mut run = Run::new(program);
    let figures = run.seconds(60);
    let counted: Vec<bool> = run.rungs.iter().map(Rung::is_counted).collect();
    let first = counted.iter().position(|is_counted| *is_counted).unwrap();
    assert!(first > 3 && counted[first..].iter().all(|is_counted| *is_counted), "{counted:?}");
    let counting = (0..40).map(|at| f64::from(at) * 5_000.0 * COSTS.counted).sum::<f64>();
    assert!(figures.cost < figures.fixed + counting + 1.2 * ONE_PERCENT, "{figures:?}");
}

#[test]
fn a_function_that_has_become_quiet_rises_again() {
    let mut program = Program::service();
    let hot = program.add(4e6, vec![]);
    let mut run = Run::new(program);
    run.seconds(5);
    assert!(run.rungs[hot].is_counted());
    let number = run.program.trees.len() - 1;
    run.program.trees[number].1 = 10.0;
    run.seconds(60);
    assert_eq!(run.lowered(), Vec::<usize>::new(), "{:?}", run.rungs[hot]);
    assert_eq!(run.rungs[hot].reason, Reason::AsRequested);
}

#[test]
fn captures_of_calls_without_rows_end_where_they_cost_a_twentieth_of_the_budget() {
    let mut program = Program { value_bytes: 400.0, ..Program::default() };
    // Calls that are timed because their rate is low: 400 bytes cost 400 ns a call.
    let sampled = program.add(5_000.0, vec![]);
    program.requested.push((sampled, 0.01));
    let mut run = Run::new(program);
    run.seconds(10);
    assert!(run.lowered().is_empty() && !run.rungs[sampled].captures);
    let number = run.program.trees.len() - 1;
    run.program.trees[number].1 = 500.0;
    run.seconds(10);
    assert!(run.rungs[sampled].captures);
}

#[test]
fn a_requested_rate_is_never_exceeded_and_not_called_lowered() {
    let mut program = Program::service();
    let handler = program.add(1000.0, vec![]);
    program.add_callee(handler, 40.0);
    program.requested.push((handler, 0.01));
    let mut run = Run::new(program);
    let figures = run.seconds(30);
    assert!(run.lowered().is_empty() && figures.saved <= 0.0, "{figures:?}");
    run.program.requested.clear();
    run.seconds(30);
    assert!(run.lowered().contains(&handler));
}
