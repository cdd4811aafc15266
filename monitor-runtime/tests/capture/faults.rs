//! User code that panics, never ends, ignores errors, returns errors or makes its calls in the wrong order. The
//! capture survives all of it, and the next value is captured.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::{self, Debug, Write as _};
use std::sync::Mutex;

use monitor_runtime::capture::dispatch::{Capture as _, Value};
use monitor_runtime::capture::{Limits, Summarize, Summary, Writer, is_capturing, to_json};
use serde::ser::{Error as _, SerializeMap, SerializeSeq, SerializeStruct};
use serde::{Serialize, Serializer};

use crate::json;

/// Panics without a message on stderr.
fn panic_silently() -> ! {
    std::panic::resume_unwind(Box::new("contained"))
}

struct PanicsInDebug;
impl Debug for PanicsInDebug {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("half a text")?;
        panic_silently()
    }
}

struct PanicsInSerialize;
impl Serialize for PanicsInSerialize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(None)?;
        sequence.serialize_element("half a text")?;
        panic_silently()
    }
}

struct PanicsInSummary;
impl Summarize for PanicsInSummary {
    fn summary(&self) -> Summary<'_> {
        panic_silently()
    }
}

#[test]
fn a_panic_is_told_by_the_type_and_counted_and_the_next_value_is_captured() {
    let limits = crate::limits();
    let mut buffer = [0; 4096];
    let mut writer = Writer::new(&mut buffer, &limits);
    (&&&&&Value(&PanicsInDebug)).__monitor_capture(&mut writer);
    (&&&&&Value(&vec![Some(PanicsInSerialize)])).__monitor_capture(&mut writer);
    (&&&&&Value(&PanicsInSummary)).__monitor_capture(&mut writer);
    (&&&&&Value(&5)).__monitor_capture(&mut writer);
    assert_eq!(writer.panics(), 3);
    let len = writer.finish();
    let stored: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(&to_json(&buffer[..len], &["debug", "serialize", "summary", "after"])).unwrap();
    assert_eq!(stored["debug"], "[capture::faults::PanicsInDebug: panicked while being captured]");
    assert_eq!(
        stored["serialize"],
        "[alloc::vec::Vec<core::option::Option<capture::faults::PanicsInSerialize>>: panicked while being captured]"
    );
    assert_eq!(stored["summary"], "[capture::faults::PanicsInSummary: panicked while being captured]");
    assert_eq!(stored["after"], 5);
}

#[test]
fn a_panic_payload_whose_destructor_panics_is_contained_too() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                std::panic::resume_unwind(Box::new(Bomb));
            }
        }
    }
    struct Thrower;
    impl Debug for Thrower {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            std::panic::resume_unwind(Box::new(Bomb))
        }
    }
    assert!(json!(Thrower).contains("panicked while being captured"));
}

#[test]
fn a_value_may_panic_while_its_thread_unwinds() {
    struct Captures<'a>(&'a Cell<Option<String>>);
    impl Drop for Captures<'_> {
        fn drop(&mut self) {
            self.0.set(Some(json!(PanicsInDebug)));
        }
    }
    let stored = Cell::new(None);
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _captures = Captures(&stored);
        panic_silently();
    }));
    assert!(unwound.is_err());
    assert!(stored.take().unwrap().contains("panicked while being captured"));
}

#[test]
fn code_that_never_ends_is_ended() {
    struct Endless;
    impl Debug for Endless {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            loop {
                formatter.write_str("again ")?;
            }
        }
    }
    impl fmt::Display for Endless {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            Debug::fmt(self, formatter)
        }
    }
    struct Displayed;
    impl Serialize for Displayed {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(&Endless)
        }
    }
    struct Sequence;
    impl Serialize for Sequence {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(0..)
        }
    }
    let stored = json!(Endless);
    assert!(stored.starts_with("\"again again") && stored.ends_with("… [truncated]\""), "{stored}");
    assert_eq!(json!(Sequence), r#"[0,1,2,"[1000+ items, truncated]"]"#);
    let stored = stored_under_ticking_clock(&Displayed);
    assert!(stored.starts_with("\"again again") && stored.ends_with("… [truncated]\""), "{stored}");
}

/// Captures a value with a clock that advances by one whenever it is read. Returns the JSON text.
fn stored_under_ticking_clock(value: &impl Serialize) -> String {
    thread_local!(static NOW: Cell<u64> = const { Cell::new(0) });
    fn tick() -> u64 {
        NOW.set(NOW.get() + 1);
        NOW.get()
    }
    let limits = Limits::new(tick, 1000);
    let mut buffer = [0; 4096];
    let mut writer = Writer::new(&mut buffer, &limits);
    (&&&&&Value(value)).__monitor_capture(&mut writer);
    let len = writer.finish();
    monitor_runtime::capture::to_json_value(&buffer[..len])
}

