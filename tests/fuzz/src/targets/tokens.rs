//! Reads captured tokens. A ring file may hold any bytes in their place.

use monitor_runtime::capture::{to_json, to_json_value, to_text};

use super::assert_json;
use crate::input::Input;

const NAMES: [&str; 4] = ["first", "second \"quoted\"", "password", ""];

/// Makes JSON and text of any bytes.
pub fn tokens(bytes: &[u8]) {
    let mut input = Input(bytes);
    let names = &NAMES[..input.below(NAMES.len() + 1)];
    let rest = input.0;
    let args = to_json(rest, names);
    assert_json(&args);
    assert_json(&to_json_value(rest));
    let text = to_text(rest);
    // A byte becomes at most a six-byte escape, and the text for something left out has a length of its own.
    let most = 64 * (rest.len() + 8) + 256 * names.len();
    assert!(args.len() <= most && text.len() <= most, "{} and {} of {}", args.len(), text.len(), rest.len());
}
