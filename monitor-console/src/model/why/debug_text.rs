//! Structs that were captured by their `Debug`: `Order { customer: 12, lines: [Line { .. }, …], paid: true }`.
//!
//! The text may be truncated. Its fields up to the one that is truncated are found. A type may format itself in any
//! way, so a text that does not look like a derived `Debug` is left alone.

use serde_json::Value;

/// Returns the names and texts of the fields of a struct; `None` if the text is not that of a struct.
pub(super) fn split_struct(text: &str) -> Option<Vec<(&str, &str)>> {
    let (name, rest) = text.split_once(" { ")?;
    let is_name =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_:<>, ".contains(c));
    if !is_name(name) {
        return None;
    }
    let (body, is_whole) = match rest.strip_suffix('}') {
        Some(body) => (body.trim_end(), true),
        None => (rest, false),
    };
    let mut parts = split_at_commas(body);
    if !is_whole {
        parts.pop();
    }
    let fields: Option<Vec<_>> = parts
        .into_iter()
        .filter(|part| !part.trim().is_empty() && part.trim() != "..")
        .map(|part| {
            let (name, value) = part.trim().split_once(": ")?;
            let is_field = name.chars().all(|c| c.is_alphanumeric() || c == '_');
            is_field.then_some((name, value))
        })
        .collect();
    fields.filter(|fields| !fields.is_empty())
}

/// Splits at the commas that lie within neither brackets nor quotes.
fn split_at_commas(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut is_quoted, mut is_escaped, mut start) = (0_i32, false, false, 0);
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Converts the text of a field: numbers, flags and quoted texts become JSON, `None` becomes null, `Some(x)` is x, and a
/// list becomes a list of as many items.
pub(super) fn to_value(text: &str) -> Value {
    let text = text.trim();
    if let Some(inner) = text.strip_prefix("Some(").and_then(|text| text.strip_suffix(')')) {
        return to_value(inner);
    }
    if text == "None" {
        return Value::Null;
    }
    if let Some(items) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        let items = split_at_commas(items).into_iter().filter(|item| !item.trim().is_empty());
        return Value::Array(items.map(|item| Value::String(item.trim().to_owned())).collect());
    }
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_split_outside_of_brackets_and_quotes() {
        let text = r#"Order { customer: 12, lines: [Line { product: 1, quantity: 2 }, Line { product: 3, quantity: 1 }], note: "a, \"b\" {", to: Some("x") }"#;
        let fields = split_struct(text).unwrap_or_default();
        let names: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["customer", "lines", "note", "to"]);
        let values: Vec<_> = fields.iter().map(|(_, text)| to_value(text)).collect();
        assert_eq!(values[0], json!(12));
        assert_eq!(values[1].as_array().map(Vec::len), Some(2));
        assert_eq!(values[2], json!("a, \"b\" {"));
        assert_eq!(values[3], json!("x"));
    }

    #[test]
    fn a_truncated_struct_loses_its_last_field() {
        let fields = split_struct("Order { customer: 12, lines: [Line { pro… [912 bytes, truncated]");
        assert_eq!(fields, Some(vec![("customer", "12")]));
    }

    #[test]
    fn other_texts_are_left_alone() {
        for text in ["L-60000", "Point(1, 2)", "{ a: 1 }", "why { not }", "", "No. 5 { a: 1 }"] {
            assert_eq!(split_struct(text), None, "{text}");
        }
    }
}
