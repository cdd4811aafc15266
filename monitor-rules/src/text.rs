//! Removes secrets from within a text: error messages, and strings that are captured under an innocent name.
//!
//! Takes a text; gives it with `[redacted]` in place of what is secret by its form: a token behind `Bearer`, the password in a
//! URL, a JSON Web Token, a private key, an access key of a cloud, the value of `--password` or `password=`. The text is read
//! once; most texts have no mark of a secret and are given back as they are. It does not know the name of the value.

use std::borrow::Cow;

use crate::redaction::is_secret;

/// The text in place of a secret.
pub const REDACTED: &str = "[redacted]";

/// Beginnings of keys that services give out, with the fewest letters and digits that follow.
const KEYS: [(&str, usize); 17] = [
    ("AKIA", 12),
    ("ASIA", 12),
    ("eyJ", 16),
    ("ghp_", 16),
    ("gho_", 16),
    ("ghs_", 16),
    ("ghu_", 16),
    ("github_pat_", 16),
    ("glpat-", 16),
    ("xoxb-", 16),
    ("xoxp-", 16),
    ("sk_live_", 8),
    ("rk_live_", 8),
    ("sk-ant-", 16),
    ("sk-proj-", 16),
    ("AIzaSy", 16),
    ("npm_", 30),
];

/// The bytes of the longest name before `=` that is looked at.
const NAME_BYTES_MAX: usize = 64;

/// The names of headers whose values are secret, in small letters.
const HEADERS: [&str; 9] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "x-api-key",
    "api-key",
    "x-auth-token",
    "x-amz-security-token",
    "x-csrf-token",
];

/// The words that follow an option in a sentence about it, and are no value.
const PROSE: [&str; 22] = [
    "is", "and", "or", "was", "must", "requires", "cannot", "option", "argument", "flag", "not", "for", "to",
    "the", "in", "with", "are", "if", "when", "has", "needs", "value",
];

