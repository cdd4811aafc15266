//! The settings file. Takes TOML; gives one text per key, in the form in which the environment would hold it,
//! so that the same parsers read both. A value that cannot be used is left out, with a warning.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

use super::errors::Warning;
use super::interpolate::{expand, quote_bare};
use super::parse::{format_bytes, quote_value};
use super::surroundings::Surroundings;
use super::table;
use crate::limits;
use crate::platform::file_system::ask_without_waiting;
use crate::platform::thread::Waiting;
use crate::units::format_short_duration;

/// The variable that names the settings file.
pub(super) const VARIABLE: &str = "MONITOR_CONFIG";

/// The section of the settings file that only the command `monitor` reads.
const CONSOLE_SECTION: &str = "findings";

/// The texts in a settings file, by key.
pub(super) type Texts = BTreeMap<String, String>;

/// Reads the file at this path, and warns if that fails.
pub(super) fn read(path: &Path, surroundings: &Surroundings<'_>, warnings: &mut Vec<Warning>) -> Texts {
    match read_bounded(path) {
        Ok(text) => parse(&text, &path.display().to_string(), surroundings, warnings),
        Err(reason) => {
            let path = quote_value(&path.display().to_string());
            warnings.push(Warning::new(
                VARIABLE,
                format!("the file \"{path}\" {reason}; allowed is a readable TOML file; going on without it"),
            ));
            Texts::new()
        }
    }
}

impl Warning {
    /// Returns true for a warning of [`read`] after which the text of `key` is unknown: the file at `path` could not be
    /// used at all, or its text of the key could not.
    pub(super) fn concerns(&self, path: &Path, key: &str) -> bool {
        let name = path.display().to_string();
        self.subject == VARIABLE || self.subject == name || self.subject == format!("{name}: {key}")
    }
}

/// Runs checks and reads of settings files on threads of their own. While one of them hangs, no other is begun.
pub(super) static READING: Waiting = Waiting::new();

/// Reads the file on a thread of its own, because a mount may not answer, and a special file of the system may wait for
/// data that is still to come.
fn read_bounded(path: &Path) -> Result<String, String> {
    let owned = path.to_owned();
    let read = READING.run_with_limit(limits::CONFIG_FILE_WAIT_MAX, move || read_all(&owned));
    let limit_ns = limits::CONFIG_FILE_WAIT_MAX.as_nanos() as f64;
    read.unwrap_or_else(|| Err(format!("was not read within {}", format_short_duration(limit_ns))))
}

fn read_all(path: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    // The kind is checked before the file is opened, because opening a FIFO would wait for its writer.
    if !std::fs::metadata(path).map_err(cannot)?.is_file() {
        return Err("is not a regular file".into());
    }
    let mut bytes = Vec::new();
    // Opened in this way, a file that has no data at the moment gives an error instead of waiting.
    let file = ask_without_waiting(std::fs::OpenOptions::new().read(true)).open(path).map_err(cannot)?;
    file.take(limits::CONFIG_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > limits::CONFIG_FILE_BYTES_MAX {
        return Err(format!("is larger than {}", format_bytes(limits::CONFIG_FILE_BYTES_MAX)));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8".into())
}

/// Reads the settings file at this path as TOML: the references outside of strings become strings, and lines keep their
/// numbers.
///
/// # Errors
/// The rest of a sentence that begins with the file: `is not a regular file`.
pub fn read_toml(path: &Path) -> Result<String, String> {
    read_bounded(path).map(|text| quote_bare(&text))
}

/// Parses the text of a file; warnings call the file `name`.
fn parse(text: &str, name: &str, surroundings: &Surroundings<'_>, warnings: &mut Vec<Warning>) -> Texts {
    let table: BTreeMap<String, Value> = match basic_toml::from_str(&quote_bare(text)) {
        Ok(table) => table,
        Err(error) => {
            let reason = quote_value(&error.to_string());
            warnings.push(Warning::new(name, format!("is not valid TOML: {reason}; going on without it")));
            return Texts::new();
        }
    };
    let variable = |name: &str| surroundings.filled(name)?.into_string().ok();
    let mut texts = Texts::new();
    let is_setting = |(key, value): &(&String, &Value)| *key != CONSOLE_SECTION || !value.is_object();
    for (key, value) in table.iter().filter(is_setting) {
        match text_of(key, value, &variable) {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => {
                texts.insert(key.clone(), text);
            }
            Err(reason) => {
                warnings.push(Warning::new(
                    format!("{name}: {}", quote_value(key)),
                    format!("{reason}; ignored"),
                ));
            }
        }
    }
    texts
}

fn text_of(key: &str, value: &Value, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    if table::find(key).is_none() {
        return Err(format!("is no setting; allowed are {}", table::keys().join(", ")));
    }
    match value {
        Value::String(text) => {
            expand(text, variable).map_err(|reason| format!("\"{}\" {reason}", quote_value(text)))
        }
        // A number keeps its point, so that a setting that has to be whole refuses `5.0`.
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err("is not a text, number or truth value".into())
        }
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
    fn the_section_of_the_console_is_left_to_it() {
        let (texts, warnings) = parsed("max_rate = 500\n[findings]\nignore = [\"hot\"]");
        assert_eq!((texts.len(), warnings), (1, Vec::<String>::new()));
        let (_, warnings) = parsed("findings = 5");
        assert!(warnings[0].contains("is no setting"), "{warnings:?}");
    }

    #[test]
    fn the_example_of_the_readme_is_read_without_a_warning() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
        // The published package stands alone: the page belongs to the repository.
        let Ok(page) = std::fs::read_to_string(page) else { return };
        let (_, section) = page.split_once("### Settings file").unwrap();
        let (_, example) = section.split_once("```toml\n").unwrap();
        let (texts, warnings) = parsed(example.split_once("```").unwrap().0);
        assert_eq!(warnings, Vec::<String>::new());
        let expected = [("max_disk", "256MiB"), ("retention", "2h"), ("sample", "1,shop::hot::*=0.001")];
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
