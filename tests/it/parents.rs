//! Asserts which call is the parent of which, and that trees are whole.

use crate::victim::Stage;

/// Returns a line for each call: its function, `<`, and its parent's function.
fn links(stage: &Stage) -> Vec<String> {
    stage.store().all(
        "SELECT c.function || ' < ' || COALESCE(p.function, '-') FROM calls c
         LEFT JOIN calls p ON p.span_id = c.parent_id ORDER BY 1",
    )
}

#[test]
fn synchronous_calls_form_trees() {
    let stage = Stage::new();
    stage.run("tree", 10);
    let links = links(&stage);
    assert_eq!(links.len(), 40);
    for (link, count) in [
        ("victim::leaf < victim::branch", 20),
        ("victim::branch < victim::root", 10),
        ("victim::root < -", 10),
    ] {
        assert_eq!(links.iter().filter(|other| *other == link).count(), count, "{link}");
    }
    let store = stage.store();
    assert_eq!(store.one::<i64>("SELECT COUNT(DISTINCT trace_id) FROM calls"), 10);
    let roots: i64 = store.one("SELECT COUNT(*) FROM calls WHERE parent_id IS NULL AND trace_id = span_id");
    assert_eq!(roots, 10);
}

#[test]
fn a_context_carries_the_parent_to_another_thread() {
    let stage = Stage::new();
    stage.run("context", 0);
    assert_eq!(
        links(&stage),
        [
            "victim::branch < -",
            "victim::context::outer < -",
            "victim::leaf < victim::branch",
            "victim::leaf < victim::branch",
            "victim::leaf < victim::context::outer",
        ]
    );
}

#[test]
fn calls_in_tasks_belong_to_the_call_that_made_them() {
    let stage = Stage::new();
    stage.run("spawned", 0);
    assert_eq!(
        links(&stage),
        [
            "victim::waiting::fetch < victim::waiting::starts_tasks",
            "victim::waiting::fetch < victim::waiting::starts_tasks",
            "victim::waiting::starts_tasks < -",
        ]
    );
}

#[test]
fn concurrent_tasks_do_not_mix_up_their_parents() {
    let stage = Stage::new();
    stage.run("tasks", 500);
    let links = links(&stage);
    let count = |link: &str| links.iter().filter(|other| *other == link).count();
    assert_eq!(count("victim::waiting::fetch < victim::waiting::serve"), 1000);
    assert_eq!(count("victim::waiting::serve < -"), 500);
    let store = stage.store();
    let odd: i64 =
        store.one("SELECT COUNT(*) FROM (SELECT trace_id FROM calls GROUP BY trace_id HAVING COUNT(*) <> 3)");
    assert_eq!(odd, 0);
}