#[test]
fn code_that_does_not_listen_is_left() {
    struct Deaf;
    impl Debug for Deaf {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            loop {
                let _ = formatter.write_str("again ");
            }
        }
    }
    struct DeafSequence;
    impl Serialize for DeafSequence {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut sequence = serializer.serialize_seq(None)?;
            loop {
                let _ = sequence.serialize_element(&1);
            }
        }
    }
    struct DeafMap;
    impl Serialize for DeafMap {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(None)?;
            loop {
                let _ = map.serialize_entry("a long key to use up what there is", "and a long value as well");
            }
        }
    }
    let stored = json!(Deaf);
    assert!(stored.starts_with("\"again again") && stored.ends_with("… [truncated]\""), "{stored}");
    let stored = json!(vec![Deaf]);
    assert!(
        stored.starts_with("[\"again again") && stored.ends_with("… [truncated]\",\"[truncated]\"]"),
        "{stored}"
    );
    assert_eq!(json!(DeafSequence), r#"[1,1,1,"[1000+ items, truncated]"]"#);
    assert!(json!(DeafMap).ends_with(r#""...":"[truncated]"}"#));
    assert_eq!(json!((1, DeafSequence)), r#"[1,[1,1,1,"[1000+ items, truncated]"],"[truncated]"]"#);
}

#[test]
fn a_lock_held_by_a_debug_is_not_poisoned_by_its_truncation() {
    struct Locked(Mutex<Vec<String>>);
    impl Debug for Locked {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.lock().unwrap().fmt(formatter)
        }
    }
    let locked = Locked(Mutex::new(vec!["x".repeat(100); 10_000]));
    assert!(json!(locked).ends_with("… [truncated]\""));
    assert!(!locked.0.is_poisoned());
}

#[test]
fn an_error_of_a_serialize_is_told_where_it_happened() {
    struct Fails;
    impl Serialize for Fails {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(None)?;
            map.serialize_entry("half", "a text")?;
            Err(S::Error::custom("no"))
        }
    }
    #[derive(Serialize)]
    struct Outer {
        before: u8,
        fails: Fails,
        after: u8,
    }
    const FAILS: &str = r#""[capture::faults::an_error_of_a_serialize_is_told_where_it_happened::Fails: could not be captured]""#;
    assert_eq!(json!(Fails), FAILS);
    assert_eq!(
        json!(Outer { before: 1, fails: Fails, after: 2 }),
        format!(r#"{{"before":1,"fails":{FAILS},"after":2}}"#)
    );
    assert_eq!(json!(Some(vec![Fails])), format!("[{FAILS}]"));
}

#[test]
fn calls_in_the_wrong_order_still_give_valid_json() {
    struct Keys;
    impl Serialize for Keys {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(Some(1))?;
            map.serialize_key("a")?;
            map.serialize_key("b")?;
            map.end()
        }
    }
    struct Values;
    impl Serialize for Values {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(Some(1))?;
            let _ = map.serialize_value("a");
            map.end()
        }
    }
    struct Swallows;
    impl Serialize for Swallows {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_struct("S", 200)?;
            for _ in 0..200 {
                let _ = map.serialize_field("f", &1);
            }
            map.end()
        }
    }
    assert_eq!(json!(Keys), r#"{"a":null,"b":null}"#);
    assert_eq!(json!(Values), "{}");
    let stored = json!((Swallows, 1));
    assert!(stored.ends_with(r#""f":1,"...":"[200 entries, truncated]"},1]"#), "{stored}");
}

#[test]
fn a_thread_knows_that_it_is_capturing() {
    struct Asks;
    impl Debug for Asks {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(formatter, "{}", is_capturing())
        }
    }
    assert!(!is_capturing());
    assert_eq!(json!(Asks), "\"true\"");
    assert!(!is_capturing());
    let _told = json!(PanicsInDebug);
    assert!(!is_capturing());
}

#[test]
fn a_debug_that_captures_in_turn_leaves_the_outer_capture_alone() {
    struct Nested;
    impl Debug for Nested {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            let inner = json!(PanicsInDebug);
            assert!(inner.contains("panicked") && is_capturing());
            formatter.write_str("outer")
        }
    }
    assert_eq!(json!(Nested), "\"outer\"");
}

#[test]
fn where_a_panic_cannot_be_contained_only_primitives_and_strings_are_captured() {
    let limits = Limits { user_code: false, ..crate::limits() };
    let mut buffer = [0; 4096];
    let mut writer = Writer::new(&mut buffer, &limits);
    (&&&&&Value(&PanicsInDebug)).__monitor_capture(&mut writer);
    (&&&&&Value(&PanicsInSerialize)).__monitor_capture(&mut writer);
    (&&&&&Value(&PanicsInSummary)).__monitor_capture(&mut writer);
    (&&&&&Value(&Some(vec!["text"]))).__monitor_capture(&mut writer);
    let len = writer.finish();
    assert_eq!(
        to_json(&buffer[..len], &["a", "b", "c", "d"]),
        r#"{"a":"[capture::faults::PanicsInDebug]","b":"[capture::faults::PanicsInSerialize]","c":"[capture::faults::PanicsInSummary]","d":["text"]}"#
    );
}

