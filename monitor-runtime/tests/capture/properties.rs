//! What holds for all values, all sizes of memory and all bytes.

use std::collections::BTreeMap;

use monitor_runtime::capture::via::{Capture as _, Value};
use monitor_runtime::capture::{Limits, Writer, to_json, to_json_value, to_text};
use proptest::prelude::*;
use serde::Serialize;

/// Any tree of values that JSON can say.
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
            prop::collection::btree_map("[a-z]{0,6}", inner.clone(), 0..8).prop_map(Tree::Map),
            prop::collection::btree_map(any::<i16>(), inner.clone(), 0..8).prop_map(Tree::Numbered),
            inner.clone().prop_map(|tree| Tree::Tagged(Tagged::New(Box::new(tree)))),
            inner.clone().prop_map(|tree| Tree::Tagged(Tagged::Pair(Box::new(tree), 1))),
            (any::<String>(), inner)
                .prop_map(|(name, tree)| Tree::Tagged(Tagged::Named { name, content: Box::new(tree) })),
        ]
    })
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(text).is_ok()
}

/// Limits that none of the trees reaches.
fn no_limits() -> Limits {
    Limits { value_bytes: 60_000, depth: 7, string_chars: 100_000, ..crate::limits() }
}

/// Tokens of two values in memory of a given size.
fn tokens(tree: &Tree, size: usize, limits: &Limits) -> Vec<u8> {
    let mut buffer = vec![0xEE; size];
    let mut writer = Writer::new(&mut buffer, limits);
    (&&&&&Value(tree)).capture(&mut writer);
    (&&&&&Value(&"after")).capture(&mut writer);
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
        let tokens = tokens(&tree, 70_000, &no_limits());
        prop_assert_eq!(to_json_value(&tokens), whole);
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
        let _ = to_text(&bytes);
    }

    #[test]
    fn tokens_in_any_order_read_as_valid_json(bytes in prop::collection::vec(
        prop_oneof![0xE8u8..0xF5, 0xC0u8..0xC3, 0x80u8..0x83, Just(0u8), Just(1u8)], 0..300
    )) {
        prop_assert!(is_json(&to_json_value(&bytes)));
        prop_assert!(is_json(&to_json(&bytes, &["a", "b", "c"])));
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

/// How deep the brackets of a JSON text lie.
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
