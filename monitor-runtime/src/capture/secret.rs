//! The rule for names that look secret, which the attribute applies too: it has a package of its own.

pub use monitor_rules::redaction::is_secret;
pub(super) use monitor_rules::redaction::is_secret_type;
