//! Families of messages that must have one pattern, and pairs that must have two.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;

use super::{fingerprint, kind, pattern};
use crate::record::Outcome;
use proptest::prelude::*;

/// Messages of the same failure: each line is a family.
const FAMILIES: [&[&str]; 63] = [
    &["order 4711 not found", "order 5 not found", "order 00012 not found"],
    &["user 'miller' unknown", "user 'x' unknown", "user 'j.r' unknown", "user '' unknown"],
    &["no such job 550e8400-e29b-41d4-a716-446655440000", "no such job ABCDEFAB-CDEF-ABCD-EFAB-CDEFABCDEFAB"],
    &["task-550e8400-e29b-41d4-a716-446655440000 lost", "task-0190163d-8694-739b-aea5-966c26f8ad91 lost"],
    &["request req_9f8e7d6c5b4a failed", "request req_0a1b2c3d4e5f failed"],
    &["pod web-7d4b9c6f5-x2x9z evicted", "pod web-5f6b7c8d9-qwrtp evicted"],
    &[
        "in core::ops::function::FnOnce::call_once::h0123456789abcdef",
        "in core::ops::function::FnOnce::call_once::hfedcba9876543210",
    ],
    &["event 01ARZ3NDEKTSV4RRFFQ69G5FAV replayed", "event 01BX5ZZKBKACTAV9WEVGEMMVRZ replayed"],
    &["charge ch_3MmlLrLkdIwHu7ix0snN0B15 declined", "charge ch_1NirD82eZvKYlo2CIvbtLWuY declined"],
    &["commit 9f8e7d6 not in tree", "commit 0a1b2c3 not in tree"],
    &["bad token dGhpcyBpcyBhIHRlc3QgMTIz", "bad token QWxhZGRpbjpvcGVuIHNlc2FtZTk4"],
    &["cannot send to anna@example.com", "cannot send to b.c+d@mail.example.org"],
    &[
        "GET https://api.example.com/v1/users/5?x=y: timed out",
        "GET https://api.example.com/v1/orders: timed out",
    ],
    &[
        "error sending request for url (http://10.0.0.1:8080/a)",
        "error sending request for url (http://db.internal/b/c?d=1)",
    ],
    &[
        "connect to db-1.eu.example.com:5432 failed",
        "connect to db-22.us.example.com:6432 failed",
        "connect to localhost:5432 failed",
    ],
    &[
        "1f462de30803897f4c87.pool.local:5432 closed the connection",
        "abc.pool.local:5433 closed the connection",
    ],
    &["open /var/lib/app/data/7.json: no such file", "open /tmp/x.json: no such file"],
    &["cannot read C:\\Users\\Anna\\file.txt", "cannot read D:\\data\\a b\\notes.txt"],
    &["cannot read \\\\server\\share\\a.csv", "cannot read \\\\other\\b\\c\\d.csv"],
    &["at src/main.rs:10:5", "at crates/a/src/lib.rs:200:17"],
    &[
        "arp entry 00:1B:44:11:3A:B7 stale",
        "arp entry de:ad:be:ef:00:01 stale",
        "arp entry 00-1B-44-11-3A-B7 stale",
    ],
    &["refused by 10.0.0.1", "refused by 192.168.100.254:8080"],
    &["refused by ::1", "refused by fe80::1%eth0", "refused by 2001:db8::8a2e:370:7334"],
    &["name a%20b refused", "name %C3%A9t%C3%A9 refused"],
    &["balance -5 too low", "balance 12 too low", "balance -3.75 too low", "balance +1e-9 too low"],
    &[
        "value 1,234,567 too large",
        "value 1_000 too large",
        "value 6.02E+23 too large",
        "value 1'000.5 too large",
    ],
    &["timeout after 300ms", "timeout after 1.5s", "timeout after 2 seconds", "timeout after 1m30s"],
    &["body of 4 KiB exceeds limit of 1MB", "body of 12.5 MB exceeds limit of 512 KiB"],
    &[
        "expired at 2024-01-15T10:00:00Z",
        "expired at 2023-12-31 23:59:59.123456+02:00",
        "expired at 2024-02-01",
    ],
    &[
        "expired on Mon, 15 Jan 2024 10:00:00 GMT",
        "expired on Tue, 2 Feb 2021 01:02:03 GMT",
        "expired on 15 January 2024",
    ],
    &["last seen Jan 15 10:00:00", "last seen Dec  3 01:02:03"],
    &["ids [1, 2, 3] missing", "ids [7] missing", "ids [10,20,30,40,50,60,70,80,90] missing"],
    &["SELECT a FROM b WHERE c IN (1, 2)", "SELECT a FROM b WHERE c IN (1, 2, 3, 4, 5, 6, 7)"],
    &["SELECT a FROM b WHERE c IN ($1)", "SELECT a FROM b WHERE c IN ($1, $2, $3)"],
    &["SELECT a FROM b WHERE c IN (?)", "SELECT a FROM b WHERE c IN (?, ?, ?)"],
    &["names ['a', 'b'] taken", "names ['x'] taken", "names ['q', 'r', 's', 't'] taken"],
    &["INSERT INTO t VALUES (1, 'a')", "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')"],
    &["field “name” missing", "field “address” missing"],
    &["field «nom» missing", "field «adresse» missing"],
    &["注文「東京」が見つかりません", "注文「大阪」が見つかりません"],
    &["bad bytes b\"\\x00\\x01\" at 3", "bad bytes b\"abc\" at 17"],
    &["expected \\\"a\\\" here", "expected \\\"bcd\\\" here"],
    &["طلب ٤٧١١ مفقود", "طلب ٥ مفقود"],
    &["line one\r\nline 2", "line one\nline 3", "line one line 4"],
    &["\u{1b}[31mrow 5 bad\u{1b}[0m", "row 7 bad"],
    &["at 0xdeadbeef: fault", "at 0x7ffe1234: fault"],
    &["shard-12 offline", "shard-7 offline"],
    &["worker12 died", "worker7 died"],
    &["chunk index-DbQ2xY9p.js failed", "chunk index-a1B2c3D4.js failed"],
    &[
        "blob sha256:9f86d081884c7d659a2feaa0c55ad015 missing",
        "blob sha256:60303ae22b998861bce3b28f33eec1be missing",
    ],
    &["row 5, column 7: bad", "row 50, column 1: bad"],
    &[
        "index out of bounds: the len is 3 but the index is 7",
        "index out of bounds: the len is 0 but the index is 0",
    ],
    &[
        "called `Result::unwrap()` on an `Err` value: ParseIntError { kind: InvalidDigit }",
        "called `Result::unwrap()` on an `Err` value: ParseIntError { kind: InvalidDigit }",
    ],
    &["datetime.datetime(2023, 5, 2, 23, 25) is in the past", "datetime.datetime(2021, 1, 1) is in the past"],
    &["disk 97% full", "disk 99.5% full", "disk 100 % full"],
    &["paid $12.50 of €30", "paid $1,000 of €5"],
    &["job 3/10 failed", "job 12/40 failed"],
    &["license AB12-CD34-EF56 invalid", "license 0000-ABCD-99XY invalid"],
    &["no route to fd00:1234::5/64", "no route to fd00::/8"],
    &["retry in 5 minutes", "retry in 1 hour", "retry in 30 s"],
    &["ThreadId(5) stuck for 10 days", "ThreadId(17) stuck for 3 weeks"],
    &["~/.config/app/a.toml is not valid", "./b/c.toml is not valid", "../d.toml is not valid"],
    &["key (id)=(4711) already exists", "key (id)=(9f8e7d6c-0000-4000-8000-000000000000) already exists"],
];