#[test]
fn the_failures_of_four_layers_are_joined_at_any_rate() {
    for (rate, rows) in [("1", 4 * 30), ("0", 4 * 10), ("0.2,victim::layers::load=0", 4 * 10)] {
        let stage = Stage::new().with_variable("MONITOR_SAMPLE", rate);
        assert_eq!(stage.run("layers", 30), "10\n");
        let store = stage.store();
        let calls: i64 = store.one("SELECT COUNT(*) FROM calls");
        assert!(if rate.contains(',') { calls >= rows } else { calls == rows }, "{rate}: {calls}");
        let ways: Vec<String> = store.all(
            "SELECT q.function || ' < ' || l.function || ' < ' || f.function || ' < ' || h.function
                    || ' ' || q.args || ' ' || l.args || ' ' || f.args || ' ' || h.args
             FROM calls q
             JOIN calls l ON l.span_id = q.parent_id AND l.trace_id = q.trace_id
             JOIN calls f ON f.span_id = l.parent_id AND f.trace_id = q.trace_id
             JOIN calls h ON h.span_id = f.parent_id AND h.span_id = q.trace_id AND h.parent_id IS NULL
             WHERE q.outcome = 'error' AND l.outcome = 'error' AND f.outcome = 'error' AND h.outcome = 'error'
             ORDER BY q.start_ns",
        );
        let expected: Vec<String> = (0..30)
            .step_by(3)
            .map(|order| {
                let names =
                    ["query", "load", "fetch", "handle"].map(|name| format!("victim::layers::{name}"));
                format!("{} {}", names.join(" < "), [format!(r#"{{"order":{order}}}"#).as_str(); 4].join(" "))
            })
            .collect();
        assert_eq!(ways, expected, "{rate}");
        assert_eq!(store.one::<i64>("SELECT SUM(calls) FROM functions"), 4 * 30);
    }
}

#[test]
fn what_the_destructors_of_a_dropped_future_call_belongs_to_its_call() {
    let stage = Stage::new();
    stage.run("destructors", 0);
    let links = links(&stage);
    // The task may be aborted before its first poll, and then holds its argument alone.
    let of_task = links.len() - 13;
    assert!(of_task == 2 || of_task == 5, "{links:?}");
    let count = |link: &str| links.iter().filter(|other| *other == link).count();
    assert_eq!(count("victim::drops < -"), 1);
    assert_eq!(count("victim::holds < -"), 4);
    let polled = if of_task == 5 { 3 } else { 2 };
    assert_eq!(count("victim::holds_more < victim::holds"), polled);
    assert_eq!(count("victim::release < victim::holds_more"), polled);
    assert_eq!(count("victim::release < victim::holds"), 4 + polled);
    let store = stage.store();
    let outcomes: i64 = store
        .one("SELECT COUNT(*) FROM calls WHERE function LIKE 'victim::holds%' AND outcome <> 'cancelled'");
    assert_eq!(outcomes, 0);
}

#[test]
fn a_job_or_task_on_the_thread_of_a_call_that_waits_can_be_kept_apart() {
    let stage = Stage::new();
    stage.run("stealing", 0);
    let mut links: Vec<String> = stage.store().all(
        "SELECT json_extract(c.args, '$.by') || ' < ' || COALESCE(p.function, '-') FROM calls c
         LEFT JOIN calls p ON p.span_id = c.parent_id WHERE c.function = 'victim::stolen'
         UNION ALL
         SELECT c.function || ' < ' || COALESCE(p.function, '-') FROM calls c
         LEFT JOIN calls p ON p.span_id = c.parent_id WHERE c.function LIKE '%fetch'",
    );
    links.sort();
    assert_eq!(
        links,
        [
            "bare job < victim::waits_for_job",
            "bare task < victim::waits_for_task",
            "carried job < -",
            "root job < -",
            "root task < -",
            // A monitored task has its own parent, whoever polls it.
            "victim::waiting::fetch < -",
        ]
    );
}

/// Calls of coroutines that take turns on one thread are counted exactly, their failures have their own texts, and none of them
/// has a parent that it is not below. A thread cannot know that its stacks interleave before the first call that shows it: until
/// then, in the first round, a call may have a suspended one as its parent.
#[test]
fn calls_of_coroutines_that_take_turns_have_no_false_parent() {
    const ROUNDS: i64 = 200;
    let stage = Stage::new().with_variable("MONITOR_MAX_MEMORY", "64MiB");
    stage.run("coroutines", ROUNDS as u64);
    let store = stage.store();
    let calls = |function: &str| -> i64 {
        store.one(&format!("SELECT calls FROM functions WHERE function LIKE '%::coroutines::{function}'"))
    };
    let expected = [("outer", 4), ("inner", 4), ("fails", 4), ("between", 17), ("ordinary", 1)];
    for (function, each) in expected {
        assert_eq!(calls(function), each * ROUNDS, "{function}");
    }
    assert_eq!(store.one::<i64>("SELECT SUM(dropped) FROM functions"), 0, "the thread is recorded on");
    assert_eq!(store.one::<i64>("SELECT COUNT(*) FROM calls"), 30 * ROUNDS);
    assert_eq!(store.one::<i64>("SELECT COUNT(DISTINCT error) FROM errors"), 4 * ROUNDS);
    let links = links(&stage);
    let count = |matches: &dyn Fn(&str) -> bool| -> i64 {
        links.iter().filter(|link| matches(link)).map(|_| 1).sum()
    };
    let below_ordinary = count(&|link| link == "victim::coroutines::between < victim::coroutines::ordinary");
    assert_eq!(below_ordinary, ROUNDS, "threads without coroutines have their trees");
    let with_parent = count(&|link| !link.ends_with(" < -"));
    assert!(
        with_parent - below_ordinary <= 28,
        "{} calls may have a false parent",
        with_parent - below_ordinary
    );
}
