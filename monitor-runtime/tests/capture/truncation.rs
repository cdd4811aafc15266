//! The bounds of captured values: each test checks one bound of length, number, depth, size or time.

use std::collections::{BTreeMap, HashMap, LinkedList};

use monitor_runtime::capture::{Summarize, Summary};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::{Value, json as expected};

use crate::json;

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A sequence that does not tell its length.
struct Unsized(usize);
impl Serialize for Unsized {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(None)?;
        for item in 0..self.0 {
            sequence.serialize_element(&item)?;
        }
        sequence.end()
    }
}

/// A map that does not tell its length.
struct UnsizedMap(u32);
impl Serialize for UnsizedMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for item in 0..self.0 {
            map.serialize_entry(&item, &0)?;
        }
        map.end()
    }
}

#[test]
fn ten_million_items_are_stored_as_the_first_three_and_their_number() {
    let items: Vec<u64> = (0..10_000_000).collect();
    let stored = r#"[0,1,2,"[10000000 items, truncated]"]"#;
    assert_eq!(json!(items), stored);
    assert_eq!(json!(items.as_slice()), stored);
    assert_eq!(json!(&items), stored);
    assert_eq!(json!(Some(&items)), stored);
}

#[test]
fn items_beyond_those_kept_are_not_even_visited() {
    struct Item;
    impl Serialize for Item {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            VISITS.set(VISITS.get() + 1);
            serializer.serialize_unit()
        }
    }
    thread_local!(static VISITS: std::cell::Cell<u32> = const { std::cell::Cell::new(0) });
    let items: Vec<Item> = (0..5000).map(|_| Item).collect();
    assert_eq!(json!(items), r#"[null,null,null,"[5000 items, truncated]"]"#);
    assert_eq!(VISITS.get(), 3);
}

