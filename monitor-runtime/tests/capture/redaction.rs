//! Secrets are never stored, by whichever way they are captured.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Debug};

use monitor_runtime::capture::is_secret;
use serde::Serialize;

use crate::{json, text};

const CANARY: &str = "hunter2";

/// A value whose `Debug` writes this text.
struct Says(&'static str);
impl Debug for Says {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Writes one character at a time, because redaction must not depend on how a text is divided.
        self.0.chars().try_for_each(|character| fmt::Write::write_char(formatter, character))
    }
}

/// Captures a text by `Debug`. Returns the stored text.
fn debugged(text: &'static str) -> String {
    serde_json::from_str(&json!(Says(text))).unwrap()
}

#[test]
fn names_are_secret_by_whole_words() {
    for name in [
        "password",
        "Password",
        "PASSWORD",
        "user_password",
        "userPassword",
        "password2",
        "passwords",
        "passwd",
        "secret",
        "client-secret",
        "clientSecrets",
        "token",
        "access_token",
        "tokens",
        "api_key",
        "api-key",
        "apiKey",
        "APIKey",
        "APIKEY",
        "x-api-key",
        "API_KEYS",
        "private_key",
        "privateKey",
        "authorization",
        "Authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "credential",
        "credentials",
        "cvv",
        "ssn",
        "SSN",
        "customerSSN",
        "r#token",
    ] {
        assert!(is_secret(name), "{name}");
    }
    for name in [
        "",
        "name",
        "key",
        "api",
        "secretary",
        "tokenizer",
        "tokenize",
        "passwordless",
        "cookies_",
        "monkey",
        "public_key",
        "keyPrivate",
        "key_api",
        "assn",
        "author",
        "authorized",
        "passage",
        "é",
        "apikeyring",
    ] {
        assert_eq!(is_secret(name), name == "cookies_", "{name}");
    }
}

#[test]
fn fields_of_structs_are_redacted() {
    #[derive(Serialize, Debug)]
    struct Login {
        user: &'static str,
        password: &'static str,
        #[serde(rename = "apiKey")]
        key: Option<&'static str>,
        nested: Vec<Nested>,
    }
    #[derive(Serialize, Debug)]
    struct Nested {
        session_token: [u8; 3],
        kept: u8,
    }
    #[derive(Debug)]
    #[expect(dead_code, reason = "read by Debug")]
    struct Debugged(Login);

    let login = || Login {
        user: "bob",
        password: CANARY,
        key: Some(CANARY),
        nested: vec![Nested { session_token: [7, 7, 7], kept: 1 }],
    };
    assert_eq!(
        json!(login()),
        r#"{"user":"bob","password":"[redacted]","apiKey":"[redacted]","nested":[{"session_token":"[redacted]","kept":1}]}"#
    );
    assert_eq!(
        serde_json::from_str::<String>(&json!(Debugged(login()))).unwrap(),
        "Debugged(Login { user: \"bob\", password: \"[redacted]\", key: Some(\"hunter2\"), \
         nested: [Nested { session_token: \"[redacted]\", kept: 1 }] })"
    );
}

