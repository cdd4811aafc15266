//! Names that look secret, whose values are redacted without being asked for.
//!
//! The runtime applies the same rule to the fields of captured values; it is spelled out in both
//! crates because a macro crate can share nothing with the crate its expansion calls.

/// Words of which one is enough, and pairs that must stand side by side.
const SECRET: &[&[&str]] = &[
    &["password"],
    &["passwd"],
    &["secret"],
    &["token"],
    &["authorization"],
    &["cookie"],
    &["credential"],
    &["cvv"],
    &["ssn"],
    &["apikey"],
    &["api", "key"],
    &["privatekey"],
    &["private", "key"],
];

/// Does one of the words in `name` (`user_password`, `apiKey`, `tokens`) look secret?
pub(crate) fn looks_secret(name: &str) -> bool {
    let words = words(name);
    let is = |word: &str, secret: &str| word == secret || word.strip_suffix('s') == Some(secret);
    SECRET.iter().any(|secret| {
        words
            .windows(secret.len())
            .any(|words| words.iter().zip(*secret).all(|(word, secret)| is(word, secret)))
    })
}

/// Splits where the case changes and at everything that is no letter, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let characters: Vec<char> = name.chars().collect();
    for (index, character) in characters.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| characters[before]);
        let after = characters.get(index + 1);
        let begins = character.is_uppercase()
            && (before.is_some_and(char::is_lowercase) || after.is_some_and(|after| after.is_lowercase()));
        if !character.is_alphabetic() || begins {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut()
            && character.is_alphabetic()
        {
            word.extend(character.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::looks_secret;

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
            "access_tokens",
            "SSN",
            "credentials",
        ] {
            assert!(looks_secret(name), "{name}");
        }
        for name in ["key", "secretary", "tokenizer", "key_api", "private", "id"] {
            assert!(!looks_secret(name), "{name}");
        }
    }
}
