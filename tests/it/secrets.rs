//! The attribute and the runtime spell out the same rule for names that look secret, each for itself,
//! because a macro crate can share nothing with the crate that its expansion calls. Here they are compared.

#[path = "../../monitor-macro/src/secret.rs"]
mod in_macro;

use monitor_runtime::capture::is_secret;

/// Beginnings, words and ends, which are put together in the ways in which people write names.
const WORDS: &[&str] = &[
    "password",
    "passwd",
    "secret",
    "token",
    "api",
    "key",
    "authorization",
    "cookie",
    "credential",
    "private",
    "cvv",
    "ssn",
    "apikey",
    "privatekey",
    "user",
    "id",
    "secretary",
    "tokenizer",
    "keyboard",
    "pass",
    "word",
    "x",
    "monkey",
    "lesson",
    "2",
    "s",
];

#[test]
fn macro_and_runtime_take_the_same_names_for_secret() {
    let mut secret = 0;
    let mut compare = |name: &str| {
        assert_eq!(in_macro::looks_secret(name), is_secret(name), "{name}");
        secret += u32::from(is_secret(name));
    };
    for first in WORDS {
        for second in WORDS {
            let title = |word: &str| {
                let (start, rest) = word.split_at(1);
                start.to_uppercase() + rest
            };
            for plural in ["", "s"] {
                compare(&format!("{first}_{second}{plural}"));
                compare(&format!("{first}-{second}{plural}"));
                compare(&format!("{first}{second}{plural}"));
                compare(&format!("{first}{plural}{}", title(second)));
                compare(&format!("{}{plural}{}", title(first), second.to_uppercase()));
                compare(&format!("{}_{}{plural}", first.to_uppercase(), second.to_uppercase()));
                compare(&format!("{}{}{plural}", first.to_uppercase(), title(second)));
                compare(&format!("{first}2{second}{plural}"));
            }
        }
    }
    assert!(secret > 3000, "{secret}");
}
