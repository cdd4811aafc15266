//! Removes secrets from within a text: error messages, and strings that are captured under an innocent name.
//!
//! Takes a text; gives it with `[redacted]` in place of what is secret by its form: a token behind `Bearer`, the
//! password in a URL, a JSON Web Token, a private key, an access key of a cloud, the value of `--password`,
//! `password=` or `"password":`. The text is read once; most texts have no mark of a secret and are given back as
//! they are. It does not know the name of the value.

mod quotes;
mod words;

use std::borrow::Cow;

use crate::redaction::{is_secret, is_secret_type};
use quotes::{blanks, closing, opening_before, quoted, without_quotes};
use words::{is_placeholder, name_before, placeholder, word};

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

/// The values of headers that say that there is no value.
const NOTHING: [&str; 3] = ["None", "null", "nil"];

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
        b':' => header(text, at).or_else(|| named(text, at)),
        b'=' => assigned(text, at),
        b'-' if rest.starts_with("-----BEGIN ") => private_key(text, at),
        b'-' if rest.starts_with("--") && is_word_start && !text[..at].ends_with('-') => option(text, at),
        b'B' | b'b' if is_word_start => credentials(text, at),
        _ if is_word_start => key(text, at),
        _ => None,
    }
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

/// Finds the value of a header whose name ends before the colon. The value ends with the quote that it, or the name
/// before it, began with; without such a quote it ends with the line, because a value may have quotes and brackets in
/// it.
fn header(text: &str, colon: usize) -> Option<(usize, usize)> {
    let name = name_before(without_quotes(&text[..colon]));
    let is_path = text[colon + 1..].starts_with(':') || text[..colon].ends_with(':');
    if is_path || !HEADERS.iter().any(|header| name.eq_ignore_ascii_case(header)) {
        return None;
    }
    let start = colon + 1 + blanks(&text[colon + 1..]);
    let rest = &text[start..];
    let is_nothing = |word: &str| {
        let after = rest.strip_prefix(word);
        after.is_some_and(|after| {
            after.trim().is_empty() || after.starts_with([',', '}', ')', ']', '"', '\n'])
        })
    };
    if rest.trim_start_matches('[').starts_with(&REDACTED[1..]) || NOTHING.into_iter().any(is_nothing) {
        return None;
    }
    if let Some((start, end)) = quoted(text, colon + 1) {
        let after = text[end..].trim_start_matches(['\\', '"', '\'']);
        if !after.starts_with(['=', ';']) {
            return is_value(&text[start..end]).then_some((start, end));
        }
    }
    let name_start = without_quotes(&text[..colon]).len() - name.len();
    let is_name_closed = text[..colon].ends_with(['"', '\'']);
    let length = match opening_before(&text[..name_start]).filter(|_| !is_name_closed) {
        Some(opening) => closing(rest, opening),
        None => rest.len(),
    };
    let line = &rest[..length];
    // A text that was escaped has its ends of lines as letters.
    let line_end = [line.find(['\n', '\r']), line.find("\\r\\n")].into_iter().flatten().min();
    Some((start, start + line_end.unwrap_or(length)))
}

/// Finds the value of `name: "value"` or `"name":"value"` if the name is that of a secret. A value without quotes is
/// not looked for, because a sentence may follow the colon: `password: too short`.
fn named(text: &str, colon: usize) -> Option<(usize, usize)> {
    let (start, end) = quoted(text, colon + 1)?;
    let before = without_quotes(&text[..colon]);
    let is_quoted = text[before.len()..colon].contains(['"', '\'']);
    let is_secret = is_secret_in_quotes(before, is_quoted, &text[start..end]);
    (is_secret && is_value(&text[start..end])).then_some((start, end))
}

