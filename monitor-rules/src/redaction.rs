//! Decides by its name whether a value is secret and must not be stored.
//!
//! Takes the name of an argument, field, key, function or type. Returns whether one of its words, such as `password` or
//! `token`, marks a secret. A name is split into words where its case changes and at everything that is not a
//! letter, so that `userPassword`, `API-Key` and `db_password2` are recognised and `secretary` is not. Words that were
//! run together are recognised by their ends (`PGPASSWORD`, `accesstoken`). It does not know the values.

/// The words that mark a secret in any name, in the singular. Two words match where they stand side by side.
const WORDS: [&[&str]; 22] = [
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
    &["passphrase"],
    &["pwd"],
    &["bearer"],
    &["jwt"],
    &["creds"],
    &["access", "key"],
    &["encryption", "key"],
    &["signing", "key"],
    &["connection", "string"],
    &["card", "number"],
    &["pin", "code"],
];

/// The ends of words that mark a secret in any name, because people run words together. Each is long enough that no
/// other word ends so.
const ENDS: [&str; 20] = [
    "password",
    "passwords",
    "passwd",
    "passphrase",
    "secret",
    "secrets",
    "apikey",
    "privatekey",
    "accesskey",
    "secretkey",
    "encryptionkey",
    "signingkey",
    "connectionstring",
    "cardnumber",
    "creds",
    "credentials",
    "userpwd",
    "dbpwd",
    "jwt",
    "authorization",
];

/// The ends of words that mark a secret in the name of a value only.
const ENDS_OF_VALUES: [&str; 9] =
    ["token", "tokens", "cookie", "sessionid", "userpass", "dbpass", "smtppass", "pgpass", "rootpass"];

/// The words that mark a secret in the name of a value only. Types with these words in their names mostly
/// hold something else: a parser has tokens, for example.
const WORDS_OF_VALUES: [&[&str]; 3] = [&["token"], &["cookie"], &["session", "id"]];

/// The words that mark a secret as the last word of a value's name: `user_pass` is one, and `pass_count` is none.
const LAST_WORDS: [&str; 5] = ["pass", "auth", "otp", "pin", "pwd"];

/// The words after which `pass` means a success or a run over data: `test_pass`, `first_pass`.
const PASSES: [&str; 12] =
    ["first", "second", "third", "last", "next", "single", "multi", "render", "test", "did", "tests", "per"];

/// The first words of functions that ask about a secret or do something with it, and return none.
const VERBS: [&str; 34] = [
    "verify",
    "check",
    "validate",
    "is",
    "has",
    "have",
    "had",
    "can",
    "should",
    "must",
    "set",
    "reset",
    "change",
    "update",
    "delete",
    "remove",
    "revoke",
    "count",
    "compare",
    "store",
    "save",
    "expire",
    "forget",
    "require",
    "matches",
    "contains",
    "invalidate",
    "with",
    "test",
    "put",
    "clear",
    "rotate",
    "use",
    "handle",
];

/// Returns whether the result of a function of this name is a secret: the last word marks one, and the first word is no
/// verb of a function that only asks about a secret or changes it.
#[must_use]
pub fn is_secret_result(name: &str) -> bool {
    let mut words = Vec::new();
    let mut rest = name;
    while let Some((word, after)) = next_word(rest, Letters::Unicode) {
        words.push(word);
        rest = after;
    }
    let Some(first) = words.first() else { return false };
    let has_verb = words.len() > 1 && VERBS.iter().any(|verb| first.eq_ignore_ascii_case(verb));
    // A secret may take two words at the end of the name: `load_api_key`.
    let last = name.rfind(words[words.len().saturating_sub(2)]).map_or(name, |at| &name[at..]);
    let ends_with_secret = is_secret_argument(last)
        && words.last().is_some_and(|last_word| {
            is_secret_argument(last_word) || (words.len() > 1 && !is_secret_argument(words[words.len() - 2]))
        });
    !has_verb && ends_with_secret
}

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
    may_be_secret(name) && has_secret_word(name, &WORDS, &ENDS, Letters::Ascii)
}

#[cold]
fn is_secret_value(name: &str, letters: Letters) -> bool {
    has_secret_word(name, &WORDS, &ENDS, letters)
        || has_secret_word(name, &WORDS_OF_VALUES, &ENDS_OF_VALUES, letters)
        || ends_with_secret_word(name, letters)
}

