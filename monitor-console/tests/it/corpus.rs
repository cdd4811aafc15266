//! The hostile corpus of `tests/data`, which the script there makes: stores that every command opens, and
//! captured strings. Whatever they hold, a command ends by itself with an answer or an error in words, and no
//! character of its output acts on a terminal.

use std::path::{Path, PathBuf};

use crate::fixture::{Call, Fixture, SECOND};
use crate::run::{Ran, monitor};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data");

/// Stores whose views compute without end unless they are stopped.
const ENDLESS: [&str; 2] = ["views_endless.db", "views_large.db"];

/// Returns true for characters that act on a terminal or are hidden by it.
fn is_acting(character: char) -> bool {
    let listed = ['\u{61c}', '\u{200e}', '\u{200f}', '\u{2028}', '\u{2029}', '\u{200b}', '\u{feff}'];
    (character.is_control() && !matches!(character, '\n' | '\t'))
        || listed.contains(&character)
        || ('\u{202a}'..='\u{202e}').contains(&character)
        || ('\u{2060}'..='\u{2069}').contains(&character)
        || ('\u{fff9}'..='\u{fffb}').contains(&character)
        || ('\u{e0000}'..='\u{e007f}').contains(&character)
}

#[track_caller]
fn assert_harmless(ran: &Ran, what: &str) {
    assert!(matches!(ran.code, Some(0 | 1)), "{what}: {:?} {}", ran.code, ran.err);
    for text in [&ran.out, &ran.err] {
        assert!(!text.contains(is_acting), "{what}: {text:?}");
    }
}

fn stores() -> Vec<PathBuf> {
    let stores = std::fs::read_dir(Path::new(DATA).join("stores")).unwrap();
    let mut stores: Vec<_> = stores.map(|entry| entry.unwrap().path()).collect();
    stores.sort();
    assert!(stores.len() >= 25, "{stores:?}");
    stores
}

#[test]
fn every_command_survives_every_hostile_store() {
    let commands: [&[&str]; 15] = [
        &["top"],
        &["calls"],
        &["errors"],
        &["trace", "1"],
        &["health"],
        &["sample"],
        &["breaker"],
        &["sample", "shop::*", "0.5"],
        &["breaker", "open", "--reason", "a test"],
        &["why", "*"],
        &["callers", "*"],
        &["processes"],
        &["resources"],
        &["findings"],
        &["sql", "SELECT * FROM calls LIMIT 3", "--timeout", "500ms"],
    ];
    for store in stores() {
        let name = store.file_name().unwrap().to_str().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("shop.db");
        std::fs::copy(&store, &copy).unwrap();
        for arguments in commands {
            if !ENDLESS.contains(&name) || arguments[0] == "sql" {
                assert_harmless(&monitor(&copy, arguments), &format!("{name} {arguments:?}"));
            }
        }
        assert!(!Path::new("/tmp/owned").exists(), "{name}");
    }
}

#[test]
fn no_hostile_string_acts_on_a_terminal_in_any_command() {
    let strings = std::fs::read_to_string(Path::new(DATA).join("strings.jsonl")).unwrap();
    for line in strings.lines() {
        let text: String = serde_json::from_str(line).unwrap();
        let text: &'static str = text.leak();
        let fixture = Fixture::new();
        let call = Call { args: Some(text), result: Some(text), error: Some(text), ..Call::default() };
        fixture.calls(&[Call { outcome: 1, kept: 2, ..call }]);
        fixture.error_group(1, text, 1, SECOND);
        for (table, column) in [("function", "name"), ("thread", "name"), ("process", "service")] {
            fixture.db.execute(&format!("UPDATE {table} SET {column} = ?1 WHERE id = 1"), [text]).unwrap();
        }
        let commands: [&[&str]; 6] =
            [&["calls"], &["errors"], &["trace", "1"], &["health"], &["sample"], &["breaker"]];
        for arguments in commands {
            for format in ["table", "csv", "jsonl"] {
                let ran = monitor(&fixture.path, &[arguments, &["--format", format]].concat());
                assert_harmless(&ran, &format!("{line} {arguments:?} {format}"));
                assert_eq!(ran.code, Some(0), "{line} {arguments:?} {format}: {}", ran.err);
            }
        }
    }
}