/// Messages of different failures.
const PAIRS: [(&str, &str); 16] = [
    ("upstream returned status 404", "upstream returned status 500"),
    ("process ended with exit code 1", "process ended with exit code 137"),
    ("exit status: 2", "exit status: 101"),
    ("SQLSTATE 23505", "SQLSTATE 40001"),
    ("SQLSTATE[42P01]: undefined", "SQLSTATE[42703]: undefined"),
    ("No such file or directory (os error 2)", "No such file or directory (os error 20)"),
    ("HTTP 502 from backend", "HTTP 504 from backend"),
    ("failed: 'connection refused by peer'", "failed: 'permission denied by peer'"),
    ("rule \"amount must be positive\" violated", "rule \"currency must be known\" violated"),
    ("open /etc/app.toml failed", "open /etc/app.json failed"),
    ("connect to ftp://a/b failed", "connect to https://a/b failed"),
    ("statusCode=401 for user 5", "statusCode=403 for user 5"),
    ("killed by signal 9", "killed by signal 11"),
    ("COM call failed with HRESULT 0x80070005", "COM call failed with HRESULT 0x80004005"),
    ("{\"type\":\"a\"} lacks \"key one\"", "{\"kind\":\"a\"} lacks \"key one\""),
    ("the read/write lock is poisoned", "the read/only lock is poisoned"),
];