/// Returns the text without the secrets in it.
#[must_use]
pub fn without_secrets(text: &str) -> Cow<'_, str> {
    let mut shown = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(step) = text.as_bytes()[at..].iter().position(|byte| is_mark(*byte)) {
        at += step;
        match find(text, at) {
            Some((start, end)) if start >= copied && end > start => {
                shown.push_str(&text[copied..start]);
                shown.push_str(REDACTED);
                copied = end;
                at = end.max(at + 1);
            }
            _ => at += 1,
        }
        if at >= text.len() {
            break;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    shown.push_str(&text[copied..]);
    Cow::Owned(shown)
}

/// Returns true for the bytes at which a secret is looked for.
fn is_mark(byte: u8) -> bool {
    matches!(byte, b':' | b'=' | b'-' | b'e' | b'A' | b'B' | b'b' | b'g' | b'x' | b's' | b'r' | b'n')
}

/// Returns the start and the end of the secret that the mark at byte `at` announces; `None` if it announces none.
fn find(text: &str, at: usize) -> Option<(usize, usize)> {
    let rest = &text[at..];
    let is_word_start = !text[..at].ends_with(|before: char| before.is_alphanumeric());
    match text.as_bytes()[at] {
        b':' if rest.starts_with("://") => in_url(text, at + 3),
        b':' => header(text, at),
        b'=' => assigned(text, at),
        b'-' if rest.starts_with("-----BEGIN ") => private_key(text, at),
        b'-' if rest.starts_with("--") && is_word_start && !text[..at].ends_with('-') => option(text, at),
        b'B' | b'b' if is_word_start => credentials(text, at),
        _ if is_word_start => key(text, at),
        _ => None,
    }
}

/// Returns the length of the text up to the end of a word.
fn word(text: &str) -> usize {
    text.find(|char: char| {
        char.is_whitespace()
            || matches!(char, '"' | '\'' | ',' | ';' | '&' | ')' | ']' | '}' | '<' | '>' | '`' | '|' | '\\')
    })
    .unwrap_or(text.len())
}

/// Finds the password of `scheme://user:password@host`, or the token of `scheme://token@host`.
fn in_url(text: &str, start: usize) -> Option<(usize, usize)> {
    /// The characters of the shortest name of a user that is taken for a token.
    const TOKEN_MIN: usize = 20;
    let rest = &text[start..];
    let end = rest
        .find(|char: char| char.is_whitespace() || matches!(char, '"' | '\'' | '<' | '>' | '`'))
        .unwrap_or(rest.len());
    let place = &rest[..end];
    let authority = place.find(['/', '?', '#']).unwrap_or(place.len());
    let colon = place.find(':').filter(|colon| *colon < authority);
    let port = colon.map_or("", |colon| &place[colon + 1..authority]);
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
    // A password may have a slash in it, although it should not.
    let user_end = match place[..authority].rfind('@') {
        Some(user_end) => user_end,
        None if colon.is_some() && !is_port && !place.starts_with('[') => {
            place.rfind('@').unwrap_or(authority)
        }
        None => return None,
    };
    match colon.filter(|colon| *colon < user_end) {
        Some(colon) => Some((start + colon + 1, start + user_end)),
        None if user_end >= TOKEN_MIN => Some((start, start + user_end)),
        None => None,
    }
}

/// Finds the value of a header whose name ends before the colon.
fn header(text: &str, colon: usize) -> Option<(usize, usize)> {
    let before = text[..colon].trim_end_matches(['"', '\'']);
    let name = name_before(before);
    if !HEADERS.iter().any(|header| name.eq_ignore_ascii_case(header)) {
        return None;
    }
    let rest = &text[colon + 1..];
    let skipped = rest.len() - rest.trim_start_matches([' ', '"', '\'']).len();
    let start = colon + 1 + skipped;
    let end = text[start..].find(['"', '\'', '\n', '\r', '}', ']']).map_or(text.len(), |end| start + end);
    (!text[start..].starts_with(REDACTED)).then_some((start, end))
}

/// Returns the name that a text ends with.
fn name_before(text: &str) -> &str {
    let length =
        text.bytes().rev().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    &text[text.len() - length.take(NAME_BYTES_MAX).count()..]
}

/// Finds the value of `name=value` if the name is that of a secret.
fn assigned(text: &str, equals: usize) -> Option<(usize, usize)> {
    let name = name_before(&text[..equals]);
    let rest = &text[equals + 1..];
    if name.is_empty() || rest.starts_with(['=', '>', '~']) || !is_secret(name) {
        return None;
    }
    value(text, equals + 1)
}

/// Finds a value that may be in quotes.
fn value(text: &str, start: usize) -> Option<(usize, usize)> {
    let rest = &text[start..];
    let opening = rest.starts_with(['"', '\'']).then(|| &rest[..1]);
    let escaped = rest.starts_with("\\\"");
    let (skipped, length) = match opening {
        Some(quote) => (1, rest[1..].find(quote).unwrap_or(rest.len() - 1)),
        None if escaped => (2, word(&rest[2..])),
        None => (0, word(rest)),
    };
    let found = &rest[skipped..skipped + length];
    let is_value = !found.is_empty() && !found.starts_with(REDACTED) && !found.starts_with(['$', '<', '%']);
    // Without quotes, a value `[redacted]` is found as `[redacted`, because a word ends before a bracket.
    (is_value && !found.starts_with("[redacted")).then_some((start + skipped, start + skipped + length))
}

/// Finds the key between the lines of a private key, which may be cut.
fn private_key(text: &str, at: usize) -> Option<(usize, usize)> {
    const END: &str = "-----END ";
    let title = &text[at + "-----BEGIN ".len()..];
    let title_end = title.find("-----")?;
    if !title[..title_end].ends_with("PRIVATE KEY") && !title[..title_end].ends_with("PRIVATE KEY BLOCK") {
        return None;
    }
    let start = at + "-----BEGIN ".len() + title_end + "-----".len();
    let end = text[start..].find(END).map_or(text.len(), |end| start + end);
    Some((start, end))
}

/// Finds the value behind an option such as `--password`, in a line or in a list of quoted words.
fn option(text: &str, at: usize) -> Option<(usize, usize)> {
    let name_start = at + 2;
    let length = text[name_start..]
        .bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        .count();
    let name_end = name_start + length;
    if !is_secret(&text[name_start..name_end]) {
        return None;
    }
    let after = &text[name_end..];
    let skipped = after.len() - after.trim_start_matches(['"', '\'', ',', ' ', '\\']).len();
    let start = name_end + skipped;
    if skipped == 0 || after[..skipped].trim().is_empty() && after[..skipped].len() > 1 {
        return None;
    }
    let length = word(&text[start..]);
    let found = &text[start..start + length];
    let is_value = !found.is_empty() && !found.starts_with(['-', '[', '<']) && !PROSE.contains(&found);
    is_value.then_some((start, start + length))
}

/// Finds the token behind `Bearer`, or the user and password behind `Basic`.
fn credentials(text: &str, at: usize) -> Option<(usize, usize)> {
    let (scheme, rest) = text[at..].split_once(' ')?;
    let (is_bearer, is_basic) = (scheme.eq_ignore_ascii_case("bearer"), scheme == "Basic");
    if !is_bearer && !is_basic {
        return None;
    }
    let start = at + scheme.len() + 1;
    let is_part = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
    };
    let length = rest.bytes().take_while(|byte| is_part(*byte)).count();
    let found = rest[..length].trim_end_matches('.');
    let has = |test: fn(&u8) -> bool| found.bytes().any(|byte| test(&byte));
    let is_mixed = has(u8::is_ascii_digit) || (has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase));
    let is_token = if is_bearer {
        (found.len() >= 6 && is_mixed) || found.len() >= 20
    } else {
        found.len() >= 8 && is_mixed && has(u8::is_ascii_lowercase)
    };
    is_token.then(|| (start, start + found.len()))
}