#[test]
fn entries_of_maps_and_pairs_are_redacted() {
    let map = BTreeMap::from([("Cookie", CANARY), ("Accept", "*/*")]);
    assert_eq!(json!(map), r#"{"Accept":"*/*","Cookie":"[redacted]"}"#);
    let json_value = serde_json::json!({"a": {"secret": {"deep": CANARY}}});
    assert_eq!(json!(json_value), r#"{"a":{"secret":"[redacted]"}}"#);
    let headers = vec![("authorization".to_owned(), CANARY.to_owned()), ("accept".into(), "x".into())];
    assert_eq!(json!(headers), r#"[["authorization","[redacted]"],["accept","x"]]"#);
    let debugged = HashMap::from([("password", Says(CANARY))]);
    assert_eq!(json!(debugged), r#"{"password":"[redacted]"}"#);
}

#[test]
fn contents_of_variants_and_newtypes_are_redacted_by_the_type_name() {
    #[derive(Serialize, Debug)]
    enum Auth {
        Password(&'static str),
        ApiKey(&'static str, u8),
        Basic { user: &'static str, password: &'static str },
    }
    #[derive(Serialize, Debug)]
    struct Secret(&'static str);
    #[derive(Serialize)]
    struct Outer(Vec<Auth>, Secret, u8);
    let outer = Outer(
        vec![Auth::Password(CANARY), Auth::ApiKey(CANARY, 1), Auth::Basic { user: "bob", password: CANARY }],
        Secret(CANARY),
        5,
    );
    assert_eq!(
        json!(outer),
        r#"[[{"Password":"[redacted]"},{"ApiKey":"[redacted]"},{"Basic":{"user":"bob","password":"[redacted]"}}],"[redacted]",5]"#
    );
    assert_eq!(
        debugged(r#"[Password("hunter2"), Secret(Some((1, "hunter2"))), 5]"#),
        r#"[Password("[redacted]"), Secret("[redacted]"), 5]"#
    );
    // `Token` is not redacted as a type name, because the tokens of a parser are no secrets.
    assert_eq!(debugged("Token(Ident)"), "Token(Ident)");
}

#[test]
fn named_fields_of_a_type_or_variant_with_a_secret_name_are_redacted() {
    #[derive(Serialize, Debug)]
    struct ApiKey {
        value: &'static str,
    }
    #[derive(Serialize, Debug)]
    enum Auth {
        Password {
            value: &'static str,
            rounds: u8,
        },
        Other {
            value: ApiKey,
        },
        #[serde(untagged)]
        Secret {
            value: &'static str,
        },
    }
    let auths = || {
        [
            Auth::Password { value: CANARY, rounds: 3 },
            Auth::Other { value: ApiKey { value: CANARY } },
            Auth::Secret { value: CANARY },
        ]
    };
    assert_eq!(json!(ApiKey { value: CANARY }), r#""[redacted]""#);
    assert_eq!(json!((Some(ApiKey { value: CANARY }), 5)), r#"["[redacted]",5]"#);
    assert_eq!(json!(&auths()[..2]), r#"[{"Password":"[redacted]"},{"Other":{"value":"[redacted]"}}]"#);
    let shown =
        r#"[Password { "[redacted]" }, Other { value: ApiKey { "[redacted]" } }, Secret { "[redacted]" }]"#;
    assert_eq!(debugged(format!("{:?}", auths()).leak()), shown);
    let lines = debugged(format!("{:#?}", (auths(), 5)).leak());
    assert!(!lines.contains(CANARY) && lines.ends_with("    5,\n)"), "{lines}");
}

#[test]
fn what_debug_writes_is_cleaned_before_it_is_stored() {
    for (written, stored) in [
        (r#"L { password: "hunter2", n: 1 }"#, r#"L { password: "[redacted]", n: 1 }"#),
        (r#"L { password: "hunter2" }"#, r#"L { password: "[redacted]" }"#),
        (
            r#"L { password: Secret { inner: ["hunter2", "}"] }, n: 1 }"#,
            r#"L { password: "[redacted]", n: 1 }"#,
        ),
        (r#"{"password": "hun\"ter2, }", "n": 1}"#, r#"{"password": "[redacted]", "n": 1}"#),
        ("L {\n    password: \"hunter2\",\n    n: 1,\n}", "L {\n    password: \"[redacted]\",\n    n: 1,\n}"),
        ("L { password: Some(\n \"hunter2\",\n), n: 1 }", "L { password: \"[redacted]\", n: 1 }"),
        ("L { tokens: ['\"', '\\'', ','], n: 1 }", "L { tokens: \"[redacted]\", n: 1 }"),
        ("L { quote: '\"', password: \"hunter2\" }", "L { quote: '\"', password: \"[redacted]\" }"),
        ("L { note: don't, password: \"hunter2\" }", "L { note: don't, password: \"[redacted]\" }"),
        ("L { escape: '\\'', password: \"hunter2\" }", "L { escape: '\\'', password: \"[redacted]\" }"),
        ("L { tab: '\\u{1f}', password: \"hunter2\" }", "L { tab: '\\u{1f}', password: \"[redacted]\" }"),
        ("a='x': password: 5", "a='x': password: \"[redacted]\""),
        ("secret::Path { n: 1 }", "secret::Path { n: 1 }"),
        ("L { n: secret::VALUE }", "L { n: secret::VALUE }"),
        ("user=bob password=hunter2 n=1", "user=bob password=\"[redacted]\" n=1"),
        ("token = hunter2; n", "token =\"[redacted]\"; n"),
        ("a?token=hunter2&n=1", "a?token=\"[redacted]\"&n=1"),
        ("password => \"hunter2\", 1", "password =\"[redacted]\", 1"),
        (
            "[(\"authorization\", \"Bearer hunter2\"), (\"n\", 1)]",
            "[(\"authorization\", \"[redacted]\"), (\"n\", 1)]",
        ),
        ("L { say: \"password: x\", n: 1 }", "L { say: \"password: x\", n: 1 }"),
        ("L { password: hunter2", "L { password: \"[redacted]\""),
        ("password:hunter2", "password: \"[redacted]\""),
        ("password:", "password:"),
        ("Secret{n: 1}, n", "Secret{ \"[redacted]\"}, n"),
        ("Outer { a: Secret { b: [{\"}\"}], c: 1 }, d: 2 }", "Outer { a: Secret { \"[redacted]\" }, d: 2 }"),
        ("Secrets { a: 1, b", "Secrets { \"[redacted]\""),
        ("a secret, { n: 1 }", "a secret, { n: 1 }"),
        ("Token { n: 1 }", "Token { n: 1 }"),
        ("L { password: }, n", "L { password: \"[redacted]\" }, n"),
        ("L { passwordless: true }", "L { passwordless: true }"),
    ] {
        assert_eq!(debugged(written), stored);
    }
}

#[test]
fn a_secret_longer_than_the_budget_leaves_room_for_what_follows() {
    #[derive(Debug)]
    #[expect(dead_code, reason = "read by Debug")]
    struct Keys {
        private_key: String,
        n: u8,
    }
    let keys = Keys { private_key: CANARY.repeat(2000), n: 1 };
    assert_eq!(json!(keys), r#""Keys { private_key: \"[redacted]\", n: 1 }""#);
    let endless = Keys { private_key: CANARY.repeat(200_000), n: 1 };
    assert_eq!(json!(endless), r#""Keys { private_key: \"[redacted]\"… [truncated]""#);
}

#[test]
fn nothing_of_a_secret_remains_in_the_memory_that_was_handed_in() {
    use monitor_runtime::capture::dispatch::{Capture as _, Value};
    #[derive(Serialize)]
    struct Login {
        password: &'static str,
    }
    let limits = crate::limits();
    let mut buffer = [0; 4096];
    let mut writer = monitor_runtime::capture::Writer::new(&mut buffer, &limits);
    (&&&&&Value(&Login { password: CANARY })).__monitor_capture(&mut writer);
    (&&&&&Value(&Says(r#"{ password: "hunter2" }"#))).__monitor_capture(&mut writer);
    let _len = writer.finish();
    assert!(!buffer.windows(CANARY.len()).any(|bytes| bytes == CANARY.as_bytes()));
}

#[test]
fn the_value_of_a_header_is_redacted_by_the_name_beside_it() {
    #[derive(Serialize, Debug)]
    struct Header {
        name: &'static str,
        value: &'static str,
    }
    let headers = || {
        vec![
            Header { name: "Authorization", value: CANARY },
            Header { name: "Accept", value: "x" },
            Header { name: "x-api-key", value: CANARY },
        ]
    };
    assert_eq!(
        json!(headers()),
        r#"[{"name":"Authorization","value":"[redacted]"},{"name":"Accept","value":"x"},{"name":"x-api-key","value":"[redacted]"}]"#
    );
    assert_eq!(
        debugged(format!("{:?}", headers()).leak()),
        "[Header { name: \"Authorization\", value: \"[redacted]\" }, Header { name: \"Accept\", value: \"x\" }, \
         Header { name: \"x-api-key\", value: \"[redacted]\" }]"
    );
    let map = serde_json::json!({"key": "password", "value": CANARY, "more": {"key": "size", "value": 5}});
    // The order of keys depends on a feature of serde_json, which any package of the build may switch on.
    let shown: serde_json::Value = serde_json::from_str(&json!(map)).unwrap();
    let expected =
        serde_json::json!({"key": "password", "value": "[redacted]", "more": {"key": "size", "value": 5}});
    assert_eq!(shown, expected);
    assert_eq!(
        debugged("F { name: 5, other: \"password\", value: 7 }"),
        "F { name: 5, other: \"password\", value: 7 }"
    );
}

#[test]
fn secrets_within_strings_and_errors_are_redacted_by_their_form() {
    for (text, expected) in [
        ("postgres://ada:hunter2@db/shop", "postgres://ada:[redacted]@db/shop"),
        ("Authorization: Bearer hunter2", "Authorization: [redacted]"),
        ("mysql --password hunter2 -h db", "mysql --password [redacted] -h db"),
        ("user=ada password=hunter2", "user=ada password=[redacted]"),
    ] {
        assert_eq!(json!(text), format!("\"{expected}\""));
        assert_eq!(json!(vec![text]), format!("[\"{expected}\"]"));
        assert_eq!(text!(text), expected);
        assert_eq!(text!(std::io::Error::other(text)), expected);
    }
    let login = r#"{"user":"ada","password":"hun\"ter2"}"#;
    let said = r#"{"user":"ada","password":"[redacted]"}"#;
    assert_eq!(serde_json::from_str::<String>(&json!(login)).unwrap(), said);
    assert_eq!(text!(std::io::Error::other(login)), said);
    #[derive(Debug)]
    #[expect(dead_code, reason = "read by Debug")]
    struct Login {
        user: &'static str,
        password: Option<&'static str>,
    }
    let refused = format!("refused {:?}", Login { user: "ada", password: Some(CANARY) });
    assert_eq!(text!(refused), r#"refused Login { user: "ada", password: Some("[redacted]") }"#);
    let command =
        ["mysql", "--password", CANARY, "--host", "db", "-token", CANARY, "--api-key", "--verbose", "x"];
    assert_eq!(
        json!(command),
        r#"["mysql","--password","[redacted]","--host","db","-token","[redacted]","--api-key","--verbose","x"]"#
    );
    assert_eq!(json!([1, 2]), "[1,2]");
    // The text of a value that was cut says so as before.
    let long = format!("postgres://ada:hunter2@db/{}", "x".repeat(2000));
    let shown = json!(long);
    assert!(
        shown.starts_with("\"postgres://ada:[redacted]@db/xxx") && shown.contains("[2026 bytes, truncated]"),
        "{shown}"
    );
}
