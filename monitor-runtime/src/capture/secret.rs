//! Names that look secret.
//!
//! Comes in: the name of a field, a key or an argument. Goes out: whether its value must not be stored. A name
//! is split into words where its case changes and at everything that is not a letter, so that `userPassword`,
//! `API-Key` and `db_password2` are recognised and `secretary` is not. The macro has its own copy of this
//! rule, because a published crate cannot share a file with another.

/// The words, singular; a plural counts too.
const WORDS: [&str; 11] = [
    "password",
    "passwd",
    "secret",
    "token",
    "authorization",
    "cookie",
    "credential",
    "cvv",
    "ssn",
    "apikey",
    "privatekey",
];

/// Pairs of neighbouring words.
const PAIRS: [(&str, &str); 2] = [("api", "key"), ("private", "key")];

/// Whether a name contains a word that looks secret.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    let mut previous = "";
    let mut rest = name.as_bytes();
    while let Some((word, after)) = next_word(rest) {
        // Words are ASCII letters, which a string may be divided between.
        let word = std::str::from_utf8(word).unwrap_or_default();
        if WORDS.iter().any(|secret| matches(word, secret))
            || PAIRS.iter().any(|(first, second)| matches(previous, first) && matches(word, second))
        {
            return true;
        }
        previous = word;
        rest = after;
    }
    false
}

/// The word itself or its plural, in any case.
fn matches(word: &str, secret: &str) -> bool {
    word.eq_ignore_ascii_case(secret)
        || word.strip_suffix(['s', 'S']).is_some_and(|singular| singular.eq_ignore_ascii_case(secret))
}

/// The first word, and what follows it. A word ends before an upper case letter that follows a lower case one
/// (`api|Key`), and before the last of several upper case letters that a lower case one follows (`API|Key`).
fn next_word(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = name.iter().position(u8::is_ascii_alphabetic)?;
    let name = &name[start..];
    let end = (1..name.len()).find(|&at| ends_at(name, at)).unwrap_or(name.len());
    Some(name.split_at(end))
}

fn ends_at(name: &[u8], at: usize) -> bool {
    let (before, here) = (name[at - 1], name[at]);
    let lower_follows = name.get(at + 1).is_some_and(u8::is_ascii_lowercase);
    !here.is_ascii_alphabetic()
        || (here.is_ascii_uppercase() && (before.is_ascii_lowercase() || lower_follows))
}