fn report(families: &[&[&str]], pairs: &[(&str, &str)]) -> (usize, usize, String) {
    let mut text = String::new();
    let (mut together, mut apart) = (0, 0);
    for family in families {
        let patterns: Vec<_> = family.iter().map(|message| pattern(message)).collect();
        if patterns.iter().all(|pattern| *pattern == patterns[0]) {
            together += 1;
        } else {
            writeln!(text, "split: {patterns:?}").unwrap();
        }
    }
    for (one, other) in pairs {
        if pattern(one) == pattern(other) {
            writeln!(text, "joined: {one:?}, {other:?}: {:?}", pattern(one)).unwrap();
        } else {
            apart += 1;
        }
    }
    (together, apart, text)
}

#[test]
fn families_of_messages_stay_together_and_different_failures_stay_apart() {
    let (together, apart, text) = report(&FAMILIES, &PAIRS);
    assert!(together >= 60 && apart >= 14, "{together} of 63 together, {apart} of 16 apart\n{text}");
    assert_eq!(text, "");
}

#[test]
fn what_varies_is_taken_out_and_what_names_the_failure_stays() {
    let cases = [
        ("order 4711 not found", "order # not found"),
        ("can't open '/tmp/a b' of `x`", "can't open '/… b' of `…`"),
        ("id 550e8400-e29b-41d4-a716-446655440000 gone", "id # gone"),
        ("deadbeef is a word of letters", "deadbeef is a word of letters"),
        ("timeout after 3.5s (attempt 2/3)", "timeout after # (attempt #/#)"),
        ("retry row17, utf-8 at src/lib.rs:10:5", "retry row#, utf-# at /….rs:#"),
        ("unclosed 'quote 12", "unclosed 'quote #"),
        ("read/write of text/html and/or TCP/IP", "read/write of text/html and/or TCP/IP"),
        ("std::io::Error in tokio::net::TcpStream", "std::io::Error in tokio::net::TcpStream"),
        ("invalid type: string \"abc\", expected u64", "invalid type: string \"…\", expected u#"),
        ("zip code 90210 unknown", "zip code # unknown"),
        ("error: 3 tests failed", "error: # tests failed"),
        ("error: 404 Not Found", "error: 404 Not Found"),
        ("e.g. this. And that", "e.g. this. And that"),
        ("", ""),
    ];
    for (message, expected) in cases {
        assert_eq!(pattern(message), expected, "{message}");
    }
}

#[test]
fn a_long_message_keeps_its_end_because_the_cause_stands_there() {
    let long = |cause: &str| format!("{}: {cause}", "while saving the order of a customer ".repeat(20));
    let (one, other) = (pattern(&long("disk full")), pattern(&long("lock lost")));
    assert!(one.ends_with("disk full") && one.len() <= 256, "{one}");
    assert_ne!(one, other);
}

#[test]
fn a_panic_is_of_the_kind_of_its_place() {
    let at =
        |place: &str| kind(Outcome::Panic, &format!("called `Option::unwrap()` on a `None` value, {place}"));
    assert_eq!(at("src/a.rs:10:5"), at("src/a.rs:10:9"));
    assert_ne!(at("src/a.rs:10:5"), at("src/a.rs:11:5"));
    assert_ne!(at("src/a.rs:10:5"), at("src/b.rs:10:5"));
    let registry =
        "/home/u/.cargo/registry/src/index.crates.io-6f17d22bba15001f/tokio-1.38.0/src/task.rs:7:1";
    assert_eq!(at(registry), at(&registry.replace("/home/u", "/root").replace("6f17d22bba15001f", "0")));
    assert_eq!(kind(Outcome::Panic, "boom 7"), "boom #");
    assert_eq!(kind(Outcome::Error, "bad, src/a.rs:10:5"), "bad, /….rs:#");
}

