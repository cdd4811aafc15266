//! The attributes of a call: what it was given, and where, when and by whom it was made.
//!
//! A captured JSON object gives an attribute for each key, and for each key of an object below it. A value that rarely
//! occurs twice explains nothing by itself, so a text also has a shape (`L-#`, with `#` for its digits), a list its
//! number of items, and a number is compared by size.

use serde_json::Value;

use super::debug_text;
use super::facts::StoredCall;
use crate::model::repetition::count_items;
use crate::units;

/// The longest text that is an attribute. A longer one rarely occurs twice.
const TEXT_MAX: usize = 80;
/// The most keys of one object.
const KEYS_MAX: usize = 40;

/// An attribute of a call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attribute {
    /// The name: `args.sku`, `thread`, `caller`.
    pub(crate) key: String,
    /// The value.
    pub(crate) value: Known,
}

/// A value that calls may share.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Known {
    /// A value as JSON.
    Exact(String),
    /// The shape of a text.
    Shape(String),
    /// A size: a number, or a number of items.
    Number(f64),
}

/// Returns the attributes of a call; `caller` is unknown if the rows around the call were not read.
pub(super) fn collect(call: &StoredCall, caller: Option<String>) -> Vec<Attribute> {
    let mut found = Vec::new();
    for (name, text) in [("args", &call.args), ("fields", &call.fields)] {
        if let Some(Ok(Value::Object(object))) = text.as_ref().map(|text| serde_json::from_str(text)) {
            for (key, value) in object.iter().take(KEYS_MAX) {
                add_value(&format!("{name}.{key}"), value, 1, &mut found);
            }
        }
    }
    let mut add = |key: &str, value: String| {
        found.push(Attribute { key: key.to_owned(), value: Known::Exact(value) });
    };
    add("thread", call.thread.clone());
    add("process", format!("run {}", call.process_id));
    if let Some(caller) = caller {
        add("caller", caller);
    }
    let hour = units::format_date_and_time(call.start_ns);
    add("hour", format!("{}:00", hour.get(..13).unwrap_or_default()));
    found
}

/// Adds a value, and what is below it down to this depth.
fn add_value(key: &str, value: &Value, depth: u32, found: &mut Vec<Attribute>) {
    let mut add = |value| found.push(Attribute { key: key.to_owned(), value });
    match value {
        Value::Null => add(Known::Exact("null".to_owned())),
        Value::Bool(flag) => add(Known::Exact(flag.to_string())),
        Value::Number(number) => {
            add(Known::Exact(number.to_string()));
            if let Some(number) = number.as_f64() {
                add(Known::Number(number));
            }
        }
        Value::Array(_) => add_items(key, value, found),
        Value::Object(object) if depth > 0 => {
            for (below, value) in object.iter().take(KEYS_MAX) {
                add_value(&format!("{key}.{below}"), value, depth - 1, found);
            }
        }
        Value::Object(_) => {}
        Value::String(text) => add_text(key, text, depth, found),
    }
}

fn add_items(key: &str, value: &Value, found: &mut Vec<Attribute>) {
    if let Some(items) = count_items(value) {
        #[expect(clippy::cast_precision_loss, reason = "a number of items")]
        let items = items as f64;
        found.push(Attribute { key: format!("{key} (items)"), value: Known::Number(items) });
    }
}

fn add_text(key: &str, text: &str, depth: u32, found: &mut Vec<Attribute>) {
    if count_items(&Value::String(text.to_owned())).is_some() {
        add_items(key, &Value::String(text.to_owned()), found);
        return;
    }
    if depth > 0
        && let Some(fields) = debug_text::split_struct(text)
    {
        for (below, value) in fields.into_iter().take(KEYS_MAX) {
            add_value(&format!("{key}.{below}"), &debug_text::to_value(value), depth - 1, found);
        }
        return;
    }
    let mut add = |value| found.push(Attribute { key: key.to_owned(), value });
    if text.chars().count() <= TEXT_MAX {
        add(Known::Exact(Value::String(text.to_owned()).to_string()));
        if let Some(shape) = find_shape(text) {
            add(Known::Shape(shape));
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "the length of a text")]
    let length = text.chars().count() as f64;
    found.push(Attribute { key: format!("{key} (length)"), value: Known::Number(length) });
}

/// Returns a text with `#` for each run of digits; `None` if it has no digit, or nothing else.
fn find_shape(text: &str) -> Option<String> {
    let has = |is_sought: fn(char) -> bool| text.contains(is_sought);
    if !has(|c| c.is_ascii_digit()) || !has(char::is_alphabetic) {
        return None;
    }
    let mut shape = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            digit if digit.is_ascii_digit() => {
                if !shape.ends_with('#') {
                    shape.push('#');
                }
            }
            other => shape.push(other),
        }
    }
    Some(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(args: &str) -> Vec<String> {
        let call = StoredCall { args: Some(args.to_owned()), ..StoredCall::default() };
        let of_args = collect(&call, None).into_iter().filter(|attribute| attribute.key.starts_with("args"));
        of_args.map(|attribute| format!("{} {:?}", attribute.key, attribute.value)).collect()
    }

    #[test]
    fn texts_have_a_value_a_shape_and_a_length() {
        assert_eq!(
            attributes(r#"{"sku":"L-60000"}"#),
            [r#"args.sku Exact("\"L-60000\"")"#, r#"args.sku Shape("L-#")"#, "args.sku (length) Number(7.0)"]
        );
        assert_eq!(find_shape("abc"), None);
        assert_eq!(find_shape("12-34"), None);
    }

    #[test]
    fn numbers_lists_and_objects_are_taken_apart() {
        assert_eq!(attributes(r#"{"n":7}"#), [r#"args.n Exact("7")"#, "args.n Number(7.0)"]);
        assert_eq!(attributes(r#"{"ids":[1,2,3]}"#), ["args.ids (items) Number(3.0)"]);
        assert_eq!(attributes(r#"{"ids":"[5000 items, truncated]"}"#), ["args.ids (items) Number(5000.0)"]);
        assert_eq!(attributes(r#"{"a":{"b":true,"c":{"d":1}}}"#), [r#"args.a.b Exact("true")"#]);
    }

    #[test]
    fn a_struct_that_was_formatted_for_debugging_is_taken_apart_too() {
        assert_eq!(
            attributes(r#"{"order":"Order { customer: 12, issuer: \"nordbank\" }"}"#)[..3],
            [
                r#"args.order.customer Exact("12")"#,
                "args.order.customer Number(12.0)",
                r#"args.order.issuer Exact("\"nordbank\"")"#,
            ]
        );
    }

    #[test]
    fn text_that_is_no_json_object_has_no_attributes() {
        for args in ["", "[1]", "{\"unfinished\":", "null"] {
            assert_eq!(attributes(args), [""; 0], "{args}");
        }
    }
}
