//! A logger that is wrapped: its output is what it is without us.

use crate::program::Stage;

/// Returns what the wrapped logger wrote.
fn output(stage: &Stage, wraps: &str) -> Vec<String> {
    let output = stage.command("wrapped").env("WRAPS", wraps).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let is_output = |line: &&str| ["[", "enabled", "flushed"].iter().any(|start| line.starts_with(start));
    lines.lines().filter(is_output).map(str::to_owned).collect()
}

#[test]
fn a_wrapped_logger_writes_what_it_writes_alone() {
    let alone = output(&Stage::new(), "no");
    assert_eq!(alone.len(), 4 + 2, "{alone:?}");
    let stage = Stage::new();
    assert_eq!(output(&stage, "all"), alone);
    let stored = "SELECT target || ' ' || body FROM logs ORDER BY log_id";
    let both = ["loud of level error", "loud of level warn", "quiet of level error", "quiet of level warn"];
    assert_eq!(stage.column::<String>(stored), both);
}

#[test]
fn a_wrapped_logger_gets_nothing_beyond_the_level_that_is_named() {
    let stage = Stage::new();
    let written = output(&stage, "error");
    assert_eq!(written, ["[ERROR loud] of level error", "enabled false", "flushed"]);
    assert_eq!(stage.value::<i64>("SELECT count(*) FROM logs"), 4);
}

#[test]
fn a_wrapped_logger_goes_on_where_recording_is_off() {
    let stage = Stage::new();
    let alone = output(&stage, "no");
    let mut command = stage.command("wrapped");
    let off = command.env("WRAPS", "all").env("MONITOR", "off").output().unwrap();
    assert!(off.status.success(), "{off:?}");
    let text = String::from_utf8(off.stdout).unwrap();
    assert!(alone.iter().all(|line| text.contains(line.as_str())), "{text}");
}