#[test]
fn a_fingerprint_is_below_2_to_the_53_and_depends_on_every_part() {
    let base = fingerprint("shop::pay", Outcome::Error, "card # refused", "");
    let others = [
        fingerprint("shop::pay2", Outcome::Error, "card # refused", ""),
        fingerprint("shop::pay", Outcome::Panic, "card # refused", ""),
        fingerprint("shop::pay", Outcome::Error, "card refused", ""),
        fingerprint("shop::pay", Outcome::Error, "card # refused", "shop::CardError"),
    ];
    assert!(others.iter().all(|other| *other != base));
    assert!(others.iter().chain([&base]).all(|id| (1..1 << 53).contains(id)));
    assert_eq!(base, fingerprint("shop::pay", Outcome::Error, "card # refused", ""));
}

proptest! {
    #[test]
    fn any_text_has_a_short_pattern(message in "\\PC{0,600}") {
        prop_assert!(pattern(&message).len() <= 256);
    }

    #[test]
    fn any_mixture_of_marks_has_a_short_pattern(message in "[ -~…é'\"`«」0-9a-f:/\\\\.@%-]{0,400}") {
        prop_assert!(pattern(&message).len() <= 256);
    }

    #[test]
    fn numbers_of_a_message_do_not_matter(number in 0u64.., other in 0u64..) {
        let message = |number: u64| format!("row {number} of table {number} (page {number})");
        prop_assert_eq!(pattern(&message(number)), pattern(&message(other)));
    }
}

