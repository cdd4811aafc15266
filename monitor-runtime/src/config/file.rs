//! The settings file: TOML in, one text per key out, in the form in which the environment would hold
//! it, so that both are read by the same parsers. A value that cannot be used is left out, with a warning.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::interpolate::{expand, quote_bare};
use super::parse::shown;
use super::setting::KEYS;
use super::{Surroundings, Warning};
use crate::limits;

/// The texts that a file gives, by key.
pub(super) type Texts = BTreeMap<String, String>;

/// Reads the file at this path.
pub(super) fn read(path: &Path, surroundings: &Surroundings<'_>, warnings: &mut Vec<Warning>) -> Texts {
    match read_bounded(path) {
        Ok(text) => parse(&text, &path.display().to_string(), surroundings, warnings),
        Err(reason) => {
            let subject = super::setting::CONFIG;
            let path = shown(&path.display().to_string());
            warnings.push(Warning::new(
                subject,
                format!("the file \"{path}\" {reason}; allowed is a readable TOML file; going on without it"),
            ));
            Texts::new()
        }
    }
}

fn read_bounded(path: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    // Asked before opening: opening a FIFO would wait for its writer.
    if !std::fs::metadata(path).map_err(cannot)?.is_file() {
        return Err("is not a regular file".into());
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(limits::CONFIG_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > limits::CONFIG_FILE_BYTES_MAX {
        return Err(format!("is larger than {}", super::format_bytes(limits::CONFIG_FILE_BYTES_MAX)));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8".into())
}

/// Reads the text of a file; `name` is what warnings call it.
fn parse(text: &str, name: &str, surroundings: &Surroundings<'_>, warnings: &mut Vec<Warning>) -> Texts {
    let table: BTreeMap<String, Value> = match basic_toml::from_str(&quote_bare(text)) {
        Ok(table) => table,
        Err(error) => {
            let reason = shown(&error.to_string());
            warnings.push(Warning::new(name, format!("is not valid TOML: {reason}; going on without it")));
            return Texts::new();
        }
    };
    let variable = |name: &str| surroundings.filled(name)?.into_string().ok();
    let mut texts = Texts::new();
    for (key, value) in &table {
        match text_of(key, value, &variable) {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => {
                texts.insert(key.clone(), text);
            }
            Err(reason) => {
                warnings.push(Warning::new(format!("{name}: {}", shown(key)), format!("{reason}; ignored")));
            }
        }
    }
    texts
}

fn text_of(key: &str, value: &Value, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    if !KEYS.contains(&key) {
        return Err(format!("is no setting; allowed are {}", KEYS.join(", ")));
    }
    match value {
        Value::Text(text) => expand(text, variable).map_err(|reason| format!("\"{}\" {reason}", shown(text))),
        Value::Word(word) => Ok(word.clone()),
        Value::Other => Err("is not a text, number or truth value".into()),
    }
}

/// A value in the file.
enum Value {
    Text(String),
    /// A number or a truth value, as the environment would hold it.
    Word(String),
    Other,
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_bool<E: Error>(self, switch: bool) -> Result<Value, E> {
        Ok(Value::Word(switch.to_string()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Word(number.to_string()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        // With its point: what has to be whole is refused.
        Ok(Value::Word(format!("{number:?}")))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::ffi::OsString;

    fn parsed(text: &str) -> (Texts, Vec<String>) {
        let variable = |name: &str| (name == "RATE").then(|| OsString::from("77"));
        let surroundings = Surroundings { variable: &variable, executable: None };
        let mut warnings = Vec::new();
        let texts = parse(text, "m.toml", &surroundings, &mut warnings);
        (texts, warnings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn numbers_truth_values_and_texts_become_what_the_environment_would_hold() {
        let (texts, warnings) =
            parsed("max_rate = 500\nmonitor = false\nsample = 0.25\ndb = \"x\"\nservice = ''");
        assert_eq!(warnings, Vec::<String>::new());
        let expected = [("db", "x"), ("max_rate", "500"), ("monitor", "false"), ("sample", "0.25")];
        assert!(texts.iter().map(|(key, text)| (key.as_str(), text.as_str())).eq(expected), "{texts:?}");
    }

    #[test]
    fn references_are_expanded_inside_and_outside_of_strings() {
        let (texts, warnings) = parsed("max_rate = ${RATE:5}\nbatch = \"${NONE:10}0\"");
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(texts["max_rate"], "77");
        assert_eq!(texts["batch"], "100");
    }

    #[test]
    fn an_unknown_key_is_named_with_what_is_allowed() {
        let (texts, warnings) = parsed("sampel = 1\n[table]\nx = 1");
        assert!(texts.is_empty());
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].contains("sampel") && warnings[0].contains("drain_interval"), "{warnings:?}");
    }

    #[test]
    fn one_bad_reference_costs_its_own_key_only() {
        let (texts, warnings) = parsed("db = \"${NONE}/x\"\nmax_rate = 5");
        assert_eq!(texts.len(), 1);
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("db") && warnings[0].contains("NONE"), "{warnings:?}");
    }

    #[test]
    fn broken_toml_is_one_warning_on_one_line() {
        let (texts, warnings) = parsed("= = =\n\n;;");
        assert!(texts.is_empty());
        assert_eq!(warnings.len(), 1);
        assert!(!warnings[0].contains('\n'));
    }

    #[test]
    fn files_that_cannot_be_read_are_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        let large = folder.path().join("large.toml");
        let size = usize::try_from(limits::CONFIG_FILE_BYTES_MAX).unwrap();
        std::fs::write(&large, vec![b'#'; size + 1]).unwrap();
        let binary = folder.path().join("binary.toml");
        std::fs::write(&binary, [0xff, 0xfe]).unwrap();
        let none = |_: &str| None;
        let surroundings = Surroundings { variable: &none, executable: None };
        let missing = folder.path().join("missing.toml");
        for (path, reason) in [
            (missing.as_path(), "cannot be read"),
            (folder.path(), "not a regular file"),
            (&large, "larger than 256KiB"),
            (&binary, "not UTF-8"),
        ] {
            let mut warnings = Vec::new();
            assert!(read(path, &surroundings, &mut warnings).is_empty());
            assert_eq!(warnings.len(), 1);
            let warning = warnings[0].to_string();
            assert!(warning.contains("MONITOR_CONFIG") && warning.contains(reason), "{warning}");
        }
    }
}
