//! The lines that programs have said, as their stores hold them.

use std::io::{BufRead as _, BufReader};

use crate::children::{FLOOD_LINES, FLOOD_THREADS};
use crate::program::{Stage, wait_for};

#[test]
fn lines_name_their_call_and_keep_the_order_of_their_thread() {
    let stage = Stage::new();
    stage.run("orders");
    let lines =
        "SELECT level || ' ' || coalesce(substr(function, -6), '-') || ' ' || body FROM logs ORDER BY log_id";
    let of_order = |order| {
        let attempts =
            (1..=3).map(move |attempt| format!("warn charge attempt {attempt} of order {order} failed"));
        attempts.chain([format!("error charge order {order} is given up")]).collect::<Vec<_>>()
    };
    // Order 73 has a thread of its own, whose lines may lie between those of the other.
    let all = stage.column::<String>(lines).into_iter();
    let (of_thread, mut said): (Vec<_>, Vec<_>) = all.partition(|line| line.contains("order 73 "));
    assert_eq!(of_thread, of_order(73));
    let main = ["warn - outside of calls".to_owned()];
    let ship = said.pop().unwrap();
    assert!(ship.ends_with("ship order 71 ships late") && ship.starts_with("warn "), "{ship}");
    assert_eq!(said, [&main[..], &of_order(71), &of_order(72)].concat());
    let named = "SELECT count(*) FROM logs l JOIN calls c ON c.call_id = l.call_id
                 WHERE c.span_id = l.span_id AND c.trace_id = l.trace_id AND c.function = l.function
                   AND l.at_ns BETWEEN c.start_ns AND c.start_ns + c.duration_ns";
    assert_eq!(stage.value::<i64>(named), 13);
    let fields = "SELECT DISTINCT fields FROM logs WHERE fields IS NOT NULL AND body LIKE 'attempt 2%'";
    assert_eq!(
        stage.column::<String>(fields),
        [r#"{"attempt":2,"peer":"127.0.0.1","amount":9.5,"card_token":"[redacted]"}"#]
    );
    let places =
        "SELECT DISTINCT target || ' ' || (line > 0) FROM logs WHERE file LIKE '%children.rs' ORDER BY 1";
    assert_eq!(stage.column::<String>(places), ["it::children 1", "payments 1"]);
}

#[test]
fn the_level_of_the_logger_decides_what_is_stored() {
    let stage = Stage::new();
    stage.run("levels");
    let bodies = stage.column::<String>("SELECT body FROM logs ORDER BY log_id");
    assert_eq!(bodies, ["of level error", "of level warn", "of level info"]);
}

#[test]
fn secrets_are_masked_in_bodies_and_fields() {
    let stage = Stage::new();
    stage.run("secrets");
    let lines =
        stage.column::<String>("SELECT body || coalesce(' ' || fields, '') FROM logs ORDER BY log_id");
    let expected = [
        "refused the token [redacted] twice",
        "sent Authorization: [redacted]",
        "x-api-key: [redacted]",
        r#"connects {"password":"[redacted]","url":"postgres://ada:[redacted]@db/shop","nested":"Nested { api_key: \"[redacted]\" }"}"#,
    ];
    assert_eq!(lines, expected);
}

#[test]
fn errors_are_stored_with_their_sources_and_pairs_without_a_value_as_null() {
    let stage = Stage::new();
    stage.run("errors");
    let lines = stage.column::<String>("SELECT body || ' ' || fields FROM logs ORDER BY log_id");
    let refused = "order refused: invalid digit found in string";
    let expected = [
        format!(r#"captured {{"err":"{refused}"}}"#),
        r#"boxed {"err":"disk full"}"#.to_owned(),
        format!(r#"borrowed {{"err":"{refused}","token":"[redacted]"}}"#),
        r#"displayed {"err":"order refused"}"#.to_owned(),
        r#"optional {"size":null,"left":3}"#.to_owned(),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn hostile_texts_are_stored_within_bounds_and_harm_nobody() {
    let stage = Stage::new();
    stage.run("hostile");
    let bodies =
        stage.column::<String>("SELECT body FROM logs WHERE target = 'it::children' ORDER BY log_id");
    assert_eq!(bodies[0], "\u{1b}[31mred\u{1b}[0m\r\nsecond\tline\u{0}\u{202e}");
    assert!(bodies[1].starts_with("öö") && bodies[1].ends_with("truncated]"), "{}", bodies[1]);
    assert_eq!(bodies[2..5], ["before the failure", "before the panic", "around"]);
    let longest = stage.value::<i64>("SELECT max(octet_length(body)) FROM logs");
    assert!(longest <= 1100, "{longest}");
    assert_eq!(stage.value::<i64>("SELECT max(octet_length(target)) FROM logs"), 256);
    assert_eq!(stage.value::<i64>("SELECT min(json_valid(fields)) FROM logs WHERE fields IS NOT NULL"), 1);
    assert_eq!(
        stage.value::<i64>(
            "SELECT json_extract(fields, '$.\"a \\\"b\\\"\n\"') FROM logs WHERE fields IS NOT NULL"
        ),
        1
    );
    // The line that a Display said, and those of the call that it made.
    let dropped = stage.value::<i64>("SELECT dropped_logs FROM health");
    let made = "SELECT sum(lines) FROM logs WHERE target LIKE 'made::%' OR target = 'other places'";
    assert_eq!(stage.value::<i64>(made) + dropped, 10_000 + 5);
    assert!(stage.value::<i64>("SELECT count(*) FROM log_target") <= 4096 + 10);
    assert!(stage.value::<i64>("SELECT sum(lines) FROM logs WHERE target = 'other places'") > 0);
}

#[test]
fn of_a_million_lines_each_has_a_row_or_is_counted() {
    let stage = Stage::new();
    stage.run("flood");
    let said = stage.value::<i64>("SELECT sum(lines) FROM logs");
    let dropped = stage.value::<i64>("SELECT dropped_logs FROM health");
    let rows = stage.value::<i64>("SELECT count(*) FROM logs");
    assert_eq!(
        (said + dropped).cast_unsigned(),
        FLOOD_THREADS * FLOOD_LINES,
        "{said} said, {dropped} dropped"
    );
    assert!(rows > 100 && said > rows, "{rows} rows for {said} lines");
    // Within a thread the numbers rise, but for errors that found their ring full and went past it.
    for thread in 0..FLOOD_THREADS {
        let numbers = stage.column::<i64>(&format!(
            "SELECT CAST(substr(body, 3) AS INTEGER) FROM logs
             WHERE body LIKE '{thread} %' AND level <> 'error' ORDER BY log_id"
        ));
        let falls = numbers.windows(2).find(|pair| pair[1] <= pair[0]);
        assert!(!numbers.is_empty() && falls.is_none(), "thread {thread}: {falls:?}");
    }
}

#[test]
fn lines_survive_a_kill_and_name_their_calls() {
    let stage = Stage::new();
    for _ in 0..5 {
        let mut program = stage.start("killed");
        let lines = BufReader::new(program.stdout.take().unwrap()).lines();
        let mut last = None;
        for line in lines.map_while(Result::ok) {
            let number = line.strip_prefix("said ").and_then(|number| number.parse::<u64>().ok());
            last = number.or(last);
            if last == Some(300) {
                program.kill().unwrap();
            }
        }
        program.wait().unwrap();
        let last = last.unwrap();
        let process = stage.latest_process_after_recovery();
        let numbers = stage.column::<i64>(&format!(
            "SELECT CAST(substr(body, 6) AS INTEGER) FROM logs WHERE process_id = {process} ORDER BY log_id"
        ));
        assert!(numbers.len() as u64 > last, "{} of {last} lines", numbers.len());
        let first_missing = (0..).zip(&numbers).find(|(at, number)| at != *number);
        assert_eq!(first_missing, None);
        let named = stage.value::<i64>(&format!(
            "SELECT count(*) FROM logs l JOIN calls c ON c.call_id = l.call_id
             WHERE l.process_id = {process} AND c.span_id = l.span_id AND c.function LIKE '%say_number'"
        ));
        // The last call may have been under way.
        assert!(named.cast_unsigned() >= last, "{named} of {last} lines name their call");
    }
}

#[test]
fn lines_that_wait_to_share_a_row_survive_a_kill() {
    let stage = Stage::new();
    let mut program = stage.start("killed_within_a_second");
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "said 5000"));
    program.kill().unwrap();
    program.wait().unwrap();
    let process = stage.latest_process_after_recovery();
    let said = format!("SELECT sum(lines) FROM logs WHERE process_id = {process}");
    assert_eq!(stage.value::<i64>(&said), 5000);
    let rows = stage.value::<i64>("SELECT count(*) FROM logs");
    assert!((100..5000).contains(&rows), "{rows} rows");
    // A second recovery finds nothing.
    stage.recover();
    assert_eq!(stage.value::<i64>(&said), 5000);
}

impl Stage {
    /// Brings what the last program has left into the store. Returns the program's id in the store.
    fn latest_process_after_recovery(&self) -> i64 {
        self.recover();
        let ending = "SELECT ending FROM processes ORDER BY process_id DESC LIMIT 1";
        wait_for("the end of the killed program", || self.value::<String>(ending) == "crash");
        self.value("SELECT max(process_id) FROM processes")
    }
}
