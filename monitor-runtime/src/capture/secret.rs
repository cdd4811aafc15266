//! The rule for names that look secret, which the attribute applies too: it has a package of its own. Beside it, the pairs
//! of fields in which one field names the other: `Header { name, value }`.

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

/// The part of a pair of fields `name` and `value` that a value has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    None,
    /// The next value is that of a field `name`.
    Name,
    /// The name is that of a secret.
    Secret,
}

impl Header {
    /// Returns the part behind a name, which is that of a secret or not.
    pub(super) fn after_name(is_secret: bool) -> Self {
        if is_secret { Self::Secret } else { Self::None }
    }
}
