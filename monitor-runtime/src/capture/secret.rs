//! The rule for names that look secret, which the attribute applies too: it has a package of its own.

pub use monitor_rules::redaction::is_secret;
pub(super) use monitor_rules::redaction::is_secret_type;

/// Returns true for the name of a field that holds the name of a value: `Header { name, value }`.
#[inline]
pub(super) fn is_name_of_name(field: &str) -> bool {
    matches!(field, "name" | "key" | "header" | "Name" | "Key")
}

/// Returns true for the name of a field that holds the value of such a name.
#[inline]
pub(super) fn is_name_of_value(field: &str) -> bool {
    matches!(field, "value" | "val" | "content" | "Value")
}