/// Returns true if the text before a value in quotes ends with the name of a secret. Within a sentence, words such as
/// `token` may mean something else (`unexpected token: "}"`): there the value has to look like a secret too. A quote
/// that the name began with is closed where the value seems to begin (`"password: "`).
fn is_secret_in_quotes(before: &str, is_quoted: bool, value: &str) -> bool {
    let name = name_before(before);
    let before = &before[..before.len() - name.len()];
    if !is_secret(name) || (!is_quoted && before.ends_with(['"', '\'', '`'])) {
        return false;
    }
    let sentence = before.trim_end_matches([' ', '\t']);
    let is_in_sentence = !is_quoted && sentence.ends_with(char::is_alphanumeric);
    !is_in_sentence || is_secret_type(name) || (value.len() >= 6 && is_mixed(value))
}

/// Finds the value of `name=value` if the name is that of a secret. Spaces around the sign are allowed before quotes
/// only.
fn assigned(text: &str, equals: usize) -> Option<(usize, usize)> {
    let rest = &text[equals + 1..];
    if rest.starts_with(['=', '>', '~']) {
        return None;
    }
    let in_quotes = quoted(text, equals + 1);
    let before = &text[..equals];
    if is_secret(name_before(before)) {
        let (start, end) = in_quotes.unwrap_or_else(|| (equals + 1, equals + 1 + word(rest)));
        let is_whole_placeholder = in_quotes.is_none() && is_placeholder(rest);
        return (is_value(&text[start..end]) && !is_whole_placeholder).then_some((start, end));
    }
    let (start, end) = in_quotes?;
    let (name, value) = (without_quotes(before), &text[start..end]);
    let is_quoted = name.len() < before.trim_end().len();
    let has_opened = opening_before(&name[..name.len() - name_before(name).len()]).is_some();
    let is_found = is_quoted == has_opened && is_secret_in_quotes(name, is_quoted, value) && is_value(value);
    is_found.then_some((start, end))
}

/// Returns true if a text, which is all of a value, is no placeholder, and nothing that was redacted before.
fn is_value(found: &str) -> bool {
    // Without quotes, a value `[redacted]` may be found as `[redacted`.
    !found.is_empty() && !found.starts_with("[redacted") && placeholder(found) != Some(found.len())
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
    // The first quotes may close those of the option.
    let between = after[..skipped].trim_start_matches(['"', '\'', '\\']);
    let length = match opening_before(between) {
        Some(opening) => closing(&text[start..], opening),
        None => word(&text[start..]),
    };
    let found = &text[start..start + length];
    let is_word =
        !found.starts_with(['-', '[']) && !PROSE.contains(&found) && !is_placeholder(&text[start..]);
    (is_word && is_value(found)).then_some((start, start + length))
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
    let is_token = if is_bearer {
        (found.len() >= 6 && is_mixed(found)) || found.len() >= 20
    } else {
        found.len() >= 8 && is_mixed(found) && found.bytes().any(|byte| byte.is_ascii_lowercase())
    };
    is_token.then(|| (start, start + found.len()))
}

