//! Every type compiles as an argument, and is captured by the best way that the type offers.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt::{self, Debug, Display};
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use monitor_runtime::capture::{Summarize, Summary};
use serde::Serialize;

use crate::json;

/// A type that implements no trait.
struct Opaque;

/// A type that implements `Debug`, and neither `Serialize` nor `Summarize`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct DebugOnly(u8);

/// A type that implements `Summarize`, `Serialize` and `Debug`.
#[derive(Debug, Serialize)]
struct Matrix;
impl Summarize for Matrix {
    fn summary(&self) -> Summary<'_> {
        Summary::new("Matrix", &[3, 4])
    }
}

/// A type that implements `Serialize`, and a `Debug` that must not be called.
#[derive(Serialize)]
struct Point {
    x: i32,
    y: Option<f64>,
}
impl Debug for Point {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        unreachable!("Debug was called although the type implements Serialize")
    }
}

#[test]
fn primitives_and_strings_are_themselves() {
    assert_eq!(json!(true), "true");
    assert_eq!(json!(()), "null");
    assert_eq!(json!('é'), "\"é\"");
    assert_eq!(json!('"'), r#""\"""#);
    assert_eq!(json!("a\n\u{0}b"), r#""a\n\u0000b""#);
    assert_eq!(json!(String::from("text")), "\"text\"");
    assert_eq!(json!(Cow::Borrowed("text")), "\"text\"");
    assert_eq!(json!(Box::<str>::from("text")), "\"text\"");
    assert_eq!(json!(Arc::<str>::from("text")), "\"text\"");
    assert_eq!(json!((1u8, 2u16, 3u32, 4u64, 5usize)), "[1,2,3,4,5]");
    assert_eq!(json!((-1i8, -2i16, -3i32, -4i64, -5isize)), "[-1,-2,-3,-4,-5]");
    assert_eq!(json!((1.5f32, -2.0f64)), "[1.5,-2.0]");
    assert_eq!(json!(u64::MAX), u64::MAX.to_string());
    for width in 0..64 {
        let value = 1u64 << width;
        for value in [value - 1, value, value + 1] {
            assert_eq!(json!(value), value.to_string());
            assert_eq!(json!(!value.cast_signed()), (!value.cast_signed()).to_string());
        }
    }
}

#[test]
fn references_options_and_sequences_of_primitives_are_direct() {
    let numbers = [1, 2, 3];
    assert_eq!(json!(&&numbers), "[1,2,3]");
    assert_eq!(json!(&numbers[1..]), "[2,3]");
    assert_eq!(json!(Some(Some("x"))), "\"x\"");
    assert_eq!(json!(None::<Option<u8>>), "null");
    assert_eq!(json!(vec![Some(1), None]), "[1,null]");
    assert_eq!(json!(Box::new(&mut 5)), "5");
    assert_eq!(json!(Rc::new(vec!["a"])), "[\"a\"]");
    assert_eq!(json!([[1, 2], [3, 4]]), "[[1,2],[3,4]]");
}

#[test]
fn serialize_goes_before_debug_and_summarize_before_both() {
    assert_eq!(json!(Point { x: 1, y: None }), r#"{"x":1,"y":null}"#);
    assert_eq!(json!(vec![Point { x: 1, y: Some(0.5) }]), r#"[{"x":1,"y":0.5}]"#);
    assert_eq!(json!(Matrix), "\"[Matrix 3×4]\"");
    assert_eq!(json!(&&Matrix), "\"[Matrix 3×4]\"");
    assert_eq!(json!(Arc::new(Matrix)), "\"[Matrix 3×4]\"");
    assert_eq!(json!(Some(&Matrix)), "\"[Matrix 3×4]\"");
    assert_eq!(json!(None::<Matrix>), "null");
}

#[test]
fn every_shape_that_serialize_knows_reads_as_serde_json_writes_it() {
    #[derive(Serialize)]
    enum Shape {
        Unit,
        New(u8),
        Tuple(u8, u8),
        Struct { a: u8 },
    }
    #[derive(Serialize)]
    struct Unit;
    #[derive(Serialize)]
    struct Tuple(u8, String);
    #[derive(Serialize)]
    struct Flat {
        first: u8,
        #[serde(flatten)]
        rest: BTreeMap<String, u8>,
    }
    #[derive(Serialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        A { x: u8 },
    }
    let everything = (
        [Shape::Unit, Shape::New(1), Shape::Tuple(1, 2), Shape::Struct { a: 1 }],
        Unit,
        Tuple(1, "x".into()),
        Flat { first: 1, rest: [("second".into(), 2)].into() },
        Tagged::A { x: 1 },
        std::time::Duration::from_millis(1500),
        std::net::Ipv4Addr::LOCALHOST,
        std::path::Path::new("/tmp/x"),
        Ok::<u8, u8>(1),
        PhantomData::<u8>,
    );
    assert_eq!(json!(everything), serde_json::to_string(&everything).unwrap());
}

#[test]
fn debug_is_a_text() {
    assert_eq!(json!(DebugOnly(1)), "\"DebugOnly(1)\"");
    assert_eq!(json!(&Some(DebugOnly(1))), "\"Some(DebugOnly(1))\"");
    assert_eq!(json!(format_args!("a \"b\"")), r#""a \"b\"""#);
    let name = format!("\"[{}]\"", std::any::type_name::<Mutex<DebugOnly>>());
    assert_eq!(json!(Mutex::new(DebugOnly(1))), name);
    assert_eq!(json!(RefCell::new(DebugOnly(1))), "\"RefCell { value: DebugOnly(1) }\"");
}

#[test]
fn a_debug_that_is_one_string_is_stored_without_its_quotes() {
    struct Quoting(&'static str);
    impl Debug for Quoting {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            Debug::fmt(self.0, formatter)
        }
    }
    assert_eq!(json!(Quoting("plain")), "\"plain\"");
    assert_eq!(json!(Quoting("")), "\"\"");
    assert_eq!(json!(Quoting("a\"b")), r#""\"a\\\"b\"""#);
    let long = "x".repeat(300);
    let long: &'static str = long.leak();
    assert_eq!(json!(Quoting(long)), format!("\"{}… [300 bytes, truncated]\"", "x".repeat(256)));
}

#[test]
fn collections_of_what_has_only_a_debug_are_sequences_and_maps() {
    assert_eq!(json!([DebugOnly(1), DebugOnly(2)]), r#"["DebugOnly(1)","DebugOnly(2)"]"#);
    assert_eq!(json!(vec![DebugOnly(1)].as_slice()), r#"["DebugOnly(1)"]"#);
    assert_eq!(json!(Some(VecDeque::from([DebugOnly(1)]))), r#"["DebugOnly(1)"]"#);
    assert_eq!(json!(HashSet::from([DebugOnly(1)])), r#"["DebugOnly(1)"]"#);
    assert_eq!(json!(BTreeMap::from([("k", DebugOnly(1))])), r#"{"k":"DebugOnly(1)"}"#);
    assert_eq!(json!(Arc::new(HashMap::from([(DebugOnly(1), 2)]))), r#"{"DebugOnly(1)":"2"}"#);
    assert_eq!(
        json!(vec![DebugOnly(7); 100_000]),
        r#"["DebugOnly(7)","DebugOnly(7)","DebugOnly(7)","[100000 items, truncated]"]"#
    );
}

#[test]
fn a_type_that_offers_nothing_is_its_name() {
    assert_eq!(json!(Opaque), r#""[capture::dispatch::Opaque]""#);
    assert_eq!(json!(vec![Opaque]), r#""[alloc::vec::Vec<capture::dispatch::Opaque>]""#);
    let mut sum = 0;
    let mut closure = |x: u8| sum += x;
    let reference: &mut dyn FnMut(u8) = &mut closure;
    assert_eq!(json!(reference), r#""[&mut dyn core::ops::function::FnMut(u8)]""#);
    let boxed: Box<dyn Fn() -> u8 + Send + Sync> = Box::new(|| 1);
    assert!(json!(boxed).contains("dyn core::ops::function::Fn"));
    assert!(json!(async { 1 }).contains("a_type_that_offers_nothing_is_its_name"));
    let iterator: &dyn Iterator<Item = u8> = &std::iter::empty();
    assert!(json!(iterator).contains("Iterator"));
}

#[test]
fn what_lies_behind_references_need_not_be_sized() {
    let shown: &dyn Debug = &DebugOnly(1);
    assert_eq!(json!(shown), "\"DebugOnly(1)\"");
    assert_eq!(json!(&shown), "\"DebugOnly(1)\"");
    assert_eq!(json!(Box::new(DebugOnly(2)) as Box<dyn Debug>), "\"DebugOnly(2)\"");
    let text: &str = "x";
    assert_eq!(json!(*text), "\"x\"");
    assert_eq!(json!([1u8, 2][..]), "[1,2]");
    assert_eq!(json!(*shown), "\"DebugOnly(1)\"");
    let any: &dyn std::any::Any = &1;
    assert_eq!(json!(any), "\"Any { .. }\"");
}

#[test]
fn pointers_cells_and_functions_compile() {
    let value = 5;
    let pointer: *const i32 = &raw const value;
    assert!(json!(pointer).starts_with("\"0x"));
    assert!(json!(std::ptr::NonNull::from(&value)).starts_with("\"0x"));
    assert!(json!(json_of_nothing as fn()).starts_with("\"0x"));
    assert_eq!(json!(Cell::new(1)), "1");
    let uninhabited: Option<std::convert::Infallible> = None;
    assert_eq!(json!(uninhabited), "\"None\"");
}

fn json_of_nothing() {}

#[test]
fn the_bounds_of_a_generic_function_decide() {
    fn unbounded<T>(value: T) -> String {
        json!(value)
    }
    fn with_debug<T: Debug>(value: T) -> String {
        json!(value)
    }
    fn with_serialize<T: Serialize + Debug>(value: &T) -> String {
        json!(value)
    }
    fn with_display<T: Display>(value: T) -> String {
        json!(value)
    }
    fn slice_of<T: Debug>(values: &[T]) -> String {
        json!(values)
    }
    fn unsized_one<T: Debug + ?Sized>(value: &T) -> String {
        json!(value)
    }
    fn lifetimes<'a, T: Debug + 'a>(value: &'a Option<&'a T>) -> String {
        json!(value)
    }
    fn opaque(value: impl Debug + Send) -> String {
        json!(value)
    }
    assert_eq!(unbounded(1), "\"[i32]\"");
    assert_eq!(with_debug(1), "\"1\"");
    assert_eq!(with_serialize(&1), "1");
    assert_eq!(with_display(1), "\"[i32]\"");
    assert_eq!(slice_of(&[1]), "[\"1\"]");
    assert_eq!(unsized_one("x"), "\"x\"");
    assert_eq!(unsized_one(&[1][..]), "\"[1]\"");
    assert_eq!(lifetimes(&Some(&1)), "\"Some(1)\"");
    assert_eq!(opaque(1), "\"1\"");
}

#[test]
fn arguments_are_an_object_by_their_names_in_order() {
    use monitor_runtime::capture::dispatch::{Capture as _, Value};
    let limits = crate::limits();
    let mut buffer = [0; 512];
    let mut writer = monitor_runtime::capture::Writer::new(&mut buffer, &limits);
    (&&&&&Value(&7u64)).__monitor_capture(&mut writer);
    writer.redacted();
    (&&&&&Value(&"order \"7\"")).__monitor_capture(&mut writer);
    assert_eq!(writer.panics(), 0);
    let len = writer.finish();
    let tokens = &buffer[..len];
    let json = monitor_runtime::capture::to_json;
    assert_eq!(
        json(tokens, &["quantity", "password", "id"]),
        r#"{"quantity":7,"password":"[redacted]","id":"order \"7\""}"#
    );
    assert_eq!(json(tokens, &[]), "{}");
    assert_eq!(json(&[], &["lost"]), r#"{"lost":"[truncated]"}"#);
}

#[test]
fn paths_are_texts_even_when_they_are_no_unicode() {
    use std::ffi::{OsStr, OsString};
    use std::path::{Path, PathBuf};
    assert_eq!(json!(Path::new("/a b")), "\"/a b\"");
    assert_eq!(json!(Some(PathBuf::from("/a"))), "\"/a\"");
    assert_eq!(json!(vec![OsString::from("x")]), "[\"x\"]");
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let broken = OsStr::from_bytes(b"/a\xFFb");
        assert_eq!(json!(broken), "\"/a\u{FFFD}b\"");
        assert_eq!(json!(&[Path::new(broken)]), "[\"/a\u{FFFD}b\"]");
    }
}

#[test]
fn numbers_of_any_precision_are_texts() {
    // `serde_json` and decimal types write numbers like this if `arbitrary_precision` is on.
    struct Number(&'static str);
    impl Serialize for Number {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeStruct;
            let mut number = serializer.serialize_struct("$serde_json::private::Number", 1)?;
            number.serialize_field("$serde_json::private::Number", self.0)?;
            number.end()
        }
    }
    assert_eq!(json!(vec![Number("1.50"), Number("2")]), r#"["1.50","2"]"#);
}