/// Returns whether `name` contains one of the letter pairs `ss`, `cr`, `ok`, `th`, `vv`, `ke`, `wd`, `be`, `jw`, `tp`, `pi`
/// and `nn`. Each secret word contains one of these pairs and most other names contain none. This test comes first because
/// it costs a tenth of splitting the name into words.
#[inline]
fn may_be_secret(name: &str) -> bool {
    const PAIRS: [[u8; 2]; 12] =
        [*b"ss", *b"cr", *b"ok", *b"th", *b"vv", *b"ke", *b"wd", *b"be", *b"jw", *b"tp", *b"pi", *b"nn"];
    /// For each second letter of a pair, the set of its first letters. The low five bits of the second letter are the
    /// index, and those of a first letter are the number of its bit.
    const BEFORE: [u32; 32] = {
        let mut before = [0; 32];
        let mut at = 0;
        while at < PAIRS.len() {
            let [first, second] = PAIRS[at];
            before[(second & 31) as usize] |= 1 << (first & 31);
            at += 1;
        }
        before
    };
    let mut previous = b' ';
    name.bytes().any(|byte| {
        let is_pair = BEFORE[usize::from(byte & 31)] >> (previous & 31) & 1 != 0;
        previous = byte;
        is_pair
    })
}

/// Returns whether the last word of `name` marks a secret there.
fn ends_with_secret_word(name: &str, letters: Letters) -> bool {
    let (mut before, mut last) = ("", "");
    let mut rest = name;
    while let Some((word, after)) = next_word(rest, letters) {
        (before, last) = (last, word);
        rest = after;
    }
    let is_pass =
        last.eq_ignore_ascii_case("pass") && PASSES.iter().any(|word| before.eq_ignore_ascii_case(word));
    !is_pass && LAST_WORDS.iter().any(|word| last.eq_ignore_ascii_case(word))
}

/// Returns whether `name` contains the words of one of the `secrets`, side by side, or a word that ends with one of
/// `ends`.
fn has_secret_word(name: &str, secrets: &[&[&str]], ends: &[&str], letters: Letters) -> bool {
    let mut previous = "";
    let mut rest = name;
    while let Some((word, after)) = next_word(rest, letters) {
        let is_found = secrets.iter().any(|secret| match **secret {
            [only] => is_same_word(word, only),
            [first, second] => is_same_word(previous, first) && is_same_word(word, second),
            _ => false,
        });
        if is_found || ends.iter().any(|end| has_end(word, end)) {
            return true;
        }
        previous = word;
        rest = after;
    }
    false
}

/// Returns whether `word` ends with `end`, in any case. Words of other languages are not taken apart.
fn has_end(word: &str, end: &str) -> bool {
    let start = word.len().wrapping_sub(end.len());
    word.get(start..).is_some_and(|found| found.eq_ignore_ascii_case(end)) && word.is_ascii()
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
    use super::{is_secret, is_secret_argument, is_secret_result, is_secret_type};

    #[test]
    fn names_that_were_run_together_or_shortened_are_secret() {
        for name in [
            "PGPASSWORD",
            "userpassword",
            "accesstoken",
            "clientsecret",
            "CSRFTOKEN",
            "pwd",
            "db_pwd",
            "userPwd",
            "pass",
            "smtp_pass",
            "dbpass",
            "passphrase",
            "auth",
            "x-auth",
            "bearer",
            "jwt",
            "idJwt",
            "otp",
            "user_otp",
            "pin",
            "cardPin",
            "pin_code",
            "creds",
            "aws_creds",
            "awscreds",
            "session_id",
            "sessionId",
            "sessionid",
            "access_key",
            "AWS_ACCESS_KEY_ID",
            "encryption_key",
            "connection_string",
            "ConnectionString",
            "card_number",
            "cardNumber",
        ] {
            assert!(is_secret(name) && is_secret_argument(name), "{name}");
        }
    }

    #[test]
    fn names_that_only_resemble_secrets_are_shown() {
        for name in [
            "compass",
            "bypass",
            "passenger",
            "passed",
            "pass_count",
            "first_pass",
            "author",
            "authority",
            "auth_type",
            "pinned",
            "spin",
            "pipeline",
            "pins",
            "opinion",
            "desktop",
            "option",
            "session",
            "access",
            "key",
            "primary_key",
            "number",
            "card",
            "cardinality",
            "string",
            "connection",
            "bearing",
            "newton",
            "crowd",
            "tokenizer",
            "secretary",
            "cpwd1x",
            "sacred",
            "scared",
        ] {
            assert!(!is_secret(name) && !is_secret_argument(name) && !is_secret_type(name), "{name}");
        }
        for name in ["Pin", "Auth", "Pass", "Token", "SessionId"] {
            assert!(!is_secret_type(name), "{name}");
        }
    }

    #[test]
    fn the_result_of_a_function_is_secret_when_its_name_ends_with_a_secret() {
        for name in [
            "get_token",
            "password",
            "load_api_key",
            "fetchApiKey",
            "session_token",
            "credentials",
            "read_pin",
            "r#auth",
        ] {
            assert!(is_secret_result(name), "{name}");
        }
        for name in [
            "verify_password",
            "is_token",
            "reset_password",
            "token_count",
            "password_strength",
            "parse",
            "count_tokens",
            "tokenize",
            "",
            "_",
            "api_key_owner",
        ] {
            assert!(!is_secret_result(name), "{name}");
        }
    }

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