#[test]
fn a_thousand_items_are_a_sequence_and_one_more_is_too_many() {
    assert!(!json!(vec![1u8; 1000]).contains("items"));
    assert_eq!(json!(vec![1u8; 1001]), r#"[1,1,1,"[1001 items, truncated]"]"#);
    let list: LinkedList<u8> = std::iter::repeat_n(1, 1001).collect();
    assert_eq!(json!(list), r#"[1,1,1,"[1001 items, truncated]"]"#);
}

#[test]
fn a_sequence_of_unknown_length_says_more_than_a_thousand() {
    assert_eq!(json!(Unsized(5)), "[0,1,2,3,4]");
    assert_eq!(json!(Unsized(1001)), r#"[0,1,2,"[1000+ items, truncated]"]"#);
    assert_eq!(json!(Unsized(usize::MAX)), r#"[0,1,2,"[1000+ items, truncated]"]"#);
    let within = json!(Unsized(1000));
    assert!(within.starts_with("[0,1,2,3,4,") && within.ends_with(r#","[truncated]"]"#), "{within}");
}

#[test]
fn what_follows_a_truncated_sequence_is_still_stored() {
    #[derive(Serialize)]
    struct Outer {
        known: Vec<u32>,
        unknown: Unsized,
        map: BTreeMap<u32, u32>,
        last: bool,
    }
    let outer = Outer {
        known: (0..2000).collect(),
        unknown: Unsized(2000),
        map: (0..3).map(|n| (n, n)).collect(),
        last: true,
    };
    assert_eq!(
        parsed(&json!(outer)),
        expected!({
            "known": [0, 1, 2, "[2000 items, truncated]"],
            "unknown": [0, 1, 2, "[1000+ items, truncated]"],
            "map": {"0": 0, "1": 1, "2": 2},
            "last": true,
        })
    );
}

#[test]
fn a_long_string_keeps_its_start_and_says_its_length() {
    let text = "é".repeat(10 * 1024 * 1024 / 2);
    let stored = expected!(format!("{}… [10485760 bytes, truncated]", "é".repeat(256))).to_string();
    assert_eq!(json!(text), stored);
    assert_eq!(json!(text.as_str()), stored);
    assert_eq!(json!(serde_json::Value::String(text)), stored);
}

#[test]
fn a_string_of_256_characters_is_whole_whatever_its_bytes() {
    for text in ["x".repeat(256), "é".repeat(256), "🦀".repeat(256), "\u{1}".repeat(256)] {
        assert_eq!(json!(text), expected!(text).to_string());
    }
    assert_eq!(
        json!("🦀".repeat(257)),
        expected!(format!("{}… [1028 bytes, truncated]", "🦀".repeat(256))).to_string()
    );
}

#[test]
fn the_fifth_level_of_nesting_is_three_dots() {
    assert_eq!(json!(vec![vec![vec![vec![1]]]]), "[[[[1]]]]");
    assert_eq!(json!(vec![vec![vec![vec![vec![1]]]]]), r#"[[[["..."]]]]"#);
    assert_eq!(json!((((((1,),),),),)), r#"[[[["..."]]]]"#);
    let value = expected!({"a": {"b": {"c": {"d": {"e": 1}, "f": [1], "g": 1}}}, "h": 1});
    assert_eq!(
        parsed(&json!(value)),
        expected!({"a": {"b": {"c": {"d": "...", "f": "...", "g": 1}}}, "h": 1})
    );
}

#[test]
fn a_million_levels_cost_no_stack() {
    #[derive(Serialize)]
    struct Node {
        next: Option<Box<Node>>,
    }
    #[derive(Serialize)]
    struct Wrapper(Option<Box<Wrapper>>);

    let mut node = Node { next: None };
    let mut wrapper = Wrapper(None);
    for _ in 0..1_000_000 {
        node = Node { next: Some(Box::new(node)) };
        wrapper = Wrapper(Some(Box::new(wrapper)));
    }
    assert_eq!(json!(node), r#"{"next":{"next":{"next":{"next":"..."}}}}"#);
    assert_eq!(json!(wrapper), r#""...""#);
    // Not dropped, because dropping a million nested boxes needs the stack that capturing them does not.
    std::mem::forget((node, wrapper));
}

#[test]
fn of_a_large_map_the_first_hundred_entries_are_stored() {
    let map: BTreeMap<u32, u8> = (0..250).map(|key| (key, 1)).collect();
    let stored = parsed(&json!(map));
    let stored = stored.as_object().unwrap();
    assert_eq!(stored.len(), 101);
    assert_eq!(stored["..."], "[250 entries, truncated]");
    assert_eq!(stored["99"], 1);

    let map: BTreeMap<u32, u8> = (0..100).map(|key| (key, 1)).collect();
    assert_eq!(json!(map), serde_json::to_string(&map).unwrap());

    let stored = parsed(&json!(UnsizedMap(250)));
    assert_eq!(stored.as_object().unwrap().len(), 101);
    assert_eq!(stored["..."], "[100+ entries, truncated]");
}

#[test]
fn a_large_map_with_long_entries_still_says_how_many_there_were() {
    let map: HashMap<String, String> =
        (0..250).map(|key| (format!("key number {key}"), "x".repeat(50))).collect();
    let stored = parsed(&json!(map));
    assert_eq!(stored["..."], "[250 entries, truncated]");
    assert!(stored.as_object().unwrap().len() > 10);
}

#[test]
fn a_value_over_a_kibibyte_keeps_what_fits() {
    let words: Vec<String> = (0..100).map(|word| format!("{word:0100}")).collect();
    let stored = json!(words);
    assert!(stored.len() < 1024 + 64, "{} bytes: {stored}", stored.len());
    let stored = parsed(&stored);
    let items = stored.as_array().unwrap();
    assert_eq!(items.last().unwrap(), "[truncated]");
    assert_eq!(items[0], words[0]);
    assert!(items.len() >= 9);
}

#[test]
fn a_text_that_is_longer_than_its_tokens_is_cut_too() {
    let stored = json!(vec![(); 900]);
    assert!(stored.len() < 1024 + 64, "{} bytes", stored.len());
    assert!(stored.starts_with("[null,null,") && stored.ends_with(r#","[truncated]"]"#), "{stored}");
}

#[test]
fn a_struct_that_does_not_fit_says_so_in_the_innermost_place() {
    #[derive(Serialize)]
    struct Page {
        title: String,
        parts: Vec<String>,
        footer: String,
    }
    let page = Page { title: "t".repeat(200), parts: vec!["p".repeat(250); 6], footer: "never seen".into() };
    let stored = parsed(&json!(page));
    assert_eq!(stored["title"], page.title);
    assert!(stored["parts"].as_array().unwrap().len() >= 3);
    assert!(stored.to_string().contains("truncated]"));
    assert!(!stored.to_string().contains("never seen"));
}

#[test]
fn an_unlucky_clock_ends_a_value_that_takes_too_long() {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NOW: AtomicU64 = AtomicU64::new(0);
    fn tick() -> u64 {
        NOW.fetch_add(60_000, Ordering::Relaxed)
    }
    let limits = monitor_runtime::capture::Limits::new(tick, 100_000);
    let mut buffer = [0; 4096];
    let mut writer = monitor_runtime::capture::Writer::new(&mut buffer, &limits);
    {
        use monitor_runtime::capture::dispatch::{Capture as _, Value};
        (&&&&&Value(&Unsized(500))).__monitor_capture(&mut writer);
        (&&&&&Value(&7)).__monitor_capture(&mut writer);
    }
    let len = writer.finish();
    let stored = monitor_runtime::capture::to_json(&buffer[..len], &["slow", "after"]);
    let stored = parsed(&stored);
    let slow = stored["slow"].as_array().unwrap();
    assert!(slow.len() < 100 && slow.last().unwrap() == "[truncated]", "{slow:?}");
    assert_eq!(stored["after"], 7);
}

#[test]
fn a_table_is_stored_as_its_shape() {
    struct DataFrame(usize, usize);
    impl Summarize for DataFrame {
        fn summary(&self) -> Summary<'_> {
            Summary::new("DataFrame", &[self.0, self.1])
        }
    }
    assert_eq!(json!(DataFrame(1_000_000, 100)), r#""[DataFrame 1000000×100]""#);
    assert_eq!(json!(&DataFrame(0, 1)), r#""[DataFrame 0×1]""#);
    assert_eq!(json!(Box::new(DataFrame(2, 1))), r#""[DataFrame 2×1]""#);
    assert_eq!(Summary::new("Unit", &[]).to_string(), "[Unit]");
}

#[test]
fn numbers_without_a_word_in_json_are_told_as_text() {
    assert_eq!(json!([f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1]), r#"["NaN","inf","-inf",0.1]"#);
    assert_eq!(json!([0.1f32, f32::NAN]), r#"[0.1,"NaN"]"#);
    assert_eq!(json!([u128::MAX, 1]), format!("[{},1]", u128::MAX));
    assert_eq!(json!([i128::MIN, -1]), format!("[{},-1]", i128::MIN));
    assert_eq!(
        json!([i64::MIN, i64::MAX, -1, -128, -129]),
        format!("[{},{},-1,-128,-129]", i64::MIN, i64::MAX)
    );
}

#[test]
fn keys_that_are_no_strings_become_strings() {
    let pairs: BTreeMap<(u8, bool), u8> = [((1, true), 2)].into();
    assert_eq!(parsed(&json!(pairs)), expected!({"[1,true]": 2}));
    let numbers: BTreeMap<i8, u8> = [(-1, 2)].into();
    assert_eq!(json!(numbers), r#"{"-1":2}"#);
}

#[test]
fn a_million_levels_of_debug_cost_no_stack() {
    #[derive(Debug)]
    #[expect(dead_code, reason = "read by Debug")]
    struct Node {
        next: Option<Box<Node>>,
    }
    let mut node = Node { next: None };
    for _ in 0..1_000_000 {
        node = Node { next: Some(Box::new(node)) };
    }
    let stored = json!(node);
    assert!(
        stored.starts_with("\"Node { next: Some(Node") && stored.ends_with("… [truncated]\""),
        "{stored}"
    );
    std::mem::forget(node);
}

#[test]
fn a_long_string_in_a_debug_text_is_cut_and_what_follows_it_is_kept() {
    #[derive(Debug)]
    #[expect(dead_code, reason = "read by Debug")]
    struct Request {
        body: String,
        retries: u8,
    }
    let body = format!("é\n\"\u{1}{}", "x".repeat(5000));
    let stored: String = serde_json::from_str(&json!(Request { body, retries: 3 })).unwrap();
    let kept = "x".repeat(252);
    assert_eq!(
        stored,
        format!("Request {{ body: \"é\\n\\\"\\u{{1}}{kept}… [5005 bytes, truncated]\", retries: 3 }}")
    );
}

#[test]
fn a_value_after_one_that_found_no_room_does_not_take_its_place() {
    use monitor_runtime::capture::dispatch::{Capture as _, Value};
    let limits = crate::limits();
    let args = |size: usize, capture: &dyn Fn(&mut monitor_runtime::capture::Writer<'_>)| {
        let mut buffer = vec![0; size];
        let mut writer = monitor_runtime::capture::Writer::new(&mut buffer, &limits);
        capture(&mut writer);
        (&&&&&Value(&true)).__monitor_capture(&mut writer);
        let len = writer.finish();
        monitor_runtime::capture::to_json(&buffer[..len], &["first", "second"])
    };
    const NEITHER: &str = r#"{"first":"[truncated]","second":"[truncated]"}"#;
    let text = "x".repeat(40);
    assert_eq!(args(10, &|writer| (&&&&&Value(&text)).__monitor_capture(writer)), NEITHER);
    assert_eq!(args(0, &|writer| (&&&&&Value(&vec![text.as_str()])).__monitor_capture(writer)), NEITHER);
    assert_eq!(args(8, &|writer| (&&&&&Value(&u64::MAX)).__monitor_capture(writer)), NEITHER);
    // The mark of truncation still fits into a word of its own, so the second value is complete.
    let second = args(16, &|writer| (&&&&&Value(&vec![u128::MAX])).__monitor_capture(writer));
    assert_eq!(second, r#"{"first":["[truncated]"],"second":true}"#);
}