/// Texts as databases, clients, compilers and operating systems write them, chosen by program instead of by what varies in
/// them.
const PROGRAMS: [&[&str]; 34] = [
    &[
        "duplicate key value violates unique constraint \"orders_pkey\": Key (id)=(17) already exists.",
        "duplicate key value violates unique constraint \"users_email\": Key (id)=(9001) already exists.",
    ],
    &[
        "Duplicate entry 'anna@example.com' for key 'users.email'",
        "Duplicate entry '17-4' for key 'orders.pk'",
    ],
    &[
        "deadlock detected: Process 4711 waits for ShareLock on transaction 99123; blocked by process 4712.",
        "deadlock detected: Process 12 waits for ShareLock on transaction 1; blocked by process 9.",
    ],
    &[
        "canceling statement due to statement timeout after 30000 ms",
        "canceling statement due to statement timeout after 5000 ms",
    ],
    &[
        "invalid type: string \"x\", expected u32 at line 1 column 17",
        "invalid type: string \"17.5\", expected u32 at line 20 column 3",
    ],
    &["missing field `name` at line 3 column 1", "missing field `price` at line 117 column 22"],
    &[
        "dns error: failed to lookup address information: db-7.prod.example.net",
        "dns error: failed to lookup address information: cache.example.org",
    ],
    &[
        "tcp connect error: Connection refused (os error 111) 127.0.0.1:6379",
        "tcp connect error: Connection refused (os error 111) [::1]:6380",
    ],
    &[
        "certificate expired: verification time 1700000000 (UNIX), but certificate is not valid after 1690000000 (86400 seconds ago)",
        "certificate expired: verification time 1800000001 (UNIX), but certificate is not valid after 1790000000 (5 seconds ago)",
    ],
    &["MOVED 3999 10.0.0.5:6381", "MOVED 12182 10.0.0.7:6380"],
    &[
        "Failed to pull image \"registry.example.com/shop/api:1.2.3\": not found",
        "Failed to pull image \"docker.io/library/nginx:latest\": not found",
    ],
    &[
        "Back-off restarting failed container api in pod api-6c9f5d7b8-bcdfz_prod(1b4e28ba-2fa1-11d2-883f-0016d3cca427)",
        "Back-off restarting failed container api in pod api-7b5d8c6f4-xk2lp_prod(6ba7b810-9dad-11d1-80b4-00c04fd430c8)",
    ],
    &[
        "Object with key uploads/2024/01/15/cat.png not found (Request ID: 4442587FB7D0A2F9)",
        "Object with key uploads/2023/12/31/a-b_c.png not found (Request ID: 0A1B2C3D4E5F6071)",
    ],
    &[
        "fatal: couldn't find remote ref feature-7; HEAD is at 1a2b3c4",
        "fatal: couldn't find remote ref feature-12; HEAD is at 9f8e7d6",
    ],
    &[
        "error[E0308]: mismatched types --> src/main.rs:4:18",
        "error[E0308]: mismatched types --> crates/x/src/y.rs:120:9",
    ],
    &["Offset 9812371 out of range for partition orders-7", "Offset 5 out of range for partition orders-12"],
    &[
        "peer 12D3KooWQnwEGNqcM2nAcPtRR9rAX8Hrg4k9kJLCHoTR5chJfz6d disconnected",
        "peer 12D3KooWGzBXWNvJF8VzS8uZ7vEJVTsAKGkU9bqbCHpWhSbGq6rh disconnected",
    ],
    &[
        "nonce too low: address 0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed current nonce (7) > tx nonce (5)",
        "nonce too low: address 0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359 current nonce (1024) > tx nonce (1)",
    ],
    &[
        "rate limited, retry after Wed, 21 Oct 2015 07:28:00 GMT",
        "rate limited, retry after Fri, 01 Mar 2024 23:59:59 GMT",
    ],
    &["memory allocation of 17179869184 bytes failed", "memory allocation of 64 bytes failed"],
    &["thread 'tokio-runtime-worker-3' panicked", "thread 'main' panicked"],
    &[
        "attempt to subtract with overflow at index 5 of [1.5, -2.0, 3e4]",
        "attempt to subtract with overflow at index 0 of [7]",
    ],
    &[
        "invoice INV-2024-000123 already paid by customer cus_NffrFeUfNV2Hib",
        "invoice INV-2023-004567 already paid by customer cus_9s6XKzkNRiz8i3",
    ],
    &[
        "lock held by pid 4711 since 2024-05-01T12:00:00+0200 on host-17.lan",
        "lock held by pid 9 since 2023-05-01T12:00:00Z on host-3.lan",
    ],
    &["could not open device \\\\.\\COM3", "could not open device \\\\.\\COM12"],
    &[
        "ENOENT: no such file or directory, open '/home/anna/x.json'",
        "ENOENT: no such file or directory, open '/srv/y/z.json'",
    ],
    &[
        "session eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmN refused",
        "session eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI5OTk5In0.Zm9vYmFyYmF6cXV4 refused",
    ],
    &["version 1.2.3 is older than 2.0.0-rc.1", "version 0.9.17 is older than 10.0.0-rc.12"],
    &["temperature −3,5 °C out of range", "temperature 81 °C out of range"],
    &["geo point (48.8566, 2.3522) outside of region", "geo point (-33.8688, 151.2093) outside of region"],
    &["IBAN DE89370400440532013000 rejected", "IBAN GB29NWBK60161331926819 rejected"],
    &["email <anna.b@example.co.uk> bounced", "email <x@y.de> bounced"],
    &["key user:4711:cart expired", "key user:12:cart expired"],
    &["color #ff8800 is not in the palette", "color #0a0b0c is not in the palette"],
];

const PROGRAMS_APART: [(&str, &str); 8] = [
    ("error[E0308]: mismatched", "error[E0277]: mismatched"),
    ("Connection refused (os error 111)", "Connection refused (os error 61)"),
    ("grpc status: 14", "grpc status: 4"),
    ("MySQL error 1062", "MySQL error 1213"),
    ("panicked: 'index out of bounds'", "panicked: 'slice index starts after its end'"),
    ("child exited with 2", "child exited with 127"),
    ("cannot parse config.toml", "cannot parse config.yaml"),
    ("unsupported scheme redis://x", "unsupported scheme amqp://x"),
];

#[test]
fn texts_of_well_known_programs_are_grouped_as_a_reader_would() {
    let (together, apart, text) = report(&PROGRAMS, &PROGRAMS_APART);
    assert!(together >= 28 && apart >= 7, "{together} of 34 together, {apart} of 8 apart\n{text}");
    assert_eq!(text, "");
}
