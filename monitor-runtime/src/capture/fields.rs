//! Values with their names, for calls whose values are not known when the program is compiled.
//!
//! Takes names and values, one pair after the other; gives tokens, in which each name is a string before its value, and
//! the JSON object of such tokens. A value whose name looks secret is `"[redacted]"`. The last value of a name counts.
//! Each value has the budget of an argument. The file does not know what the names mean.

use std::error::Error;
use std::fmt::{self, Debug, Write};

use super::direct::Direct;
use super::secret::is_secret;
use super::text::Text;
use super::to_json::pairs;
use super::{Writer, errors};

/// The longest name of a value, in bytes: a longer one is cut.
const NAME_BYTES: usize = 128;

/// A writer of values with their names.
#[derive(Debug)]
pub struct Fields<'f, 'w>(&'f mut Writer<'w>);

impl<'f, 'w> Fields<'f, 'w> {
    /// Returns a writer that appends pairs to the values in `writer`.
    pub(crate) fn new(writer: &'f mut Writer<'w>) -> Self {
        Self(writer)
    }

    /// Writes a number, a text, or another value that calls no user code.
    pub fn value<T: Direct + ?Sized>(&mut self, name: &str, value: &T) {
        if self.begin(name) {
            value.capture(self.0);
        }
    }

    /// Writes a value by its `Debug`.
    pub fn debug(&mut self, name: &str, value: &dyn Debug) {
        if self.begin(name) {
            // The value's type is not known, so the cooldown after slow captures goes by the name of the value.
            self.0.user_value(name, &mut |out| out.debug(value));
        }
    }

    /// Writes the text of an error and of its sources.
    pub fn error(&mut self, name: &str, error: &(dyn Error + 'static)) {
        if self.begin(name) {
            self.0.sandboxed_value(name, &mut |out| errors::chain(error, out));
        }
    }

    /// Writes a name, and the value too if the name looks secret. Returns true if the value is still to be written.
    fn begin(&mut self, name: &str) -> bool {
        let end = (0..=NAME_BYTES.min(name.len())).rev().find(|end| name.is_char_boundary(*end));
        self.0.string(&name[..end.unwrap_or(0)]);
        let is_secret = is_secret(name);
        if is_secret {
            self.0.redacted();
        }
        !is_secret
    }
}

impl Writer<'_> {
    /// Writes the text of a failure, which `write` writes piece by piece. The text has the budget of a whole value.
    pub(crate) fn failure(&mut self, write: &mut dyn FnMut(&mut dyn Write) -> fmt::Result) {
        self.sandboxed_value("error", &mut |out| {
            let mut text = Text::open(out, usize::MAX)?;
            let outcome = write(&mut text);
            text.close_value(outcome.is_ok());
            Ok(())
        });
    }
}

/// Returns the tokens of these pairs without those values that a later one of the same name replaces.
pub(crate) fn keep_newest(tokens: &[u8]) -> Box<[u8]> {
    let mut kept: Vec<(&str, std::ops::Range<usize>)> = Vec::new();
    for (name, place, _) in pairs(tokens) {
        kept.retain(|(earlier, _)| *earlier != name);
        kept.push((name, place));
    }
    kept.into_iter().flat_map(|(_, place)| tokens[place].iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::capture::{Limits, to_json};

    fn tokens(write: impl FnOnce(&mut Fields<'_, '_>)) -> Vec<u8> {
        let limits = Limits::new(|| 0, u64::MAX);
        let mut memory = [0; 4096];
        let mut writer = Writer::new(&mut memory, &limits);
        write(&mut Fields::new(&mut writer));
        let len = writer.finish();
        memory[..len].to_vec()
    }

    struct Panics;

    impl Debug for Panics {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("no");
        }
    }

    #[test]
    fn pairs_are_an_object_in_which_the_last_value_of_a_name_counts() {
        let long = "é".repeat(100);
        let written = tokens(|fields| {
            fields.value("order", &71_u64);
            fields.value("rate", &-0.5);
            fields.value("a.b \"c\"", "text");
            fields.debug("list", &[1, 2]);
            fields.value("password", "hunter2");
            fields.debug("panics", &Panics);
            fields.value(&long, &true);
            fields.error("error", &std::io::Error::other("refused"));
            fields.value("order", &72_u64);
        });
        let expected = format!(
            "{{\"rate\":-0.5,\"a.b \\\"c\\\"\":\"text\",\"list\":\"[1, 2]\",\"password\":\"[redacted]\",\
             \"panics\":\"[panicked: panics]\",\"{}\":true,\"error\":\"refused\",\"order\":72}}",
            "é".repeat(64)
        );
        let text = to_json(&written, &[]);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let expected: serde_json::Value = serde_json::from_str(&expected).unwrap();
        for (name, value) in value.as_object().unwrap() {
            assert!(expected[name] == *value || name == "panics", "{name}: {value}");
        }
        assert_eq!(value.as_object().unwrap().len(), 8, "{text}");
        assert!(value["panics"].as_str().unwrap().contains("panicked"), "{text}");
        let shorter = keep_newest(&written);
        assert!(shorter.len() < written.len());
        assert_eq!(to_json(&shorter, &[]), text);
    }

    #[test]
    fn pairs_that_were_cut_anywhere_are_valid_json() {
        let written = tokens(|fields| {
            fields.value("order", &71_u64);
            fields.value("text", &"x".repeat(200));
            fields.debug("list", &Some("y"));
        });
        for end in 0..written.len() {
            let text = to_json(&written[..end], &[]);
            assert!(serde_json::from_str::<serde_json::Value>(&text).unwrap().is_object(), "{text}");
        }
        assert_eq!(to_json(&[], &[]), "{}");
        assert_eq!(to_json(&[0xFE, 1, 2], &[]), "{}");
    }

    #[test]
    fn the_text_of_a_failure_is_bounded_and_its_panics_are_contained() {
        let limits = Limits::new(|| 0, u64::MAX);
        let mut memory = vec![0; 16 * 1024];
        let mut writer = Writer::new(&mut memory, &limits);
        writer.failure(&mut |text| write!(text, "order {}: {:?}", 71, "refused"));
        let len = writer.finish();
        assert_eq!(crate::capture::to_text(&memory[..len]), "order 71: \"refused\"");
        let mut writer = Writer::new(&mut memory, &limits);
        writer.failure(&mut |text| (0..100_000).try_for_each(|_| text.write_str("long ")));
        writer.failure(&mut |text| write!(text, "{Panics:?}"));
        assert_eq!(writer.panics(), 1);
        let len = writer.finish();
        assert!(len < 9000, "{len}");
    }
}
