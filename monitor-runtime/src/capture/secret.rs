//! Names that look secret.
//!
//! Comes in: the name of a field, a key or an argument. Goes out: whether its value must not be stored. A name
//! is split into words where its case changes and at everything that is not a letter, so that `userPassword`,
//! `API-Key` and `db_password2` are recognised and `secretary` is not. The macro has its own copy of this
//! rule, because a published crate cannot share a file with another.

/// Words, singular, that give away a secret wherever they stand.
const WORDS: [&[&str]; 11] = [
    &["password"],
    &["passwd"],
    &["secret"],
    &["authorization"],
    &["credential"],
    &["cvv"],
    &["ssn"],
    &["apikey"],
    &["api", "key"],
    &["privatekey"],
    &["private", "key"],
];

/// Words that do so as the name of a value, while types of these names mostly hold something else: the tokens of a
/// parser, the amounts of a currency.
const WORDS_OF_VALUES: [&[&str]; 2] = [&["token"], &["cookie"]];

/// Whether the name of a field, key or argument contains a word that looks secret.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    may_be_secret(name) && is_secret_by_words(name)
}

#[cold]
fn is_secret_by_words(name: &str) -> bool {
    contains(name, &WORDS) || contains(name, &WORDS_OF_VALUES)
}

/// Whether the name of a type or variant, whose content has no name of its own, contains such a word.
pub(super) fn is_secret_type(name: &str) -> bool {
    may_be_secret(name) && contains(name, &WORDS)
}

/// Whether two neighbouring letters occur that some secret word has: `ss`, `cr`, `ok`, `th`, `vv` or `ke`. Each word
/// has one of these pairs, most other names have none, and this costs a tenth of dividing the name into words.
fn may_be_secret(name: &str) -> bool {
    const BEFORE: [u8; 32] = {
        let mut before = [0; 32];
        before[(b's' & 31) as usize] = b's';
        before[(b'r' & 31) as usize] = b'c';
        before[(b'k' & 31) as usize] = b'o';
        before[(b'h' & 31) as usize] = b't';
        before[(b'v' & 31) as usize] = b'v';
        before[(b'e' & 31) as usize] = b'k';
        before
    };
    let mut previous = b' ';
    name.bytes().any(|byte| {
        let is_found = BEFORE[usize::from(byte & 31)] == previous;
        previous = byte | 0x20;
        is_found
    })
}

/// Whether the words of a name contain those of one of the secrets, side by side.
fn contains(name: &str, secrets: &[&[&str]]) -> bool {
    let mut previous = "";
    let mut rest = name.as_bytes();
    while let Some((word, after)) = next_word(rest) {
        // Words are made of ASCII letters, between which a string may always be divided.
        let word = std::str::from_utf8(word).unwrap_or_default();
        let is_found = secrets.iter().any(|secret| match **secret {
            [only] => matches(word, only),
            [first, second] => matches(previous, first) && matches(word, second),
            _ => false,
        });
        if is_found {
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
