//! Properties that hold for all values, all sizes of memory and all bytes.

use std::collections::BTreeMap;

use monitor_rules::text::without_secrets;
use monitor_runtime::capture::dispatch::{Capture as _, Value};
use monitor_runtime::capture::{Limits, Writer, is_secret, to_json, to_json_value, to_text};
use proptest::prelude::*;
use serde::Serialize;

/// A tree of values that JSON can express.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum Tree {
    Null(()),
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Wide(u128),
    WideSigned(i128),
    Float(f64),
    Single(f32),
    Char(char),
    Text(String),
    Optional(Option<Box<Tree>>),
    List(Vec<Tree>),
    Map(BTreeMap<String, Tree>),
    Numbered(BTreeMap<i16, Tree>),
    Tagged(Tagged),
}

#[derive(Debug, Clone, Serialize)]
enum Tagged {
    Unit,
    New(Box<Tree>),
    Pair(Box<Tree>, u8),
    Named { name: String, content: Box<Tree> },
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Null(())),
        any::<bool>().prop_map(Tree::Bool),
        any::<u64>().prop_map(Tree::Unsigned),
        any::<i64>().prop_map(Tree::Signed),
        any::<u128>().prop_map(Tree::Wide),
        any::<i128>().prop_map(Tree::WideSigned),
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(Tree::Float),
        any::<f32>().prop_filter("finite", |value| value.is_finite()).prop_map(Tree::Single),
        any::<char>().prop_map(Tree::Char),
        any::<String>().prop_map(Tree::Text),
        "[a-z\"\\\\\\u{0}-\\u{20}]{0,300}".prop_map(Tree::Text),
        Just(Tree::Tagged(Tagged::Unit)),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            inner.clone().prop_map(|tree| Tree::Optional(Some(Box::new(tree)))),
            prop::collection::vec(inner.clone(), 0..8).prop_map(Tree::List),
            prop::collection::btree_map(key(), inner.clone(), 0..8).prop_map(Tree::Map),
            prop::collection::btree_map(any::<i16>(), inner.clone(), 0..8).prop_map(Tree::Numbered),
            inner.clone().prop_map(|tree| Tree::Tagged(Tagged::New(Box::new(tree)))),
            inner.clone().prop_map(|tree| Tree::Tagged(Tagged::Pair(Box::new(tree), 1))),
            (any::<String>(), inner)
                .prop_map(|(name, tree)| Tree::Tagged(Tagged::Named { name, content: Box::new(tree) })),
        ]
    })
}

/// A key that is no secret, so that its value is stored.
fn key() -> impl Strategy<Value = String> {
    "[a-z]{0,6}".prop_filter("no secret", |key| !is_secret(key))
}

/// Returns true if no rule finds a secret in the text, so that the text is stored as it is. A drawn text may contain
/// one: `://:A` reads as a URL whose password is cut off.
fn is_without_secrets(text: &str) -> bool {
    without_secrets(text) == text
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(text).is_ok()
}

/// Returns whether both texts are equal, except for floats: a float may have two texts of the same length that are
/// equally near, and floats with the same value count as equal.
fn reads_alike(ours: &str, theirs: &str) -> bool {
    let same_float = |(ours, theirs): (&str, &str)| {
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).count();
        // An f32 never needs more than nine digits.
        let number = |text: &str| match digits(text) {
            0..=9 => text.parse::<f32>().map(f64::from).ok(),
            _ => text.parse::<f64>().ok(),
        };
        let is_same = || ours.contains('.') && number(ours).is_some() && number(ours) == number(theirs);
        ours == theirs || ours.len() == theirs.len() && is_same()
    };
    let is_separator = |character: char| !(character.is_ascii_alphanumeric() || "+-.".contains(character));
    let [ours, theirs] = [ours, theirs].map(|text| text.split_inclusive(is_separator).collect::<Vec<_>>());
    let trimmed = |text| str::trim_end_matches(text, is_separator);
    ours.len() == theirs.len()
        && ours.into_iter().zip(theirs).all(|(ours, theirs)| {
            ours.strip_prefix(trimmed(ours)) == theirs.strip_prefix(trimmed(theirs))
                && same_float((trimmed(ours), trimmed(theirs)))
        })
}

/// Limits that no generated value reaches.
fn ample_limits() -> Limits {
    Limits { value_bytes: 60_000, depth: 7, string_chars: 100_000, ..crate::limits() }
}

