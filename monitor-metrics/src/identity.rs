//! The identity of a series: its metric's kind and name, and its tags in one order.
//!
//! Takes a key of the facade, whose texts may come from anywhere; gives bounded texts, with the tags as a JSON object
//! whose keys are sorted. Values of tags that look secret are not kept.

use std::borrow::Cow;
use std::collections::BTreeMap;

use metrics::Key;
use monitor_rules::redaction::is_secret_argument;
use monitor_rules::text::{REDACTED, without_secrets};
use monitor_runtime::bridge::MetricKind;

use crate::limits::{NAME_BYTES_MAX, TAGS_MAX, VALUE_BYTES_MAX};
use crate::refused::Reason;

/// The identity of a series.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) kind: MetricKind,
    pub(crate) name: String,
    /// The tags as a JSON object.
    pub(crate) tags: String,
}

impl Identity {
    /// Returns the identity of a key, or the reason for which it is not recorded. Of tags of one name the last counts.
    pub(crate) fn from_key(kind: MetricKind, key: &Key) -> Result<Self, Reason> {
        check_name(key.name())?;
        if key.labels().len() > TAGS_MAX {
            return Err(Reason::Tags);
        }
        let mut tags = BTreeMap::new();
        for label in key.labels() {
            check_name(label.key())?;
            tags.insert(label.key(), show(label.key(), label.value()));
        }
        let tags = serde_json::to_string(&tags).map_err(|_| Reason::Tags)?;
        Ok(Self { kind, name: key.name().to_owned(), tags })
    }
}

fn check_name(name: &str) -> Result<(), Reason> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX { Err(Reason::Name) } else { Ok(()) }
}

/// Returns true if no value of a tag is cut.
pub(crate) fn has_bounded_values(key: &Key) -> bool {
    key.labels().all(|label| label.value().len() <= VALUE_BYTES_MAX)
}

/// Returns the value of a tag as it is kept.
fn show<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    if is_secret_argument(name) {
        return REDACTED.into();
    }
    match without_secrets(value) {
        Cow::Borrowed(text) => cut(text, VALUE_BYTES_MAX),
        Cow::Owned(text) => cut(&text, VALUE_BYTES_MAX).into_owned().into(),
    }
}

/// Returns the text, or as much of it as has room, with `…` behind it.
pub(crate) fn cut(text: &str, bytes_max: usize) -> Cow<'_, str> {
    if text.len() <= bytes_max {
        return text.into();
    }
    let end = (0..=bytes_max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &text[..end]).into()
}

#[cfg(test)]
mod tests {
    use metrics::Label;
    use proptest::prelude::*;

    use super::*;

    fn identify(name: &str, tags: &[(&str, &str)]) -> Result<Identity, Reason> {
        let labels: Vec<Label> =
            tags.iter().map(|(key, value)| Label::new((*key).to_owned(), (*value).to_owned())).collect();
        Identity::from_key(MetricKind::Counter, &Key::from_parts(name.to_owned(), labels))
    }

    fn tags(tags: &[(&str, &str)]) -> String {
        identify("orders", tags).unwrap().tags
    }

    #[test]
    fn tags_are_sorted_and_the_last_of_one_name_counts() {
        assert_eq!(tags(&[]), "{}");
        assert_eq!(tags(&[("b", "2"), ("a", "1")]), r#"{"a":"1","b":"2"}"#);
        assert_eq!(tags(&[("a", "1"), ("a", "2")]), r#"{"a":"2"}"#);
    }

    #[test]
    fn names_and_the_number_of_tags_are_bounded_and_values_are_cut() {
        assert_eq!(identify("", &[]), Err(Reason::Name));
        assert_eq!(identify(&"x".repeat(257), &[]), Err(Reason::Name));
        assert_eq!(identify("x", &[(&"k".repeat(257), "")]), Err(Reason::Name));
        assert_eq!(identify("x", &[("", "v")]), Err(Reason::Name));
        let names: Vec<String> = (0..17).map(|at| format!("tag{at}")).collect();
        let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v")).collect();
        assert_eq!(identify("x", &many), Err(Reason::Tags));
        assert!(identify(&"x".repeat(256), &many[..16]).is_ok());
        let long = "ä".repeat(200);
        assert_eq!(tags(&[("a", &long)]), format!(r#"{{"a":"{}…"}}"#, "ä".repeat(128)));
    }

    #[test]
    fn secrets_are_not_kept() {
        assert_eq!(tags(&[("api_key", "abc")]), r#"{"api_key":"[redacted]"}"#);
        let url = tags(&[("url", "https://ada:hunter2@example.org/")]);
        assert!(!url.contains("hunter2"), "{url}");
    }

    proptest! {
        #[test]
        fn any_texts_are_a_json_object_or_refused(name: String, pairs: Vec<(String, String)>) {
            let pairs: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            if let Ok(identity) = identify(&name, &pairs) {
                let parsed: serde_json::Value = serde_json::from_str(&identity.tags).unwrap();
                prop_assert!(parsed.is_object());
                prop_assert!(identity.tags.len() <= TAGS_MAX * 2 * 6 * (NAME_BYTES_MAX + 16));
            }
        }
    }
}
