//! The rule for names that look secret, which is in a package of its own because the attribute macro applies it too.
//! This file adds the rule for pairs of fields of which one names the other: `Header { name, value }`.

pub use monitor_rules::redaction::is_secret;
pub(super) use monitor_rules::redaction::is_secret_type;

/// Returns true if a field of this name holds the name of a value: `name` in `Header { name, value }`.
#[inline]
pub(super) fn is_name_of_name(field: &str) -> bool {
    matches!(field, "name" | "key" | "header" | "Name" | "Key")
}

/// Returns true if a field of this name holds the value that another field names: `value` in `Header { name, value }`.
#[inline]
pub(super) fn is_name_of_value(field: &str) -> bool {
    matches!(field, "value" | "val" | "content" | "Value")
}

/// The state of a pair of fields `name` and `value` while the pair is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    None,
    /// The next value is that of a field `name`.
    Name,
    /// The last field `name` held the name of a secret.
    Secret,
}

impl Header {
    /// Returns the state after a field `name`, whose value is the name of a secret if `is_secret` is true.
    pub(super) fn after_name(is_secret: bool) -> Self {
        if is_secret { Self::Secret } else { Self::None }
    }
}
