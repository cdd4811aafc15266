//! Decides by its name whether a value is secret and must not be stored.
//!
//! Takes the name of an argument, field, key or type. Returns whether one of its words, such as `password` or
//! `token`, marks a secret. A name is split into words where its case changes and at everything that is not a
//! letter, so that `userPassword`, `API-Key` and `db_password2` are recognised and `secretary` is not. It does
//! not know the values.

/// The words that mark a secret in any name, in the singular. Two words match where they stand side by side.
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

/// The words that mark a secret in the name of a value only. Types with these words in their names mostly
/// hold something else: a parser has tokens, for example.
const WORDS_OF_VALUES: [&[&str]; 2] = [&["token"], &["cookie"]];

/// Returns whether the name of a captured field or of a map's key contains a secret word. Letters outside of
/// ASCII separate words.
#[inline]
#[must_use]
pub fn is_secret(name: &str) -> bool {
    may_be_secret(name) && is_secret_value(name, Letters::Ascii)
}

/// Returns whether the name of an argument, or a key of `fields(…)`, contains a secret word. Letters outside
/// of ASCII belong to their word, as they do in the language the name is written in.
#[must_use]
pub fn is_secret_argument(name: &str) -> bool {
    may_be_secret(name) && is_secret_value(name, Letters::Unicode)
}

/// Returns whether the name of a type or variant, whose content has no name of its own, contains a secret
/// word. Letters outside of ASCII separate words.
#[inline]
#[must_use]
pub fn is_secret_type(name: &str) -> bool {
    may_be_secret(name) && has_secret_word(name, &WORDS, Letters::Ascii)
}

#[cold]
fn is_secret_value(name: &str, letters: Letters) -> bool {
    has_secret_word(name, &WORDS, letters) || has_secret_word(name, &WORDS_OF_VALUES, letters)
}

/// Returns whether `name` contains one of the letter pairs `ss`, `cr`, `ok`, `th`, `vv` and `ke`. Each secret
/// word contains one of these pairs and most other names contain none. This test comes first because it costs
/// a tenth of splitting the name into words.
#[inline]
fn may_be_secret(name: &str) -> bool {
    /// The first letter of a pair, by the low five bits of its second letter.
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
        let is_pair = BEFORE[usize::from(byte & 31)] == previous;
        previous = byte | 0x20;
        is_pair
    })
}

/// Returns whether the words of `name` contain those of one of the `secrets`, side by side.
fn has_secret_word(name: &str, secrets: &[&[&str]], letters: Letters) -> bool {
    let mut previous = "";
    let mut rest = name;
    while let Some((word, after)) = next_word(rest, letters) {
        let is_found = secrets.iter().any(|secret| match **secret {
            [only] => is_same_word(word, only),
            [first, second] => is_same_word(previous, first) && is_same_word(word, second),
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

/// Returns whether `word` is `secret` or its plural, in any case.
fn is_same_word(word: &str, secret: &str) -> bool {
    word.eq_ignore_ascii_case(secret)
        || word.strip_suffix(['s', 'S']).is_some_and(|singular| singular.eq_ignore_ascii_case(secret))
}

/// Returns the first word of `name` and the text after it.
fn next_word(name: &str, letters: Letters) -> Option<(&str, &str)> {
    let name = name.trim_start_matches(|character| letters.class(character) == Class::Separator);
    let mut classes = name.char_indices().map(|(at, character)| (at, letters.class(character))).peekable();
    let (_, mut before) = classes.next()?;
    while let Some((at, class)) = classes.next() {
        let after = classes.peek().map(|&(_, class)| class);
        if ends_word(before, class, after) {
            return Some(name.split_at(at));
        }
        before = class;
    }
    Some((name, ""))
}

/// Returns whether a word ends before a character of this class: before a separator, before an upper case
/// letter after a lower case one (`api|Key`), and before the last of several upper case letters if a lower
/// case one follows (`API|Key`).
fn ends_word(before: Class, class: Class, after: Option<Class>) -> bool {
    match class {
        Class::Separator => true,
        Class::Upper => before == Class::Lower || after == Some(Class::Lower),
        Class::Lower | Class::Caseless => false,
    }
}

/// The characters that count as letters.
#[derive(Clone, Copy)]
enum Letters {
    Ascii,
    Unicode,
}

/// A character as far as the end of a word depends on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Separator,
    Upper,
    Lower,
    Caseless,
}

impl Letters {
    fn class(self, character: char) -> Class {
        match self {
            Self::Ascii if !character.is_ascii() => Class::Separator,
            _ if character.is_uppercase() => Class::Upper,
            _ if character.is_lowercase() => Class::Lower,
            _ if character.is_alphabetic() => Class::Caseless,
            _ => Class::Separator,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{is_secret, is_secret_argument, is_secret_type};

    #[test]
    fn a_name_is_secret_when_one_of_its_words_is() {
        for name in [
            "password",
            "user_password",
            "dbPassword2",
            "API_KEY",
            "APIKey",
            "apikey",
            "private_key",
            "SSN",
            "credentials",
        ] {
            assert!(is_secret(name) && is_secret_argument(name) && is_secret_type(name), "{name}");
        }
        for name in ["access_tokens", "set-cookie"] {
            assert!(is_secret(name) && is_secret_argument(name) && !is_secret_type(name), "{name}");
        }
        for name in ["", "_", "key", "secretary", "tokenizer", "key_api", "private", "id"] {
            assert!(!is_secret(name) && !is_secret_argument(name) && !is_secret_type(name), "{name}");
        }
    }

    #[test]
    fn a_letter_outside_of_ascii_belongs_to_the_word_of_an_argument_and_ends_the_word_of_a_field() {
        for (name, as_argument, as_field) in [
            ("tokenübersicht", false, true),
            ("tokenÜbersicht", true, true),
            ("éToken", true, true),
            ("étoken", false, true),
            ("パスtoken", false, true),
            ("api_é_key", false, true),
            ("TOKENEé", true, false),
            ("clé_token", true, true),
            ("é", false, false),
        ] {
            assert_eq!(is_secret_argument(name), as_argument, "{name}");
            assert_eq!(is_secret(name), as_field, "{name}");
        }
    }
}
