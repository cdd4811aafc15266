//! Captured texts that look like secrets: keys of cloud providers, private keys, tokens.
//!
//! The patterns are the fixed beginnings and lengths that issuers of keys document. They are compared by hand, because
//! there are few of them, and each begins with a plain text.

use std::collections::HashSet;

use super::{Facts, Finding, Level, quote_sql, shorten};

/// A kind of secret: its name, the text with which it begins, and the fewest characters of its alphabet after that.
const KINDS: [(&str, &str, usize); 9] = [
    ("an AWS access key", "AKIA", 16),
    ("an AWS access key", "ASIA", 16),
    ("a GitHub token", "ghp_", 30),
    ("a GitHub token", "github_pat_", 30),
    ("a Slack token", "xoxb-", 20),
    ("a Stripe key", "sk_live_", 20),
    ("a Google API key", "AIza", 30),
    ("a bearer token", "Bearer ", 24),
    ("an npm token", "npm_", 30),
];

pub(super) fn find(facts: &Facts) -> Vec<Finding> {
    let mut told = HashSet::new();
    let mut findings = Vec::new();
    for (function, call, text) in &facts.texts {
        let Some(kind) = recognize(text) else { continue };
        if !told.insert((function.clone(), kind)) {
            continue;
        }
        let calls = facts
            .texts
            .iter()
            .filter(|(other, _, text)| other == function && recognize(text) == Some(kind))
            .count();
        findings.push(Finding {
            kind: "leaks_secret",
            level: Level::Critical,
            subject: function.clone(),
            sentence: format!(
                "The values of {} hold what looks like {kind}: leave it out with redact(…) or skip(…), and replace the key",
                shorten(function)
            ),
            evidence: format!("SELECT call_id, args, result, error, fields FROM calls WHERE function = {} AND call_id = {call}", quote_sql(function)),
            since_ns: None,
            saves_ns: 0.0,
            rests_on: crate::units::format_quantity(calls, "call", "calls"),
            is_estimated: false,
            next: format!("monitor trace {call}").into(),
        });
    }
    findings
}

/// Returns what secret a text seems to hold.
fn recognize(text: &str) -> Option<&'static str> {
    if text.contains("-----BEGIN ") && text.contains("PRIVATE KEY") {
        return Some("a private key");
    }
    if has_web_token(text) {
        return Some("a JSON web token");
    }
    let has = |(_, start, min): &&(&str, &str, usize)| {
        text.match_indices(*start).any(|(at, _)| {
            let begins = !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
            let rest = text[at + start.len()..].chars().take_while(|c| is_of_key(*c));
            begins && rest.clone().count() >= *min && rest.clone().any(|c| c.is_ascii_digit())
        })
    };
    KINDS.iter().find(has).map(|(name, ..)| *name)
}

fn is_of_key(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_-./+=".contains(character)
}

/// Returns true if a text holds three parts in base64 joined by dots, the first two of which begin like a JSON object.
fn has_web_token(text: &str) -> bool {
    text.match_indices("eyJ").any(|(at, _)| {
        let end = text[at..]
            .find(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c)))
            .map_or(text.len(), |end| at + end);
        let parts: Vec<&str> = text[at..end].split('.').collect();
        parts.len() >= 3 && parts[0].len() >= 10 && parts[1].starts_with("eyJ") && parts[2].len() >= 10
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_recognized_and_texts_like_them_are_not() {
        let secrets = [
            (r#"{"key":"AKIAIOSFODNN7EXAMPLE"}"#, "an AWS access key"),
            ("-----BEGIN RSA PRIVATE KEY-----\nMIIE", "a private key"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N", "a JSON web token"),
            ("authorization: Bearer 0123456789abcdef0123456789abcdef", "a bearer token"),
            ("ghp_0123456789abcdefghijABCDEFGHIJ012345", "a GitHub token"),
        ];
        for (text, kind) in secrets {
            assert_eq!(recognize(text), Some(kind), "{text}");
        }
        for text in [
            "AKIA",
            "NAKIAIOSFODNN7EXAMPLE",
            "eyJhbGciOiJIUzI1NiJ9",
            "eyJ.eyJ.x",
            "Bearer of good news for everybody",
            "-----BEGIN CERTIFICATE-----",
            "Bearer [redacted]",
        ] {
            assert_eq!(recognize(text), None, "{text}");
        }
    }
}
