//! Resolves settings from files and environments of any content.

use std::cell::RefCell;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use monitor_runtime::config::{Settings, Surroundings, parse_duration};
use monitor_runtime::limits;
use monitor_runtime::sampling::{Pattern, Rules};

use crate::input::Input;

/// Pieces that settings are made of.
const PIECES: [&str; 36] = [
    "db",
    "sample",
    "retention",
    "max_disk",
    "max_memory",
    "max_rate",
    "max_overhead",
    "capture",
    "drain_interval",
    "batch",
    "service",
    "enabled",
    " = ",
    "\n",
    "\"",
    "'",
    "${",
    "}",
    ":",
    "HOME",
    "6h",
    "10ms",
    "512MiB",
    "1%",
    "0.5",
    "-1",
    "1e309",
    "99999999999999999999",
    "all",
    "shop::*=0.1",
    ",",
    "**",
    "[",
    "]",
    "# ",
    "true",
];
/// The longest warning: it is one line that a person reads.
const LINE_MAX: usize = 4096;

/// Resolves settings from a file and an environment of any content.
pub fn settings(bytes: &[u8]) {
    let mut input = Input(bytes);
    let file = tempfile::NamedTempFile::new().expect("a file for settings");
    std::fs::write(file.path(), document(&mut input)).expect("settings are written");
    let input = RefCell::new(input);
    let variable = |name: &str| match name {
        "MONITOR_CONFIG" => Some(file.path().into()),
        _ if input.borrow_mut().below(3) == 0 => Some(value(&mut input.borrow_mut())),
        _ => None,
    };
    let (settings, warnings) =
        Settings::resolve(None, &Surroundings { variable: &variable, executable: None });
    for warning in warnings {
        let line = warning.to_string();
        assert!(line.len() <= LINE_MAX && !line.chars().any(char::is_control), "{line:?}");
    }
    assert!(settings.retention >= limits::RETENTION_MIN && settings.retention <= limits::RETENTION_MAX);
    assert!(settings.max_disk_bytes >= limits::MAX_DISK_BYTES_MIN);
    assert!(settings.max_memory_bytes >= limits::MAX_MEMORY_BYTES_MIN);
    assert!(settings.max_overhead > 0.0 && settings.max_overhead <= 1.0);
    let interval = settings.drain_interval;
    assert!(interval >= limits::DRAIN_INTERVAL_MIN && interval <= limits::DRAIN_INTERVAL_MAX);
    assert!((1..=limits::BATCH_ROWS_MAX).contains(&settings.batch_rows));
}

fn document(input: &mut Input<'_>) -> Vec<u8> {
    let mut document = Vec::new();
    for _ in 0..input.byte() {
        match input.below(PIECES.len() + 4) {
            raw if raw >= PIECES.len() => document.extend(input.text().into_bytes()),
            piece => document.extend(PIECES[piece].bytes()),
        }
    }
    document
}

fn value(input: &mut Input<'_>) -> OsString {
    if input.below(4) == 0 {
        let length = input.below(64);
        return OsString::from_vec(input.bytes(length).to_vec());
    }
    let pieces = (0..input.below(5)).map(|_| PIECES[input.below(PIECES.len())]);
    pieces.collect::<String>().into()
}

/// Parses rates, patterns and durations, and matches what was parsed.
pub fn rates(bytes: &[u8]) {
    let mut input = Input(bytes);
    let mut text = String::new();
    for _ in 0..input.below(24) {
        match input.below(8) {
            0 => text.push_str(&input.text()),
            1 => text.push('='),
            2 => text.push(','),
            3 => text.push('*'),
            4 => text.push_str("::"),
            _ => text.push_str(["shop", "0.5", "1", "0", "a", "NaN"][input.below(6)]),
        }
    }
    if let Ok(rules) = Rules::parse(&text) {
        let rate = rules.rate("shop::orders::a");
        assert!(rate.is_none_or(|rate| (0.0..=1.0).contains(&rate)), "{text:?}: {rate:?}");
        assert!(rules.iter().all(|(_, rate)| (0.0..=1.0).contains(&rate)), "{text:?}");
    }
    if let Ok(pattern) = Pattern::new(&text) {
        // Many stars must not take forever.
        let name = "shop::a".repeat(64);
        let _ = pattern.matches(&name);
    }
    let _ = parse_duration(&text);
}