/// Returns the tokens of the tree and a text after it, captured into memory of this size.
fn tokens(tree: &Tree, size: usize, limits: &Limits) -> Vec<u8> {
    let mut buffer = vec![0xEE; size];
    let mut writer = Writer::new(&mut buffer, limits);
    (&&&&&Value(tree)).__monitor_capture(&mut writer);
    (&&&&&Value(&"after")).__monitor_capture(&mut writer);
    let len = writer.finish();
    buffer.truncate(len);
    buffer
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_value_within_its_limits_reads_as_serde_json_writes_it(tree in tree()) {
        let whole = serde_json::to_string(&tree).unwrap();
        prop_assume!(whole.len() <= 1024);
        prop_assume!(nesting(&whole) <= 7);
        prop_assume!(is_without_secrets(&whole));
        let tokens = tokens(&tree, 70_000, &ample_limits());
        let ours = to_json_value(&tokens);
        prop_assert!(reads_alike(&ours, &whole), "{} {}", ours, whole);
    }

    #[test]
    fn the_text_of_a_string_is_that_string_whatever_json_escapes_in_it(text in "[\\x00-\\x1F\"\\\\/\\PC]{0,60}") {
        prop_assume!(is_without_secrets(&text));
        let limits = ample_limits();
        let mut buffer = vec![0xEE; 1000];
        let mut writer = Writer::new(&mut buffer, &limits);
        (&&&&&Value(&text)).__monitor_capture(&mut writer);
        let len = writer.finish();
        prop_assert_eq!(to_json_value(&buffer[..len]), serde_json::to_string(&text).unwrap());
        prop_assert_eq!(to_text(&buffer[..len]), text);
    }

    #[test]
    fn values_that_stand_side_by_side_read_as_what_they_are(
        text in "\\PC{0,40}", ascii in "[a-z]{0,70}", number in any::<u64>(), shift in 0_u32..64,
        signed in any::<i64>(), double in any::<f64>(), single in any::<f32>(),
        truth in any::<bool>()
    ) {
        prop_assume!(is_without_secrets(&text));
        let limits = ample_limits();
        let mut buffer = vec![0xEE; 2000];
        let mut writer = Writer::new(&mut buffer, &limits);
        let (number, signed) = (number >> shift, signed >> shift);
        (&&&&&Value(&text)).__monitor_capture(&mut writer);
        (&&&&&Value(&number)).__monitor_capture(&mut writer);
        (&&&&&Value(&ascii)).__monitor_capture(&mut writer);
        (&&&&&Value(&truth)).__monitor_capture(&mut writer);
        (&&&&&Value(&signed)).__monitor_capture(&mut writer);
        (&&&&&Value(&Some(double))).__monitor_capture(&mut writer);
        (&&&&&Value(&None::<u8>)).__monitor_capture(&mut writer);
        (&&&&&Value(&single)).__monitor_capture(&mut writer);
        let len = writer.finish();
        prop_assert_eq!(len % 8, 0);
        prop_assume!(double.is_finite() && single.is_finite());
        let (text, ascii) = (serde_json::to_string(&text).unwrap(), serde_json::to_string(&ascii).unwrap());
        let (double, single) =
            (serde_json::to_string(&double).unwrap(), serde_json::to_string(&single).unwrap());
        let values = format!(
            r#"{{"a":{text},"b":{number},"c":{ascii},"d":{truth},"e":{signed},"f":{double},"g":null,"h":{single}}}"#
        );
        let ours = to_json(&buffer[..len], &["a", "b", "c", "d", "e", "f", "g", "h"]);
        prop_assert!(reads_alike(&ours, &values), "{} {}", ours, values);
    }

    #[test]
    fn the_text_is_valid_json_and_bounded_whatever_the_value_and_the_memory(tree in tree(), size in 0usize..1500) {
        let limits = crate::limits();
        let tokens = tokens(&tree, size, &limits);
        let args = to_json(&tokens, &["tree", "after"]);
        prop_assert!(is_json(&args), "{}", args);
        prop_assert!(args.len() < 3000, "{}", args.len());
        let value = to_json_value(&tokens);
        prop_assert!(is_json(&value), "{}", value);
        prop_assert!(!args.contains("unreadable"), "{}", args);
    }

    #[test]
    fn with_ample_memory_the_next_value_is_always_captured(tree in tree()) {
        let tokens = tokens(&tree, 4096, &crate::limits());
        let args = to_json(&tokens, &["tree", "after"]);
        prop_assert!(args.ends_with(r#","after":"after"}"#), "{}", args);
    }

    #[test]
    fn text_by_debug_is_valid_json_whatever_it_says(text in "[a-z:=,;&(){}\\[\\]\"'\\\\ \\n-]{0,400}", secret in any::<bool>()) {
        struct Says(String);
        impl std::fmt::Debug for Says {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(&self.0)
            }
        }
        let text = if secret { text.replace("a:", "password: ") } else { text };
        let json = crate::json!(Says(text));
        prop_assert!(is_json(&json), "{}", json);
    }

    #[test]
    fn bytes_that_nobody_wrote_read_as_valid_json(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(is_json(&to_json_value(&bytes)));
        prop_assert!(is_json(&to_json(&bytes, &["a", "b", "c"])));
        prop_assert!(is_json(&to_json(&bytes, &[])));
        let _ = to_text(&bytes);
    }

    #[test]
    fn tokens_in_any_order_read_as_valid_json(bytes in prop::collection::vec(
        prop_oneof![0xE8u8..0xF5, 0xC0u8..0xC3, 0x80u8..0x83, Just(0u8), Just(1u8)], 0..300
    )) {
        prop_assert!(is_json(&to_json_value(&bytes)));
        prop_assert!(is_json(&to_json(&bytes, &["a", "b", "c"])));
        prop_assert!(is_json(&to_json(&bytes, &[])));
    }

    #[test]
    fn a_stream_that_was_damaged_reads_as_valid_json(tree in tree(), at in any::<prop::sample::Index>(), bit in 0u8..8, end in any::<prop::sample::Index>()) {
        let mut tokens = tokens(&tree, 4096, &crate::limits());
        let at = at.index(tokens.len());
        tokens[at] ^= 1 << bit;
        let end = end.index(tokens.len() + 1);
        prop_assert!(is_json(&to_json(&tokens[..end], &["tree", "after"])));
    }
}

/// The parts of a text that a derived `Debug` writes. A `Secret` has a field whose name looks secret, and every text in
/// that field contains the canary.
#[derive(Debug, Clone)]
enum Shape {
    Number(i32),
    Text(String),
    Char(char),
    Struct(Vec<(&'static str, Shape)>),
    Tuple(Vec<Shape>),
    List(Vec<Shape>),
    Map(Vec<(&'static str, Shape)>),
    Secret(&'static str, Box<Shape>),
    Pretty(Box<Shape>),
}

/// Writes a shape as a derived `Debug` does. If the flag is set, all texts contain the canary.
struct Shown<'a>(&'a Shape, bool);

impl std::fmt::Debug for Shown<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |shape| Shown(shape, self.1);
        match self.0 {
            Shape::Number(number) => number.fmt(formatter),
            Shape::Text(text) if self.1 => format!("{text}hunter2{text}").fmt(formatter),
            Shape::Text(text) => text.fmt(formatter),
            Shape::Char(character) => character.fmt(formatter),
            Shape::Struct(fields) => {
                let mut shown = formatter.debug_struct("Struct");
                for (name, shape) in fields {
                    shown.field(name, &show(shape));
                }
                shown.finish()
            }
            Shape::Tuple(fields) => {
                let mut shown = formatter.debug_tuple("Tuple");
                for shape in fields {
                    shown.field(&show(shape));
                }
                shown.finish()
            }
            Shape::List(items) => formatter.debug_list().entries(items.iter().map(show)).finish(),
            Shape::Map(entries) => formatter
                .debug_map()
                .entries(entries.iter().map(|(name, shape)| (name, show(shape))))
                .finish(),
            Shape::Secret(name, shape) => {
                formatter.debug_struct("Login").field(name, &Shown(shape, true)).field("kept", &1).finish()
            }
            Shape::Pretty(shape) => write!(formatter, "{:#?}", show(shape)),
        }
    }
}

fn shape() -> impl Strategy<Value = Shape> {
    let name = prop::sample::select(vec!["name", "id", "tokenizer", "a", "crate_name"]);
    let leaf = prop_oneof![
        any::<i32>().prop_map(Shape::Number),
        any::<char>().prop_map(Shape::Char),
        "[a-z\"'\\\\,:=(){}\\[\\] \n]{0,8}".prop_map(Shape::Text),
        prop::sample::select(vec!['"', '\'', '\\', ',', '}', '(']).prop_map(Shape::Char),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let named = prop::collection::vec((name.clone(), inner.clone()), 0..4);
        let secret = prop::sample::select(vec!["password", "api_key", "token", "credentials"]);
        let boxed = inner.clone().prop_map(Box::new);
        prop_oneof![
            named.clone().prop_map(Shape::Struct),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Shape::Tuple),
            prop::collection::vec(inner, 0..4).prop_map(Shape::List),
            named.prop_map(Shape::Map),
            (secret, boxed.clone()).prop_map(|(name, shape)| Shape::Secret(name, shape)),
            boxed.prop_map(Shape::Pretty),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_secret_leaves_a_derived_debug_and_what_follows_it_stays(shape in shape()) {
        let secret = Shape::Struct(vec![("before", Shape::Number(1)), ("all", shape), ("after", Shape::Number(2))]);
        let json = crate::json!(Shown(&secret, false));
        prop_assert!(is_json(&json), "{}", json);
        prop_assert!(!json.contains("hunter2"), "{}", json);
        prop_assert!(json.ends_with("after: 2 }\"") || json.ends_with("truncated]\""), "{}", json);
    }

    #[test]
    fn a_derived_debug_without_secrets_is_stored_as_it_is(shape in shape()) {
        let text = format!("{:?}", Shown(&Shape::List(vec![shape]), false));
        prop_assume!(text.len() < 900);
        prop_assume!(is_without_secrets(&text));
        prop_assume!(["password", "api_key", "token:", "\"token\"", "credentials"].iter().all(|name| !text.contains(name)));
        let json = crate::json!(Shown(&Shape::Text(String::new()), false));
        prop_assert_eq!(json, "\"\"");
        struct Says<'a>(&'a str);
        impl std::fmt::Debug for Says<'_> {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.0)
            }
        }
        prop_assert_eq!(crate::json!(Says(&text)), serde_json::to_string(&text).unwrap());
    }
}

/// Returns how deep the brackets of a JSON text are nested.
fn nesting(json: &str) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0usize, 0, false, false);
    for character in json.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '[' | '{' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            ']' | '}' if !quoted => depth -= 1,
            _ => {}
        }
    }
    deepest
}