#[test]
fn a_debug_that_writes_a_character_at_a_time_is_read_the_same() {
    struct Slow(&'static str);
    impl Debug for Slow {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.chars().try_for_each(|character| formatter.write_char(character))
        }
    }
    assert_eq!(json!(Slow("Ünïcode → ✓")), "\"Ünïcode → ✓\"");
}

#[test]
fn a_type_that_is_slow_twice_in_a_row_rests_a_thousand_times_as_long() {
    thread_local!(static NOW: Cell<u64> = const { Cell::new(1) });
    struct Sleeps(u64);
    impl Debug for Sleeps {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            NOW.set(NOW.get() + self.0);
            formatter.write_str("awake")
        }
    }
    let limits = Limits::new(|| NOW.get(), 100);
    let capture = |value: &Sleeps| {
        let mut buffer = [0; 512];
        let mut writer = Writer::new(&mut buffer, &limits);
        (&&&&&Value(value)).__monitor_capture(&mut writer);
        let len = writer.finish();
        monitor_runtime::capture::to_text(&buffer[..len])
    };
    // A type that is slow once is not skipped, because its thread may have been interrupted.
    assert_eq!(capture(&Sleeps(5000)), "awake");
    assert_eq!(capture(&Sleeps(1)), "awake");
    assert_eq!(capture(&Sleeps(5000)), "awake");
    assert_eq!(capture(&Sleeps(0)), "awake");
    // A type that is slow twice in a row is skipped for a while.
    assert_eq!(capture(&Sleeps(5000)), "awake");
    assert_eq!(capture(&Sleeps(5000)), "awake");
    let rested = "[capture::faults::a_type_that_is_slow_twice_in_a_row_rests_a_thousand_times_as_long::Sleeps: \
                  takes too long to capture]";
    assert_eq!(capture(&Sleeps(0)), rested);
    NOW.set(NOW.get() + 5000 * 1000 - 1);
    assert_eq!(capture(&Sleeps(0)), rested);
    NOW.set(NOW.get() + 1);
    assert_eq!(capture(&Sleeps(0)), "awake");
}

#[test]
fn a_lock_is_never_waited_for() {
    use std::sync::{Arc, RwLock};
    #[derive(Serialize)]
    struct Shared {
        state: Mutex<u8>,
        boxed: Option<Box<RwLock<u8>>>,
        after: u8,
    }
    let name = |of: &str| format!("[{of}]");
    let mutex = Arc::new(Mutex::new(1));
    let shown = name(std::any::type_name::<Mutex<i32>>());
    let held = mutex.lock().unwrap();
    assert_eq!(json!(mutex), format!("\"{shown}\""));
    assert_eq!(json!([&*mutex]), format!("[\"{shown}\"]"));
    drop(held);
    assert_eq!(json!(&*mutex), format!("\"{shown}\""));
    let lock = RwLock::new(1);
    let held = lock.write().unwrap();
    assert_eq!(json!(Some(&lock)), format!("\"{}\"", name(std::any::type_name::<RwLock<i32>>())));
    drop(held);

    let shared = Shared { state: Mutex::new(1), boxed: Some(Box::new(RwLock::new(1))), after: 2 };
    let held = (shared.state.lock().unwrap(), shared.boxed.as_ref().unwrap().write().unwrap());
    let stored = json!(shared);
    drop(held);
    assert!(
        stored.starts_with(r#"{"state":"[std::sync::"#) && stored.ends_with(r#"RwLock<u8>>]","after":2}"#),
        "{stored}"
    );
}

#[test]
fn a_lock_is_never_taken_by_the_debug_of_what_holds_it() {
    use std::collections::{HashMap, VecDeque};
    use std::sync::{Arc, OnceLock, RwLock};
    let mutex = || Mutex::new(PanicsInDebug);
    let (one, listed, lock) = (mutex(), vec![Arc::new(mutex())], RwLock::new(PanicsInDebug));
    let named = HashMap::from([("a", &one)]);
    let queued = VecDeque::from([&lock]);
    let set_once = OnceLock::from(&one);
    for stored in [
        json!(one),
        json!(&&one),
        json!(listed),
        json!(Some(&lock)),
        json!(named),
        json!(queued),
        json!((&one, 5)),
        json!(Some((&lock, "a"))),
        json!(set_once),
    ] {
        assert!(stored.contains("Mutex<") || stored.contains("RwLock<"), "{stored}");
        assert!(!stored.contains("panicked"), "{stored}");
    }
    assert!(!one.is_poisoned() && !listed[0].is_poisoned() && !lock.is_poisoned());
    // A lock of another package is known by the name of its type.
    mod shop {
        pub(super) struct Mutex<T>(pub(super) T);
        impl<T> std::fmt::Debug for Mutex<T> {
            fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                panic!("took the lock")
            }
        }
    }
    assert!(json!(shop::Mutex(5)).ends_with("::shop::Mutex<i32>]\""));
    assert!(json!([shop::Mutex(5)]).ends_with("::shop::Mutex<i32>]\"]"));
}