/// Finds a key that begins as those of a service do.
fn key(text: &str, at: usize) -> Option<(usize, usize)> {
    let rest = &text[at..];
    let (beginning, min) = KEYS.iter().find(|(beginning, _)| rest.starts_with(beginning))?;
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'=');
    let end = rest.bytes().take_while(|byte| is_part(byte)).count();
    let end = rest[..end].trim_end_matches(|char| char == '.' && *beginning != "eyJ").len();
    (end >= beginning.len() + min).then_some((at, at + end))
}

#[cfg(test)]
mod tests {
    use super::without_secrets;
    use std::borrow::Cow;

    const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";

    #[test]
    fn secrets_within_a_text_are_redacted_and_the_rest_stays() {
        let cases = [
            ("header Bearer abc123.def-456 refused", "header Bearer [redacted] refused"),
            ("bearer 0123456789abcdef", "bearer [redacted]"),
            ("Authorization: Bearer x", "Authorization: [redacted]"),
            ("authorization: Basic dXNlcjpwYXNz\nHost: a", "authorization: [redacted]\nHost: a"),
            ("got Basic dXNlcjpwYXNzd29yZA== from a", "got Basic [redacted] from a"),
            ("postgres://ada:hunter2@db:5432/shop", "postgres://ada:[redacted]@db:5432/shop"),
            (
                "cannot reach redis://:hunter2@cache/0: timed out",
                "cannot reach redis://:[redacted]@cache/0: timed out",
            ),
            ("amqp://a:p@ss@h/v", "amqp://a:[redacted]@h/v"),
            ("mysql://a:p/w@h/v", "mysql://a:[redacted]@h/v"),
            ("https://ghp_0123456789abcdef0123@github.com/a", "https://[redacted]@github.com/a"),
            ("mongodb://ada:hun", "mongodb://ada:[redacted]"),
            ("key AKIAIOSFODNN7EXAMPLE denied", "key [redacted] denied"),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
                "-----BEGIN RSA PRIVATE KEY-----[redacted]-----END RSA PRIVATE KEY-----",
            ),
            ("-----BEGIN PRIVATE KEY-----\nMIIEcut", "-----BEGIN PRIVATE KEY-----[redacted]"),
            ("mysql --password hunter2 --host a", "mysql --password [redacted] --host a"),
            ("--api-key=abc -v", "--api-key=[redacted] -v"),
            ("[\"--password\", \"hunter2\", \"-v\"]", "[\"--password\", \"[redacted]\", \"-v\"]"),
            ("host=db user=ada password=hunter2 port=1", "host=db user=ada password=[redacted] port=1"),
            ("GET /a?access_token=abc&page=2", "GET /a?access_token=[redacted]&page=2"),
            ("PGPASSWORD='a b' psql", "PGPASSWORD='[redacted]' psql"),
            ("sk_live_abcdefgh1234", "[redacted]"),
            (
                "two: postgres://a:b1@c and Bearer abcdef123",
                "two: postgres://a:[redacted]@c and Bearer [redacted]",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(without_secrets(text), expected, "{text}");
            assert_eq!(without_secrets(expected), expected, "redacted twice");
        }
        assert_eq!(without_secrets(&format!("token {JWT}, expired")), "token [redacted], expired");
        assert_eq!(without_secrets(&JWT[..30]), "[redacted]");
    }

    #[test]
    fn texts_without_secrets_are_not_touched() {
        for text in [
            "",
            "the bearer of bad news",
            "Bearer authentication is required",
            "Basic authentication failed",
            "http://localhost:8080/path@2x.png",
            "https://example.com/a?b=c&page=2",
            "ssh://git@github.com/a/b",
            "http://[::1]:80/a@b",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
            "--password <PASSWORD>",
            "the option --password is required",
            "password must be longer",
            "password: too short",
            "if token == other { }",
            "token => next",
            "author=ada compass=north pinned=true passenger=7",
            "--verbose hunter2",
            "AKIA is a prefix",
            "eyJ is another",
            "é:// ü= 日本 -- ---",
            "ends with =",
            "ends with --password",
            "a: b = c - d",
        ] {
            assert!(matches!(without_secrets(text), Cow::Borrowed(_)), "{text}: {}", without_secrets(text));
        }
    }

    #[test]
    fn any_cut_of_any_text_is_read_without_a_panic() {
        let all = format!(
            "é Bearer {JWT} postgres://ü:ß@日 password=\"ä --token 'ö -----BEGIN PRIVATE KEY----- ü Authorization: é"
        );
        let places: Vec<usize> = all.char_indices().map(|(at, _)| at).collect();
        for (at, start) in places.iter().enumerate() {
            for end in &places[at..] {
                let _ = without_secrets(&all[*start..*end]);
            }
        }
    }
}