/// Returns true if a word has digits, or letters of both cases, as few words of a sentence have.
fn is_mixed(word: &str) -> bool {
    let has = |test: fn(&u8) -> bool| word.bytes().any(|byte| test(&byte));
    has(u8::is_ascii_digit) || (has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase))
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

    /// Checks that each text becomes the one beside it, and that a second time changes nothing.
    fn check(cases: &[(&str, &str)]) {
        for (text, expected) in cases {
            assert_eq!(without_secrets(text), *expected, "{text}");
            assert_eq!(without_secrets(expected), *expected, "redacted twice: {text}");
        }
    }

    #[test]
    fn a_value_that_begins_like_a_placeholder_is_redacted_and_a_placeholder_stays() {
        check(&[
            ("GET /login?password=%40dmin123&x=1", "GET /login?password=[redacted]&x=1"),
            ("?token=%2Fabcdef123456", "?token=[redacted]"),
            ("?token=%ab%cd HTTP/1.1", "?token=[redacted] HTTP/1.1"),
            ("password=$ecret123 host=db", "password=[redacted] host=db"),
            ("--password=$ecret", "--password=[redacted]"),
            ("--password $ecret -h db", "--password [redacted] -h db"),
            ("password=$2b$12$abcdefghijkl", "password=[redacted]"),
            ("password=$Up3r", "password=[redacted]"),
            ("password=${PW:-hunter2} x", "password=[redacted]} x"),
            ("password=<3hearts host=db", "password=[redacted] host=db"),
            ("password=%dmin", "password=[redacted]"),
            ("--password <3hearts", "--password [redacted]"),
        ]);
        for text in [
            "psql password=$PASSWORD host=$HOST",
            "password=${DB_PASSWORD}",
            "password=\"$PGPASSWORD\"",
            "export TOKEN=$(cat /run/token)",
            "UPDATE users SET password=$1, name=$2",
            "password=<password>",
            "password=<your password> host=db",
            "?token=%s&page=%d",
            "password=%PASSWORD%",
            "password=%(password)s",
            "token=%{token}",
            "--token=<TOKEN>",
            "--password $PASSWORD",
        ] {
            assert_eq!(without_secrets(text), text);
        }
    }

    #[test]
    fn the_value_of_a_header_ends_with_its_line_or_with_the_quote_it_began_with() {
        check(&[
            ("Cookie: prefs={\"a\":1}; sid=s3cr3tvalue", "Cookie: [redacted]"),
            ("Cookie: a=[1]; session=s3cr3t\nHost: a", "Cookie: [redacted]\nHost: a"),
            ("Cookie: \"a\"=1; sid=s3cr3t", "Cookie: [redacted]"),
            (
                "Authorization: Digest username=\"ada\", response=\"6629fae\"\r\nHost: a",
                "Authorization: [redacted]\r\nHost: a",
            ),
            (
                "curl -H \"Authorization: Bearer s3cr3t\" https://a/b",
                "curl -H \"Authorization: [redacted]\" https://a/b",
            ),
            ("curl -H 'Cookie: a=\"1\"; sid=s3cr3t' https://a", "curl -H 'Cookie: [redacted]' https://a"),
            (
                "{\"authorization\": \"Digest a=\\\"1\\\", b=2\", \"n\": 1}",
                "{\"authorization\": \"[redacted]\", \"n\": 1}",
            ),
            ("H { cookie: Some(\"a=[1]; sid=s3cr3t\"), n: 1 }", "H { cookie: Some(\"[redacted]\"), n: 1 }"),
            ("H { cookie: None, n: 1 }", "H { cookie: None, n: 1 }"),
            ("send `Authorization: Bearer s3cr3t` first", "send `Authorization: [redacted]` first"),
            (
                "{\"Cookie\":[\"a=1\",\"sid=s3cr3t\"],\"Accept\":[\"*/*\"]}",
                "{\"Cookie\":[[redacted]],\"Accept\":[\"*/*\"]}",
            ),
            (
                "{\"raw\":\"{\\\"cookie\\\":\\\"a=\\\\\\\"s3cr3t\\\\\\\"; b=1\\\",\\\"n\\\":1}\"}",
                "{\"raw\":\"{\\\"cookie\\\":\\\"[redacted]\\\",\\\"n\\\":1}\"}",
            ),
            (
                "raw \"GET /\\r\\nCookie: a=1\\r\\nHost: a\"",
                "raw \"GET /\\r\\nCookie: [redacted]\\r\\nHost: a\"",
            ),
        ]);
    }

    #[test]
    fn a_value_with_separators_and_escaped_quotes_in_it_is_redacted_as_a_whole() {
        check(&[
            ("password=hun,ter2", "password=[redacted]"),
            ("password=hun,ter2, host=db", "password=[redacted], host=db"),
            ("user=ada,password=hun)ter2,host=db", "user=ada,password=[redacted],host=db"),
            (
                "Server=a;Password=hun;ter2;Initial Catalog=b",
                "Server=a;Password=[redacted];Initial Catalog=b",
            ),
            ("password=bob's}1 host=db", "password=[redacted] host=db"),
            ("(password=hunter2)", "(password=[redacted])"),
            ("{\"query\":\"token=abc\",\"n\":1}", "{\"query\":\"token=[redacted]\",\"n\":1}"),
            ("token=abc<br>next", "token=[redacted]<br>next"),
            ("token=abc,def==", "token=[redacted]"),
            ("password=\"ab\\\"cd\"", "password=\"[redacted]\""),
            ("password=\"ab\\\\\" n=1", "password=\"[redacted]\" n=1"),
            ("say \"password=\\\"ab cd\\\" n=1\"", "say \"password=\\\"[redacted]\\\" n=1\""),
            ("--password 'hun ter2' -h db", "--password '[redacted]' -h db"),
            ("password=\"never closed", "password=\"[redacted]"),
        ]);
    }

    #[test]
    fn values_in_quotes_behind_a_colon_are_redacted_by_their_name() {
        check(&[
            ("{\"user\":\"ada\",\"password\":\"hunter2\"}", "{\"user\":\"ada\",\"password\":\"[redacted]\"}"),
            ("{ \"password\" : \"hun\\\"ter2\", \"n\": 1 }", "{ \"password\" : \"[redacted]\", \"n\": 1 }"),
            (
                "refused Login { user: \"ada\", password: \"hunter2\" }",
                "refused Login { user: \"ada\", password: \"[redacted]\" }",
            ),
            ("L { api_key: Some(\"hunter2\"), n: 1 }", "L { api_key: Some(\"[redacted]\"), n: 1 }"),
            ("L { pin: Pin(Some(b\"hunter2\")) }", "L { pin: Pin(Some(b\"[redacted]\")) }"),
            (
                "L {\n    token: Some(\n        \"hunter2\",\n    ),\n}",
                "L {\n    token: Some(\n        \"[redacted]\",\n    ),\n}",
            ),
            ("{'token': 'hunter2', 'n': 1}", "{'token': '[redacted]', 'n': 1}"),
            ("{\"tokens\": [\"a\", \"b\"], \"n\": 1}", "{\"tokens\": [[redacted]], \"n\": 1}"),
            (
                "body: \"{\\\"password\\\":\\\"hun\\\\\\\"ter2\\\",\\\"n\\\":1}\"",
                "body: \"{\\\"password\\\":\\\"[redacted]\\\",\\\"n\\\":1}\"",
            ),
            (
                "{\"user.password\":\"x\",\"New password\":\"y\"}",
                "{\"user.password\":\"[redacted]\",\"New password\":\"[redacted]\"}",
            ),
            ("{\"password\":\"cut off her", "{\"password\":\"[redacted]"),
            ("logged in with password: \"hunter2\"", "logged in with password: \"[redacted]\""),
            ("invalid token: \"abc123def\"", "invalid token: \"[redacted]\""),
            ("password = \"hunter2\"", "password = \"[redacted]\""),
            ("UPDATE u SET password = 'hunter2', n = 'x'", "UPDATE u SET password = '[redacted]', n = 'x'"),
        ]);
        for text in [
            "password: too short",
            "password: Option<String>",
            "missing field: \"password\"",
            "unexpected token: \"}\"",
            "expected \"password: \" but got \"user: \"",
            "cookie-pair = cookie-name \"=\" cookie-value",
            "Cookie::parse(\"x\") in cookie::parse",
            "start(&[\"--no-token\"]); ask(\"--token\"), \"x\"",
            "unexpected token: 'identifier' at line 3",
            "expected token = \";\"",
            "secretary: \"Ann\"",
            "{\"total_tokens\":57,\"password\":null}",
            "{\"password\":\"\",\"name\":\"ada\"}",
            "{\"password\":\"${PASSWORD}\",\"token\":\"<token>\"}",
            "if token == \"x\" && secret != \"y\" {",
            "tokens::parse(\"x\")",
        ] {
            assert_eq!(without_secrets(text), text);
        }
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
        ) + "\ncookie: Some([\\\"ü\\\\\\\"\", 'é']) \"token\": [\\\\\\\"ä\"é, \"ö\"] password=%ü ${é <日 ä>,é;ö=ü";
        let places: Vec<usize> = all.char_indices().map(|(at, _)| at).collect();
        for (at, start) in places.iter().enumerate() {
            for end in &places[at..] {
                let _ = without_secrets(&all[*start..*end]);
            }
        }
    }
}
