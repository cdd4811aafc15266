//! Groups failures by kind.
//!
//! Takes a failure: function, outcome, message, type of the error. Gives its kind, which is the pattern of the message
//! and, for a panic, the place where it began; and its fingerprint, which is a hash of function, outcome, kind and
//! error type. The same failure has the same fingerprint in every run of a version. It is pure.
//!
//! `pattern` reads a message from its start. At each place it asks `names`, `numbers` and `words`, in this order, for
//! the piece that begins there, and writes the piece or its placeholder.

mod words;
mod numbers;
mod names;
mod pattern;
#[cfg(test)]
mod tests;

use std::hash::Hasher as _;

use fnv::FnvHasher;

use crate::record::Outcome;
pub use pattern::pattern;

/// Bits of a fingerprint. JSON readers hold numbers as doubles, which are exact below 2^53.
const FINGERPRINT_BITS: u32 = 53;

/// The bytes of the longest place of a panic that is recognized: a longer path is taken for text.
const PLACE_BYTES_MAX: usize = 256;

/// Returns the text that stands for the failures of a kind: the pattern of the message, followed, for a panic, by the file and
/// the line where it began.
///
/// ```
/// use monitor_runtime::record::Outcome;
/// use monitor_runtime::store::fingerprint::kind;
/// assert_eq!(kind(Outcome::Panic, "no row 4711, src/shop.rs:20:5"), "no row #, src/shop.rs:20");
/// ```
#[must_use]
pub fn kind(outcome: Outcome, message: &str) -> String {
    match place_of_panic(message).filter(|_| outcome == Outcome::Panic) {
        Some((text, file, line)) => format!("{}, {file}:{line}", pattern(text)),
        None => pattern(message),
    }
}

/// Splits the text of a panic, to which the panic hook appends `, file:line:column`, into text, file and line.
fn place_of_panic(message: &str) -> Option<(&str, &str, &str)> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (rest, column) = message.rsplit_once(':')?;
    let (rest, line) = rest.rsplit_once(':')?;
    let (text, file) = rest.rsplit_once(", ")?;
    let is_place = is_number(column) && is_number(line) && !file.is_empty() && file.len() <= PLACE_BYTES_MAX;
    is_place.then(|| (text, without_home(file), line))
}

/// Returns the path of a source file without the folder of Cargo's registry or of the standard library's sources, which
/// differs between machines.
fn without_home(file: &str) -> &str {
    for (home, levels) in
        [("/registry/src/", 1), ("/git/checkouts/", 2), ("/rustc/", 1), ("/rustlib/src/rust/", 0)]
    {
        if let Some((_, inside)) = file.split_once(home) {
            return inside.splitn(levels + 1, '/').last().unwrap_or(inside);
        }
    }
    file
}

/// Returns the stable id of a kind of failure: positive, and below 2^53. `kind` is the text from [`kind()`], and
/// `error_type` the name of the error's type, or nothing if that is not known.
#[must_use]
pub fn fingerprint(function: &str, outcome: Outcome, kind: &str, error_type: &str) -> i64 {
    // FNV-1a: the standard library's hashers promise no stability between versions.
    let mut hasher = FnvHasher::default();
    hasher.write(function.as_bytes());
    hasher.write(&[0xff, outcome as u8]);
    hasher.write(kind.as_bytes());
    hasher.write(&[0xff]);
    hasher.write(error_type.as_bytes());
    let hash = hasher.finish();
    // The upper bits take part, because the lower bits of FNV depend on few bits of the text.
    let folded = (hash ^ (hash >> FINGERPRINT_BITS)) & ((1 << FINGERPRINT_BITS) - 1);
    folded.max(1).cast_signed()
}

/// Returns the message of a failure that has none of its own.
pub(crate) fn without_message(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok | Outcome::Exit | Outcome::Error => "error",
        Outcome::Panic => "panic",
        Outcome::Cancelled => "cancelled",
    }
}
