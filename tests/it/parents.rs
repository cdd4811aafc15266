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
