//! `monitor serve` over real sockets: every page of every kind of store, and the security of the server line by line.
#![allow(clippy::similar_names, reason = "a page and its pages are the words of the subject")]

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use html5ever::tendril::TendrilSink as _;
use html5ever::tokenizer::TokenizerOpts;
use html5ever::{ParseOpts, parse_document};
use markup5ever_rcdom::RcDom;
use serde_json::Value;

use crate::fixture::{Call, Fixture, PREFIX, SECOND};
use crate::run::{Ran, command, monitor};
use crate::safety::HOSTILE;

/// The patience with which a test waits for what it needs to see.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server in a process of its own, which ends with the test.
struct Server {
    child: Child,
    port: u16,
    token: String,
    line: String,
}

impl Server {
    fn start(store: &Path, arguments: &[&str]) -> Self {
        let arguments = [&["serve", "--listen", "127.0.0.1:0", "--refresh", "200ms"], arguments].concat();
        Self::spawn(store, &arguments)
    }

    fn spawn(store: &Path, arguments: &[&str]) -> Self {
        let mut command = command(store.parent().unwrap(), arguments);
        command.arg("--db").arg(store).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.strip_prefix("http://").unwrap_or_else(|| panic!("{line}"));
        let (host, rest) = address.split_once('/').unwrap();
        let port = host.rsplit_once(':').unwrap().1.parse().unwrap();
        let token =
            rest.split_once("?t=").map(|(_, token)| token.split_whitespace().next().unwrap().to_owned());
        Self { child, port, token: token.unwrap_or_default(), line }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends these bytes and reads the answer to its end.
    fn send(&self, request: &str) -> Answer {
        let mut stream = self.connect();
        // A server that refuses a request may close before it is sent as a whole.
        let _ = stream.write_all(request.as_bytes());
        Answer::read(stream)
    }

    /// Asks as a script that has the token does.
    fn ask(&self, method: &str, target: &str, headers: &str, body: &str) -> Answer {
        let (port, token, length) = (self.port, &self.token, body.len());
        self.send(&format!(
            "{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
             Content-Length: {length}\r\n{headers}\r\n{body}"
        ))
    }

    fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, "", "")
    }

    fn json(&self, target: &str) -> Value {
        let answer = self.get(target);
        assert_eq!(answer.status, 200, "{target}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    /// Asks without the token, with these headers.
    fn ask_bare(&self, target: &str, headers: &str) -> Answer {
        self.send(&format!("GET {target} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n"))
    }

    fn own_host(&self) -> String {
        format!("Host: 127.0.0.1:{}\r\n", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A connection that is reset after the answer has been read is no failure.
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text.as_str(), ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let is_chunked = head.to_lowercase().contains("transfer-encoding: chunked");
        let body = if is_chunked { join_chunks(body) } else { body.to_owned() };
        Self { status, head: head.to_owned(), body }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let is_wanted =
            |line: &&str| line.split_once(':').is_some_and(|(known, _)| known.eq_ignore_ascii_case(name));
        self.head.lines().find(is_wanted).and_then(|line| line.split_once(':')).map(|(_, value)| value.trim())
    }
}

fn join_chunks(body: &str) -> String {
    let (mut joined, mut rest) = (Vec::new(), body.as_bytes());
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap().trim(), 16).unwrap();
        joined.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 2 + size + 2..];
        if size == 0 {
            break;
        }
    }
    String::from_utf8_lossy(&joined).into_owned()
}

/// Returns what a browser's parser had to mend.
fn find_faults(page: &str) -> Vec<String> {
    let tokenizer = TokenizerOpts { exact_errors: true, ..TokenizerOpts::default() };
    let options = ParseOpts { tokenizer, ..ParseOpts::default() };
    let document = parse_document(RcDom::default(), options).one(page);
    document.errors.borrow().iter().map(ToString::to_string).collect()
}

/// Returns a store with rows behind every page.
fn filled() -> Fixture {
    let fixture = Fixture::new();
    let call = |n: i64| Call {
        function: 1 + n % 3,
        span: PREFIX + n,
        ago_ns: 300 * SECOND - n * SECOND,
        duration_ns: 1_000_000 * (1 + n % 7),
        parent: (n > 1).then_some(PREFIX + n / 2),
        trace: Some(PREFIX + 1),
        outcome: n % 4,
        kept: if n % 4 == 0 { 0 } else { 2 },
        args: Some(r#"{"id":1}"#),
        error: (n % 4 != 0).then_some("refused"),
        ..Call::default()
    };
    fixture.calls(&(1..200).map(call).collect::<Vec<_>>());
    for function in 1..=3 {
        fixture.figures(function, [199, 50, 50, 50, 1_000_000_000, 90_000_000]);
        for window in 1..20 {
            fixture.window(function, window * 10 * SECOND, 10 + window, 1_000_000 * window * (10 + window));
        }
    }
    fixture.error_group(1, "refused", 50, SECOND);
    fixture.health(1);
    fixture.metrics();
    let set = "INSERT INTO sampling (pattern, rate, set_ns, set_by) VALUES ('*::place', 0.5, 1, 'ada')";
    fixture.db.execute(set, []).unwrap();
    fixture
        .db
        .execute_batch(
            "INSERT INTO log_target VALUES (1, 'shop::orders', 'src/orders.rs', 7);
             INSERT INTO log SELECT NULL, base_ns + 301000000000, 1, 30064771072 + value, 30064771073, value, 1, NULL, value, value, 100,
               'line ' || value, '{\"n\":1}' FROM thread, json_each('[1,2,3,4,5]') WHERE thread.id = 1",
        )
        .unwrap();
    fill_alerts(&fixture);
    let sample = "INSERT INTO resource SELECT NULL, 1, ?1 + value * 10000000000, value, value * 1000000, 4, 9 FROM json_each('[1,2,3,4,5,6,7]')";
    fixture.db.execute(sample, [fixture.now - 100 * SECOND]).unwrap();
    fixture
}

/// Writes a rule, an alert on it that fires, one that has ended, and a receiver that does not take them.
fn fill_alerts(fixture: &Fixture) {
    let rule = "INSERT INTO alert_rule (name, level, pattern, measure, op, threshold, for_s, keep_s, set_by)
                VALUES ('slow', 'critical', '*', 'p99_ms', '>', 12, 20, 60, 'ada')";
    fixture.db.execute(rule, []).unwrap();
    let alert = "INSERT INTO alert VALUES (?1, ?1, 1, 'slow', 1, 'critical', ?2, ?3, ?4, 18.5, 19, 'place is slow', 3)";
    fixture
        .db
        .execute(alert, (1, "resolved", fixture.now - 500 * SECOND, Some(fixture.now - 400 * SECOND)))
        .unwrap();
    fixture.db.execute(alert, (2, "firing", fixture.now - 150 * SECOND, None::<i64>)).unwrap();
    let receiver = "INSERT INTO alert_cursor VALUES ('pager', 1, 0, NULL, 3, 'the webhook answered 500')";
    fixture.db.execute(receiver, []).unwrap();
}

/// Returns a store whose texts attack a page.
fn hostile() -> Fixture {
    let fixture = filled();
    let attack = format!(
        "{HOSTILE}</script><script>alert(1)</script>\" onmouseover=\"alert(1)' javascript:alert(1) --><!--</style></title><img src=x onerror=alert(1)>\u{0}"
    );
    for sql in [
        "UPDATE function SET name = ?1 || id, file = ?1, group_name = ?1",
        "UPDATE process SET service = ?1, host = ?1, program_version = ?1, build = ?1, executable = ?1",
        "UPDATE thread SET name = ?1",
        "UPDATE log_target SET target = ?1",
        "UPDATE log SET body = ?1, fields = ?1",
        "UPDATE call_value SET args = ?1, result = ?1, error = ?1, fields = ?1",
        "UPDATE error_group SET message = ?1",
        "UPDATE event SET kind = ?1, detail = ?1",
        "UPDATE sampling SET set_by = ?1",
        "UPDATE metric SET name = ?1 || id, unit = ?1, description = ?1",
        "UPDATE metric SET tags = json_object(?1, ?1)",
        "UPDATE alert SET sentence = ?1, rule = ?1, state = ?1",
        "UPDATE alert_rule SET set_by = ?1, pattern = ?1 WHERE name = 'slow'",
        "UPDATE alert_rule SET measure = ?1 WHERE name = 'level'",
        "UPDATE alert_cursor SET receiver = ?1, last_failure = ?1",
        "UPDATE schema_doc SET text = ?1 WHERE rowid % 7 = 0",
    ] {
        if let Err(error) = fixture.db.execute(sql, [&attack]) {
            assert!(error.to_string().contains("no such column"), "{sql}: {error}");
        }
    }
    fixture
}

const PAGES: [&str; 16] = [
    "/",
    "/functions",
    "/calls",
    "/errors",
    "/logs",
    "/flame",
    "/graph",
    "/diff",
    "/findings",
    "/alerts",
    "/processes",
    "/health",
    "/series",
    "/rates",
    "/sql",
    "/schema",
];

/// Lists addresses of pages with parameters, beside those without.
fn list_targets(server: &Server) -> Vec<String> {
    let mut targets: Vec<String> = PAGES.iter().map(ToString::to_string).collect();
    let own = [
        "/functions?sort=p99&limit=2",
        "/functions?from=-15m&process=1",
        "/functions?service=shop&build=none",
        "/calls?failed=1&slow=1",
        "/calls?sort=duration&min=2ms&max=5ms",
        "/calls?from=-1h&process=1&q=place",
        "/errors?all=1&from=-1h",
        "/flame?weight=calls&q=place",
        "/flame?weight=failures",
        "/graph?q=place",
        "/diff?before=process:1&after=10m..",
        "/rates?pattern=*&rate=0.1",
        "/sql?sql=SELECT+*+FROM+calls",
        "/sql?sql=SELECT+no+such",
        "/findings?q=place",
        "/alerts?q=place",
        "/alerts?rule=slow&level=critical",
        "/alerts?from=-1h&process=1",
        "/process/1",
        "/process/2",
        "/logs?level=warn&q=place",
        "/call/1",
        "/trace/1",
        "/trace/1?open=0",
        "/?patient=1&from=-5m",
    ];
    targets.extend(own.map(str::to_owned));
    for function in server.json("/functions.json")["functions"].as_array().unwrap() {
        let name: String = form_encode(function["function"].as_str().unwrap());
        targets.push(format!("/f/{name}"));
        targets.push(format!("/f/{name}?from=-1h&min=1ms&max=9ms"));
    }
    for metric in server.json("/series.json")["metrics"].as_array().unwrap() {
        targets.push(format!("/series/{}", metric["metric_id"]));
        targets.push(format!("/series/{}?from=-1h&process=1", metric["metric_id"]));
    }
    for kind in server.json("/errors.json")["errors"].as_array().unwrap() {
        targets.push(format!("/error/{}", kind["fingerprint"]));
    }
    targets
}

fn form_encode(text: &str) -> String {
    let mut encoded = String::new();
    text.bytes().for_each(|byte| write!(encoded, "%{byte:02X}").unwrap());
    encoded
}

fn to_json_target(target: &str) -> String {
    let (path, query) =
        target.split_once('?').map_or((target, String::new()), |(path, query)| (path, format!("?{query}")));
    if path == "/" { format!("/now.json{query}") } else { format!("{path}.json{query}") }
}

/// Asks for every page of a store and for its data, and checks what must be true of any.
fn check_pages(fixture: &Fixture, has_calls: bool) {
    let server = Server::start(&fixture.path, &[]);
    for target in list_targets(&server) {
        let is_about_a_call = target.starts_with("/call/") || target.starts_with("/trace/");
        let expected = if is_about_a_call && !has_calls { 404 } else { 200 };
        let page = server.get(&target);
        assert_eq!(page.status, expected, "{target}: {}", page.body);
        assert_eq!(find_faults(&page.body), Vec::<String>::new(), "{target}: {}", page.body);
        assert!(page.header("content-type").unwrap().starts_with("text/html"), "{target}");
        for forbidden in [
            "<script>alert",
            "<img",
            "onmouseover=\"",
            " style=",
            "javascript:alert(1)\"",
            "\u{202e}",
            "\u{0}",
        ] {
            assert!(!page.body.contains(forbidden), "{target} has {forbidden}");
        }
        let data = server.get(&to_json_target(&target));
        assert_eq!(data.status, expected, "{target}: {}", data.body);
        assert_eq!(data.header("content-type"), Some("application/json"), "{target}");
        let value: Value =
            serde_json::from_str(&data.body).unwrap_or_else(|error| panic!("{target}: {error}"));
        if expected == 200 {
            assert!(
                value["store"].is_string() && value["took_ms"].is_number() && value["cut"].is_boolean(),
                "{target}"
            );
        }
    }
}

#[test]
fn every_page_of_an_empty_store_is_valid_and_so_is_its_data() {
    check_pages(&Fixture::new(), false);
}

#[test]
fn every_page_of_a_full_store_is_valid_and_so_is_its_data() {
    check_pages(&filled(), true);
}

#[test]
fn log_lines_stand_in_the_trace_and_on_the_page_of_the_call_that_said_them() {
    let fixture = filled();
    let server = Server::start(&fixture.path, &[]);
    let trace = server.get("/trace/1").body;
    assert!(trace.contains("line 1") && trace.contains("tr class=\"said\""), "{trace}");
    assert_eq!(server.json("/trace/1.json")["said"].as_array().unwrap().len(), 5);
    assert!(server.get("/call/3").body.contains("What it said last"));
    assert!(!server.get("/call/9").body.contains("What it said last"));
    let said = server.json("/logs.json?level=warn");
    let levels: Vec<&str> =
        said["logs"].as_array().unwrap().iter().map(|line| line["level"].as_str().unwrap()).collect();
    assert_eq!(levels, ["warn", "error"]);
}

#[test]
fn texts_that_attack_a_page_are_shown_and_nothing_more() {
    check_pages(&hostile(), true);
}

#[test]
fn data_have_the_figures_of_the_command_line() {
    let fixture = filled();
    let server = Server::start(&fixture.path, &[]);
    let ids = |rows: &[Value], name: &str| rows.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    let listed = monitor(&fixture.path, &["calls", "--failed", "--limit", "30", "--format", "json"]).json();
    let served = server.json("/calls.json?failed=1&limit=30");
    assert_eq!(ids(served["calls"].as_array().unwrap(), "call_id"), ids(&listed, "call_id"));
    assert_eq!(ids(served["calls"].as_array().unwrap(), "args"), ids(&listed, "args"));
    let listed = monitor(&fixture.path, &["top", "--format", "json"]).json();
    let served = server.json("/functions.json");
    for name in ["function", "calls", "total_ms", "p50_ms", "p99_ms", "max_ms", "error_pct", "file", "line"] {
        assert_eq!(ids(served["functions"].as_array().unwrap(), name), ids(&listed, name), "{name}");
    }
    let listed = monitor(&fixture.path, &["errors", "--format", "json"]).json();
    let served = server.json("/errors.json");
    for name in ["fingerprint", "count", "message", "function", "last_ns"] {
        let own: Vec<_> = ids(served["errors"].as_array().unwrap(), name)
            .iter()
            .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
            .collect();
        let cli: Vec<_> = ids(&listed, name)
            .iter()
            .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
            .collect();
        assert_eq!(own, cli, "{name}");
    }
    let listed = monitor(&fixture.path, &["processes", "--format", "json"]).json();
    let served = server.json("/processes.json");
    assert_eq!(ids(served["processes"].as_array().unwrap(), "service"), ids(&listed, "service"));
    let listed = monitor(
        &fixture.path,
        &["sql", "SELECT outcome, count(*) AS n FROM calls GROUP BY 1", "--format", "json"],
    )
    .json();
    let served = server.json("/sql.json?sql=SELECT+outcome,+count(*)+AS+n+FROM+calls+GROUP+BY+1");
    assert_eq!(served["rows"].as_array().unwrap(), &listed);
}

#[test]
fn kinds_of_failure_that_a_span_cuts_have_the_figures_of_the_command_line() {
    let fixture = Fixture::new();
    let failed = |n: i64, ago: i64, function: i64, outcome: i64, error: Option<&'static str>| Call {
        function,
        outcome,
        error,
        kept: 2,
        span: PREFIX + n,
        ago_ns: ago * SECOND,
        ..Call::default()
    };
    let below = |call: Call, parent: i64| Call { parent: Some(PREFIX + parent), ..call };
    fixture.calls(&[
        failed(1, 550, 3, 1, Some("card 4711 declined")),
        below(failed(3, 40, 3, 1, Some("card 12 declined")), 2),
        failed(2, 41, 1, 1, Some("card 12 declined")),
        failed(4, 30, 3, 1, Some("no network")),
        failed(5, 25, 3, 1, Some("no disk")),
        failed(6, 20, 2, 3, None),
        failed(7, 15, 2, 2, Some("no row 7, src/shop.rs:20:5")),
    ]);
    fixture.db.execute("INSERT INTO call_cause VALUES (3, 1)", []).unwrap();
    let group =
        "INSERT INTO error_group VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 7, NULL, ?8, 9, 'place ← charge')";
    let ago = |seconds: i64| fixture.now - seconds * SECOND;
    for (id, function, outcome, message, count, first, last, origins) in [
        (1, 3, 1, "card # declined", 90, 550, 40, 90),
        (2, 3, 1, "other", 80, 550, 25, 80),
        (3, 2, 3, "cancelled", 70, 580, 20, 70),
        (4, 2, 2, "no row #, src/shop.rs:20", 60, 580, 15, 60),
        (5, 1, 1, "card # declined", 50, 550, 41, 0),
        (6, 1, 1, "within the span", 3, 50, 10, 3),
        (7, 1, 1, "without a row", 40, 400, 10, 40),
        (8, 1, 1, "before the span", 7, 590, 300, 7),
    ] {
        let row = rusqlite::params![id, function, outcome, message, count, ago(first), ago(last), origins];
        fixture.db.execute(group, row).unwrap();
    }
    let names = [
        "fingerprint",
        "function",
        "outcome",
        "message",
        "count",
        "root_count",
        "origin_count",
        "first_ns",
        "last_ns",
        "example_call_id",
        "path",
    ];
    let figures = |rows: &[Value]| -> Vec<Vec<String>> {
        let cell =
            |row: &Value, name| row[name].as_str().map_or_else(|| row[name].to_string(), str::to_owned);
        rows.iter().map(|row| names.iter().map(|name| cell(row, name)).collect()).collect()
    };
    let server = Server::start(&fixture.path, &[]);
    let compare = || {
        let since = ["errors", "--since", "100s", "--all", "--format", "json"];
        let listed = figures(&monitor(&fixture.path, &since).json());
        let served = server.json("/errors.json?from=-100s&all=1");
        assert_eq!(figures(served["errors"].as_array().unwrap()), listed);
        listed.iter().map(|row| format!("{} {} {}", row[3], row[4], row[5])).collect::<Vec<_>>()
    };
    let exact = [
        "within the span 3 9",
        "other 2 2",
        "card # declined 1 1",
        "cancelled 1 1",
        "no row #, src/shop.rs:20 1 1",
        "card # declined 1 0",
    ];
    let sorted = |mut kinds: Vec<String>| {
        kinds.sort();
        kinds
    };
    assert_eq!(sorted(compare()), sorted(exact.map(str::to_owned).to_vec()));
    // If failures may lack rows, a kind whose last failure lies in the span has at least that one.
    fixture.db.execute("INSERT INTO folded VALUES (1, 1, 5)", []).unwrap();
    assert!(compare().contains(&"without a row 1 0".to_owned()));
}

/// Returns the command that a page offers; `None` if it offers none.
fn offered(server: &Server, target: &str) -> Option<String> {
    let data = server.json(&to_json_target(target));
    let command = data["command"].as_str().map(str::to_owned);
    let page = server.get(target).body;
    let shown =
        page.split_once("<code id=\"command\">").map(|(_, rest)| rest.split_once("</code>").unwrap().0);
    let unescape = |text: &str| {
        text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
    };
    // A statement holds the moment of its request.
    let without_digits = |text: String| text.replace(|c: char| c.is_ascii_digit(), "");
    assert_eq!(shown.map(unescape).map(without_digits), command.clone().map(without_digits), "{target}");
    command
}

/// Runs the command of a page in a shell, in a folder of its own, with data as its output.
fn run_in_shell(folder: &Path, command: &str) -> Ran {
    let monitor = Path::new(env!("CARGO_BIN_EXE_monitor")).parent().unwrap();
    let path = format!("{}:{}", monitor.display(), std::env::var("PATH").unwrap());
    let command = command.replace("monitor ", "monitor --format json ");
    let mut shell = crate::run::shell(folder);
    Ran::from(shell.arg(&command).env("PATH", path).current_dir(folder).output().unwrap())
}

#[test]
fn the_command_of_a_page_shows_the_same() {
    let fixture = filled();
    let server = Server::start(&fixture.path, &[]);
    let home = tempfile::tempdir().unwrap();
    let now = fixture.now;
    // No call begins near the start of a span and no window does, because `--since` is a distance from a present that
    // moves on.
    fixture.db.execute("DELETE FROM call WHERE id BETWEEN 81 AND 119", []).unwrap();
    let in_gap = now - 200 * SECOND;
    let in_window = (now - 100 * SECOND) / (10 * SECOND) * 10 * SECOND + 5 * SECOND;
    let calls = format!("/calls?from={in_gap}&q=place&failed=1");
    let functions = format!("/functions?sort=failed&from={in_window}&q=shop::*");
    let errors = format!("/errors?from={in_gap}&all=1");
    let narrowed = format!("/diff?before=process:1&after=process:1&from={in_window}&q=place");
    let exact = format!("/calls?from={}&to={}&limit=500", now - 200 * SECOND + 7, now - 150 * SECOND + 9);
    let box_of_why = format!("/f/{}?from={}", form_encode("shop::orders::place"), now - 250 * SECOND + 5);
    // The page, its rows, and the column that tells them apart.
    let table = [
        ("/", "functions", "function"),
        ("/?q=place&from=-10m", "functions", "function"),
        ("/functions?sort=p99&limit=2", "functions", "function"),
        (functions.as_str(), "functions", "calls"),
        ("/calls", "calls", "call_id"),
        ("/calls?failed=1&min=1ms&q=*place*&from=-15m", "calls", "call_id"),
        ("/calls?failed=1&slow=1&limit=70", "calls", "call_id"),
        ("/calls?sort=duration&min=2ms&limit=30", "calls", "call_id"),
        ("/calls?min=2ms&max=4ms&to=-2m&before=150", "calls", "call_id"),
        ("/calls?process=1&q=reserve&sort=duration", "calls", "duration_ns"),
        ("/calls?failed=1&slow=1&max=4ms", "calls", "call_id"),
        (exact.as_str(), "calls", "call_id"),
        (calls.as_str(), "calls", "call_id"),
        (errors.as_str(), "errors", "count"),
        ("/errors?q=place&limit=1", "errors", "message"),
        ("/logs?level=warn&limit=3", "logs", "log_id"),
        ("/logs?from=-1h", "logs", "log_id"),
        ("/graph", "edges", "callee"),
        ("/graph?q=place&from=-5m&to=-2m", "edges", "caller"),
        ("/diff?before=4m..2m&after=process:1", "changes", "function"),
        ("/diff?before=4m..2m&after=2m..", "changes", "function"),
        (narrowed.as_str(), "changes", "calls_after"),
        ("/processes?from=-10m&limit=1", "processes", "process_id"),
        ("/health?limit=1", "health", "process_id"),
        ("/series?q=orders", "metrics", "name"),
        ("/series/1", "windows", "start_ns"),
        ("/sql?sql=SELECT+call_id+FROM+calls%0D%0AWHERE+outcome+%3D+%27ok%27", "rows", "call_id"),
        ("/alerts?from=-1h", "firing", "alert_id"),
    ];
    for (target, rows, column) in table {
        let command = offered(&server, target).unwrap_or_else(|| panic!("{target} offers no command"));
        assert!(command.contains(&format!("--db '{}'", fixture.path.display())), "{target}: {command}");
        let ran = run_in_shell(home.path(), &command);
        assert_eq!(ran.code, Some(0), "{target}: {command}: {}", ran.err);
        let texts = |rows: &[Value]| -> Vec<String> {
            rows.iter().map(|row| row[column].to_string().trim_matches('"').to_owned()).collect()
        };
        let page = server.json(&to_json_target(target));
        let mut served = texts(page[rows].as_array().unwrap());
        let printed = serde_json::Deserializer::from_str(&ran.out).into_iter::<Vec<Value>>();
        let mut printed = texts(&printed.flat_map(Result::unwrap).collect::<Vec<_>>());
        if matches!(rows, "edges" | "changes" | "logs" | "functions" | "firing" | "health" | "errors") {
            served.sort();
            printed.sort();
        }
        // A pair of two chosen functions is one of both sides.
        if rows == "edges" {
            served.dedup();
            printed.dedup();
        }
        if rows == "firing" {
            printed.retain(|id| served.contains(id));
        }
        assert_eq!(printed, served, "{target}: {command}");
        assert!(!served.is_empty(), "{target}");
    }
    let why = offered(&server, &box_of_why).unwrap();
    assert!(why.contains("monitor why --since 20") && why.ends_with(" shop::orders::place"), "{why}");
    // A page that no command can narrow to offers none.
    for target in ["/functions?process=1", "/errors?to=-1m", "/rates?q=place", "/logs?service=shop"] {
        assert_eq!(offered(&server, target), None, "{target}");
    }
}

#[test]
fn the_command_of_a_page_hands_every_text_to_the_command_and_none_to_the_shell() {
    let fixture = filled();
    let names = ["<it's as &touch>; pwned", "-rf $(touch pwned)`touch pwned`", "a\"b\\ & touch pwned\n#*"];
    for (id, name) in (1..).zip(names) {
        fixture.db.execute("UPDATE function SET name = ?1 WHERE id = ?2", (name, id)).unwrap();
    }
    fixture
        .db
        .execute("UPDATE metric SET name = '-x''; touch pwned', tags = '{\"$(touch pwned)\":\"-y\"}'", [])
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a 'b' $(touch pwned);.db");
    fixture.copy_to(&path);
    let server = Server::start(&path, &[]);
    let home = tempfile::tempdir().unwrap();
    let mut targets = list_targets(&server);
    for text in names.iter().chain(&["--help", "$(touch pwned)", "!! ~"]) {
        // A text that no pattern can hold is refused by the page itself.
        let patterns =
            ["/calls?max=1s&q=", "/calls?q=", "/graph?q="].map(|page| format!("{page}{}", form_encode(text)));
        targets.extend(patterns.into_iter().filter(|target| server.get(target).status == 200));
        targets.push(format!(
            "/sql?sql={}",
            form_encode(&format!("--{text}\nSELECT '{}'", text.replace('\'', "''")))
        ));
    }
    let mut ran = 0;
    for target in targets {
        let is_wrong = target.contains("no+such") || target.starts_with("/sql?sql=%2D");
        let Some(command) = offered(&server, &target) else { continue };
        let outcome = run_in_shell(home.path(), &command);
        let is_unknown = outcome.err.contains("no function here is named");
        assert!(outcome.code == Some(0) || is_wrong || is_unknown, "{target}: {command}: {}", outcome.err);
        assert!(
            !outcome.err.contains("Usage:") && !outcome.err.contains("unexpected"),
            "{command}: {}",
            outcome.err
        );
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "{target}: {command}");
        ran += 1;
    }
    assert!(ran > 50, "{ran} commands were run");
}

#[test]
fn the_newest_lines_of_a_process_are_found_behind_those_of_others() {
    let fixture = filled();
    let all = server_lines(&fixture, "/logs.json?process=1");
    assert_eq!(all.len(), 5);
    let later = "INSERT INTO log SELECT NULL, at_ns, 2, span, trace, level, target_id, function_id, NULL, lines, bytes_upto, 'later', NULL
                 FROM log";
    fixture.db.execute(later, []).unwrap();
    assert_eq!(server_lines(&fixture, "/logs.json?process=1&limit=3"), all[..3]);
}

/// Returns the log lines of a page's data.
fn server_lines(fixture: &Fixture, target: &str) -> Vec<Value> {
    Server::start(&fixture.path, &[]).json(target)["logs"].as_array().unwrap().clone()
}

#[test]
fn the_pages_of_calls_hold_every_call_once() {
    let fixture = filled();
    let server = Server::start(&fixture.path, &[]);
    // `before` is the former name.
    for (filter, name) in
        [("", "older_than"), ("&failed=1", "before"), ("&q=place", "older_than"), ("&from=-1h", "before")]
    {
        let mut ids = Vec::new();
        let mut before = String::new();
        for _ in 0..100 {
            let page = server.json(&format!("/calls.json?limit=17{filter}{before}"));
            ids.extend(
                page["calls"].as_array().unwrap().iter().map(|call| call["call_id"].as_i64().unwrap()),
            );
            match page["next_before"].as_str() {
                Some(next) => before = format!("&{name}={next}"),
                None => break,
            }
        }
        assert!(ids.windows(2).all(|pair| pair[0] > pair[1]), "{filter}: {ids:?}");
        let condition = match filter {
            "&failed=1" => "failed = 1",
            "&q=place" => "function GLOB '*::place'",
            _ => "1",
        };
        let sql = format!("SELECT count(*) AS n FROM calls WHERE {condition}");
        let all = monitor(&fixture.path, &["sql", &sql, "--format", "json"]).json();
        assert_eq!(ids.len(), usize::try_from(all[0]["n"].as_u64().unwrap()).unwrap(), "{filter}");
    }
}

#[test]
fn head_has_the_headers_of_get_and_other_addresses_are_not_found() {
    let fixture = filled();
    let server = Server::start(&fixture.path, &[]);
    let head = server.ask("HEAD", "/functions", "", "");
    assert!(head.status == 200 && head.body.is_empty(), "{}", head.head);
    for target in [
        "/nothing",
        "/nothing.json",
        "/f/no::such",
        "/call/999999",
        "/call/x",
        "/error/5",
        "/process/77",
        "/trace/0",
        "/call/1/secret",
    ] {
        assert_eq!(server.get(target).status, 404, "{target}");
    }
    for target in [
        "/calls?limit=0",
        "/calls?from=soon",
        "/calls?before=x",
        "/functions?q=a%22b",
        "/calls?min=long",
        "/diff?before=/etc/passwd",
        "/diff?after=other.db",
        "/functions?process=0",
    ] {
        let answer = server.get(target);
        assert_eq!(answer.status, 400, "{target}: {}", answer.body);
    }
    assert_eq!(server.get("/functions?db=other.db").status, 404);
}

#[test]
fn every_answer_carries_the_headers_that_keep_a_browser_from_running_anything() {
    let fixture = filled();
    let server = Server::start(&fixture.path, &[]);
    let foreign = server.ask_bare("/", "Host: evil.example\r\n");
    let answers = [
        server.get("/"),
        server.get("/calls.json"),
        server.get("/nothing"),
        server.ask_bare("/", &server.own_host()),
        foreign,
    ];
    for answer in answers {
        let policy = answer.header("content-security-policy").unwrap();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.contains(part) && !policy.contains("unsafe"), "{policy}");
        }
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"));
        assert_eq!(answer.header("cross-origin-opener-policy"), Some("same-origin"));
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.header("access-control-allow-origin").is_none());
    }
    let page = server.get("/");
    let asset = page.body.split('"').find(|text| text.starts_with("/assets/script-")).unwrap().to_owned();
    let asset = server.get(&asset);
    assert_eq!(asset.status, 200);
    assert!(asset.header("cache-control").unwrap().contains("immutable"), "{}", asset.head);
}

#[test]
fn a_foreign_name_is_refused_before_anything_else() {
    let fixture = filled();
    let server = Server::start(&fixture.path, &[]);
    let (port, token) = (server.port, server.token.clone());
    let foreign = [
        "Host: evil.example\r\n".to_owned(),
        format!("Host: evil.example:{port}\r\n"),
        format!("Host: 127.0.0.1.evil.example:{port}\r\n"),
        format!("Host: 127.0.0.1:{}\r\n", port.wrapping_add(1)),
        "Host: 127.0.0.1\r\n".to_owned(),
        "Host:\r\n".to_owned(),
        format!("Host: 127.0.0.1:{port}\r\nHost: evil.example\r\n"),
    ];
    for host in foreign {
        for target in ["/", "/livez", &format!("/?t={token}"), "/calls.json"] {
            let answer = server.ask_bare(target, &format!("{host}Authorization: Bearer {token}\r\n"));
            assert_eq!(answer.status, 421, "{host} {target}: {}", answer.head);
            assert!(answer.body.is_empty(), "{}", answer.body);
        }
    }
    for host in [format!("localhost:{port}"), format!("LOCALHOST:{port}"), format!("[::1]:{port}")] {
        assert_eq!(server.ask_bare("/livez", &format!("Host: {host}\r\n")).status, 200, "{host}");
    }
    let absolute = server.send(&format!(
        "GET http://evil.example/livez HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    ));
    assert_eq!(absolute.status, 421);
    let named = Server::start(&fixture.path, &["--host", "box.example"]);
    assert_eq!(named.ask_bare("/livez", &format!("Host: box.example:{}\r\n", named.port)).status, 200);
}

#[test]
fn a_token_is_needed_and_becomes_a_cookie_once() {
    let fixture = filled();
    let server = Server::start(&fixture.path, &[]);
    assert_eq!(server.token.len(), 32, "{}", server.line);
    let host = server.own_host();
    for (target, headers) in [
        ("/", String::new()),
        ("/calls.json", String::new()),
        ("/live", String::new()),
        ("/call/1/args", String::new()),
        ("/", "Authorization: Bearer 00000000000000000000000000000000\r\n".to_owned()),
        ("/", format!("Cookie: monitor_{}=wrong\r\n", server.port)),
        ("/", format!("Cookie: other={}\r\n", server.token)),
        ("/?t=00000000000000000000000000000000", String::new()),
        ("/?t=", String::new()),
    ] {
        let answer = server.ask_bare(target, &format!("{host}{headers}"));
        assert_eq!(answer.status, 401, "{target} {headers}");
        assert!(answer.body.contains("monitor serve") && !answer.body.contains("shop::"), "{}", answer.body);
        assert!(answer.header("set-cookie").is_none());
    }
    let given = server.ask_bare(&format!("/calls?failed=1&t={}", server.token), &host);
    assert_eq!((given.status, given.header("location")), (303, Some("/calls?failed=1")));
    let cookie = given.header("set-cookie").unwrap().to_owned();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && cookie.contains("Path=/"),
        "{cookie}"
    );
    let pair = cookie.split(';').next().unwrap();
    assert_eq!(server.ask_bare("/calls", &format!("{host}Cookie: a=b; {pair}\r\n")).status, 200);
    let astray = server.ask_bare(&format!("//evil.example/?t={}", server.token), &host);
    assert!(!astray.header("location").unwrap_or("/").starts_with("//"), "{}", astray.head);
    assert_eq!(server.ask_bare("/livez", &host).status, 200);
    let open = Server::start(&fixture.path, &["--no-token"]);
    assert_eq!(open.ask_bare("/", &open.own_host()).status, 200);
    // Names of servers on one host are told apart, because a cookie is kept without the port.
    let other = Server::start(&fixture.path, &[]);
    assert_eq!(other.ask_bare("/", &format!("{}Cookie: {pair}\r\n", other.own_host())).status, 401);
}

fn count(fixture: &Fixture, sql: &str) -> i64 {
    fixture.db.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn without_permission_nothing_is_written_and_the_command_is_told() {
    let fixture = filled();
    let server = Server::start(&fixture.path, &[]);
    let before = std::fs::read(&fixture.path).unwrap();
    let answer = server.ask("POST", "/rates", "", "pattern=*%3A%3Aplace&rate=0.1");
    assert_eq!(answer.status, 403);
    assert!(
        answer.body.contains("monitor sample &#39;*::place&#39; 0.1")
            || answer.body.contains("monitor sample '*::place' 0.1"),
        "{}",
        answer.body
    );
    assert_eq!(server.ask("POST", "/breaker", "", "hold=open&reason=x").status, 403);
    for target in ["/", "/calls", "/functions.json"] {
        for method in ["POST", "PUT", "DELETE"] {
            assert_eq!(server.ask(method, target, "", "").status, 403, "{method} {target}");
        }
    }
    assert_eq!(count(&fixture, "SELECT count(*) FROM sampling"), 1);
    assert_eq!(before, std::fs::read(&fixture.path).unwrap());
}

#[test]
fn a_write_needs_our_origin_and_our_form_and_leaves_an_event() {
    let fixture = filled();
    let server = Server::start(&fixture.path, &["--allow-writes"]);
    let host = server.own_host();
    let cookie = format!("Cookie: monitor_{}={}\r\n", server.port, server.token);
    let page = server.get("/rates?pattern=shop%3A%3A*&rate=0.25");
    let form_token =
        page.body.split("name=\"token\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let post = |headers: &str, body: &str| {
        server.send(&format!(
            "POST /rates HTTP/1.1\r\n{host}{cookie}Connection: close\r\nContent-Length: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n{headers}\r\n{body}",
            body.len()
        ))
    };
    let own = format!("Origin: http://127.0.0.1:{}\r\n", server.port);
    let body = format!("token={form_token}&pattern=shop%3A%3A*&rate=0.25");
    for headers in [
        String::new(),
        "Origin: null\r\n".to_owned(),
        "Origin: http://evil.example\r\n".to_owned(),
        format!("Origin: http://127.0.0.1:{}\r\n", server.port.wrapping_add(1)),
        format!("{own}Sec-Fetch-Site: cross-site\r\n"),
        format!("{own}Sec-Fetch-Site: same-site\r\n"),
    ] {
        assert_eq!(post(&headers, &body).status, 403, "{headers}");
    }
    assert_eq!(post(&own, "token=wrong&pattern=shop%3A%3A*&rate=0.25").status, 403);
    assert_eq!(post(&own, "pattern=shop%3A%3A*&rate=0.25").status, 403);
    assert_eq!(post(&own, &format!("token={form_token}&pattern=shop%3A%3A*&rate=7")).status, 400);
    assert_eq!(count(&fixture, "SELECT count(*) FROM sampling"), 1);
    let done = post(&format!("{own}Sec-Fetch-Site: same-origin\r\n"), &body);
    assert_eq!((done.status, done.header("location")), (303, Some("/rates")), "{}", done.body);
    assert_eq!(
        count(
            &fixture,
            "SELECT count(*) FROM sampling WHERE pattern = 'shop::*' AND rate = 0.25 AND set_by = 'dashboard'"
        ),
        1
    );
    assert_eq!(
        count(
            &fixture,
            "SELECT count(*) FROM events WHERE kind = 'rate' AND detail GLOB 'shop::* set to 0.25*'"
        ),
        1
    );
    // A script has the token in a header, which no page of another site can send.
    let script = server.ask("POST", "/rates", "", "pattern=shop%3A%3A*&reset=1");
    assert_eq!(script.status, 303, "{}", script.body);
    assert_eq!(count(&fixture, "SELECT count(*) FROM sampling WHERE pattern = 'shop::*'"), 0);
    assert_eq!(server.ask("POST", "/breaker", "", "hold=open").status, 400);
    assert_eq!(server.ask("POST", "/breaker", "", "hold=open&reason=disk+swap").status, 303);
    assert_eq!(
        count(&fixture, "SELECT count(*) FROM breaker WHERE hold = 'open' AND reason = 'disk swap'"),
        1
    );
    assert!(server.get("/rates").body.contains("disk swap"));
}

#[test]
fn alerts_are_shown_with_the_course_of_their_measure_and_who_is_told() {
    let fixture = filled();
    let server = Server::start(&fixture.path, &[]);
    let data = server.json("/alerts.json");
    let ids = |rows: &[Value]| rows.iter().map(|row| row["alert_id"].as_i64().unwrap()).collect::<Vec<_>>();
    let listed = monitor(&fixture.path, &["alerts", "--format", "json"]).json();
    assert_eq!(ids(&listed), [2, 1]);
    let rows = |name: &str| data[name].as_array().unwrap().clone();
    assert_eq!((ids(&rows("firing")), ids(&rows("ended"))), (vec![2], vec![1]));
    assert_eq!(rows("firing")[0]["sentence"], listed[0]["sentence"]);
    let rules = monitor(&fixture.path, &["alert", "list", "--format", "json"]).json();
    let named = |rows: &[Value]| {
        rows.iter().map(|row| (row["name"].clone(), row["threshold"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(named(&rows("rules")), named(&rules));
    assert!(rules.len() > 5, "{rules:?}");
    assert_eq!(rows("receivers")[0]["last_failure"], "the webhook answered 500");
    // The calls of a window of the fixture last as many milliseconds as it is windows old, up to 19. A percentile is the middle of
    // its bucket, 4.5 % off at most.
    let course = &rows("courses")[0];
    assert_eq!((&course["measure"], &course["threshold"]), (&"p99_ms".into(), &12.0.into()));
    let values: Vec<f64> = course["values"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    assert_eq!(values.len(), 19);
    assert_eq!(values.iter().filter(|value| **value > 12.5).count(), 7, "{values:?}");
    let page = server.get("/alerts").body;
    for part in ["place is slow", "p99_ms &gt; 12 for 20s", "threshold", "<line class=\"threshold\"", "pager"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(page.contains("title=\"1 alert fires\""), "the bar says how many fire");
    assert!(!page.contains("<form class=\"write\""), "{page}");
    assert!(!server.get("/alerts?q=reserve").body.contains("place is slow"));
    fixture.db.execute_batch("DROP VIEW alerts").unwrap();
    assert!(server.get("/alerts").body.contains("an older version wrote it"));
}

#[allow(clippy::float_cmp, reason = "the figures are whole numbers")]
#[test]
fn the_course_of_every_measure_that_the_store_tells_of_is_drawn() {
    let fixture = filled();
    let long = Call {
        ago_ns: 100 * SECOND,
        duration_ns: 60 * SECOND,
        span: PREFIX + 900,
        kept: 1,
        ..Call::default()
    };
    fixture.calls(&[long]);
    let hours_ago = fixture.now - 7200 * SECOND;
    fixture.db.execute("UPDATE process SET started_ns = ?1 WHERE id = 2", [hours_ago]).unwrap();
    let newest = "UPDATE latency_window SET errors = calls / 2 WHERE window = (SELECT max(window) FROM latency_window)";
    fixture.db.execute(newest, []).unwrap();
    fixture.db.execute_batch("DELETE FROM alert").unwrap();
    let rule = "INSERT INTO alert_rule (name, level, pattern, measure, op, threshold, for_s, keep_s, set_by)
                VALUES (?1, 'info', ?2, ?3, ?4, 1, 0, 60, 'ada')";
    let alert = "INSERT INTO alert VALUES (?1, ?1, 1, ?2, ?3, 'info', 'firing', ?4, NULL, 1, 1, ?2, 1)";
    let read = |rules: &[(&str, &str, &str, Option<i64>)]| -> Vec<Vec<f64>> {
        fixture.db.execute_batch("DELETE FROM alert").unwrap();
        for (id, (name, measure, pattern, function)) in (1_i64..).zip(rules) {
            let op = if name.starts_with("low") { "<" } else { ">" };
            fixture.db.execute(rule, (name, pattern, measure, op)).unwrap();
            // The store has no function as 0.
            let since = fixture.now - (100 + id) * SECOND;
            fixture.db.execute(alert, (id, name, function.unwrap_or(0), since)).unwrap();
        }
        let server = Server::start(&fixture.path, &[]);
        let data = server.json("/alerts.json");
        let courses = data["courses"].as_array().unwrap();
        let ids: Vec<_> = courses.iter().map(|course| course["alert_id"].as_u64().unwrap()).collect();
        assert_eq!(ids, (1..=rules.len() as u64).collect::<Vec<_>>(), "{data}");
        let values =
            |course: &Value| course["values"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
        courses.iter().map(values).collect()
    };
    let found = read(&[
        ("orders", "metric", "orders", None),
        ("depth", "metric", "queue.*", None),
        ("fill", "metric_p50", "fill", None),
        ("most", "metric_max", "fill", None),
        ("memory", "rss_bytes", "*", None),
    ]);
    // The fixture has two windows of metrics with one between them.
    assert_eq!(found[0], [5.0, 0.0, 5.0]);
    assert_eq!(found[1], [9.0, 9.0, 7.0]);
    assert!(found[2].len() == 2 && found[2].iter().all(|value| (0.2..0.3).contains(value)), "{:?}", found[2]);
    assert_eq!(found[3], [0.5, 0.5]);
    assert_eq!((found[4].len(), found[4].last()), (7, Some(&7_000_000.0)));
    let found = read(&[
        ("hung", "stuck", "*", Some(1)),
        ("news", "new_failure", "*", Some(1)),
        ("surge", "surge_pct", "*", Some(1)),
        ("low", "calls_per_s", "*", Some(1)),
    ]);
    let count = |values: &[f64], wanted: f64| values.iter().filter(|value| **value == wanted).count();
    // The call counted as stuck from its tenth second on, for fifty seconds.
    assert_eq!((count(&found[0], 1.0), count(&found[0], 0.0) > 30), (5, true), "{:?}", found[0]);
    assert_eq!((count(&found[1], 1.0), count(&found[1], 0.0) > 30), (1, true), "{:?}", found[1]);
    assert!(found[2].iter().filter(|value| **value > 0.0).count() == 1, "{:?}", found[2]);
    assert!(found[3].contains(&0.0) && found[3].iter().any(|value| *value > 1.0), "{:?}", found[3]);
}

#[test]
fn rows_of_a_statement_are_drawn_over_their_time_and_are_to_be_had_as_csv() {
    let fixture = filled();
    let server = Server::start(&fixture.path, &[]);
    let ask = |statement: &str| server.get(&format!("/sql?sql={statement}")).body;
    let page = ask("SELECT+start_ns,calls,p95_ms+FROM+latency+WHERE+function+LIKE+'%25place'");
    assert!(page.matches("<figure").count() == 2 && page.contains("/assets/uplot-"), "{page}");
    let page = ask("SELECT+function,calls+FROM+functions");
    assert!(!page.contains("<figure") && page.contains("/sql.csv?"), "{page}");
    let csv = server.get("/sql.csv?sql=SELECT+function,calls+FROM+functions+ORDER+BY+1");
    assert_eq!((csv.status, csv.header("content-type")), (200, Some("text/csv; charset=utf-8")));
    assert!(csv.body.starts_with("function,calls\nshop::bank::Card::charge,199\n"), "{}", csv.body);
    for statement in ["DELETE+FROM+call", "nonsense", ""] {
        let refused = server.get(&format!("/sql.csv?sql={statement}"));
        assert_eq!(refused.status, 400, "{statement}: {}", refused.body);
    }
    assert_eq!(server.ask_bare("/sql.csv?sql=SELECT+1", &server.own_host()).status, 401);
}

#[test]
fn charts_come_with_their_figures_and_a_script_on_pages_that_have_some() {
    let fixture = filled();
    fixture
        .db
        .execute_batch(
            "UPDATE process SET build = 'aaaaaaaaaaaa', program_version = NULL WHERE id = 2;
                        UPDATE process SET build = 'bbbbbbbbbbbb', program_version = NULL WHERE id = 1",
        )
        .unwrap();
    let server = Server::start(&fixture.path, &[]);
    for (target, has_charts) in [
        ("/f/shop%3A%3Aorders%3A%3Aplace", true),
        ("/process/1", true),
        ("/alerts", true),
        ("/series/2", true),
        ("/", false),
        ("/functions", false),
        ("/nowhere", false),
    ] {
        let page = server.get(target).body;
        assert_eq!(page.contains("/assets/uplot-"), has_charts, "{target}");
        assert_eq!(page.contains("data-chart="), has_charts, "{target}");
        // The picture reads without a script: it has a scale and times.
        assert_eq!(page.contains("<text class=\"tick\""), has_charts, "{target}");
        for name in page.split("/assets/").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert_eq!(server.get(&format!("/assets/{name}")).status, 200, "{name}");
        }
    }
    // A service that runs another build than before is marked.
    let page = server.get("/f/shop%3A%3Aorders%3A%3Aplace?from=-20m").body;
    assert!(page.contains(">bbbbbbbb</text>") && !page.contains(">aaaaaaaa</text>"), "{page}");
    let data: Value = {
        let raw = page.split("data-chart=\"").nth(1).unwrap().split('"').next().unwrap();
        serde_json::from_str(&raw.replace("&quot;", "\"")).unwrap()
    };
    let number = |name: &str| data["lines"][0][name].as_array().unwrap().len();
    assert!(number("figures") > 10 && number("figures") == number("texts"), "{data}");
}

#[test]
fn rules_on_alerts_are_set_switched_and_removed_with_permission_alone() {
    let fixture = filled();
    let set = "do=set&pattern=shop%3A%3A*&condition=errors+%3E+3+for+1m&level=info&keep=2m&min_calls=5";
    let reading = Server::start(&fixture.path, &[]);
    let refused = reading.ask("POST", "/alerts", "", set);
    assert_eq!(refused.status, 403);
    let command = "monitor alert set &#39;shop::*&#39; &#39;errors &gt; 3 for 1m&#39; --level info --keep 2m --min-calls 5";
    let plain = command.replace("&#39;", "'");
    assert!(refused.body.contains(command) || refused.body.contains(&plain), "{}", refused.body);
    let server = Server::start(&fixture.path, &["--allow-writes"]);
    assert!(server.get("/alerts").body.contains("<form class=\"write\""));
    let edit = server.get("/alerts?rule=slow&level=critical").body;
    assert!(edit.contains("value=\"p99_ms &gt; 12ms for 20s\""), "{edit}");
    let done = server.ask("POST", "/alerts", "", set);
    assert_eq!((done.status, done.header("location")), (303, Some("/alerts")), "{}", done.body);
    let rule =
        "SELECT count(*) FROM alert_rule WHERE name = 'shop::* errors' AND level = 'info' AND threshold = 3
                AND for_s = 60 AND keep_s = 120 AND min_calls = 5 AND set_by = 'dashboard' AND enabled = ";
    assert_eq!(count(&fixture, &format!("{rule}1")), 1);
    assert_eq!(
        server.ask("POST", "/alerts", "", "do=disable&rule=shop%3A%3A*+errors&level=info").status,
        303
    );
    assert_eq!(count(&fixture, &format!("{rule}0")), 1);
    assert_eq!(server.ask("POST", "/alerts", "", "do=enable&rule=shop%3A%3A*+errors").status, 303);
    assert_eq!(count(&fixture, &format!("{rule}1")), 1);
    for (body, status) in [
        ("do=set&pattern=shop%3A%3A*&condition=p98+%3E+3", 400),
        ("do=set&pattern=shop%3A%3A*&condition=rss_bytes+%3E+1GiB", 400),
        ("do=remove&rule=no+such", 404),
        ("do=enable", 400),
        ("", 400),
    ] {
        assert_eq!(server.ask("POST", "/alerts", "", body).status, status, "{body}");
    }
    assert_eq!(server.ask("POST", "/alerts", "", "do=remove&rule=shop%3A%3A*+errors").status, 303);
    assert_eq!(count(&fixture, "SELECT count(*) FROM alert_rule WHERE name = 'shop::* errors'"), 0);
    assert_eq!(
        count(
            &fixture,
            "SELECT count(*) FROM events WHERE kind = 'alert_rule' AND detail GLOB '*by dashboard'"
        ),
        4
    );
}

#[test]
fn a_rule_on_a_metric_is_set_by_a_condition_that_names_it_and_changed_as_it_was_set() {
    let fixture = filled();
    let server = Server::start(&fixture.path, &["--allow-writes"]);
    let set = "do=set&pattern=*&condition=metric%3Aqueue.depth+%3E+1000+for+1m&level=info";
    assert_eq!(server.ask("POST", "/alerts", "", set).status, 303);
    let rule = "SELECT count(*) FROM alert_rule WHERE name = 'queue.depth metric' AND pattern = 'queue.depth'
                AND measure = 'metric' AND threshold = 1000 AND for_s = 60";
    assert_eq!(count(&fixture, rule), 1);
    let of_function = set.replace("pattern=*", "pattern=shop%3A%3A*");
    assert_eq!(server.ask("POST", "/alerts", "", &of_function).status, 400, "two patterns");
    // A row may name the metric in its measure too. Pages show it as processes read it.
    let by_hand = "INSERT INTO alert_rule (name, level, pattern, measure, op, threshold, for_s)
                   VALUES ('slow fill', 'warning', '*', 'metric_p99:fill', '>', 0.25, 30)";
    fixture.db.execute(by_hand, []).unwrap();
    for (address, pattern, condition) in [
        ("/alerts?rule=queue.depth+metric&level=info", "queue.depth", "metric &gt; 1000 for 60s"),
        ("/alerts?rule=slow+fill&level=warning", "fill", "metric_p99 &gt; 0.25 for 30s"),
    ] {
        let edit = server.get(address).body;
        for value in [pattern, condition] {
            assert!(edit.contains(&format!("value=\"{value}\"")), "{value}: {edit}");
        }
    }
}

#[test]
fn what_is_too_large_is_refused_and_the_server_lives_on() {
    let fixture = filled();
    let server = Server::start(&fixture.path, &["--allow-writes"]);
    let host = server.own_host();
    let long = "x".repeat(20_000);
    let header = server.ask_bare("/livez", &format!("{host}X-Long: {long}\r\n"));
    assert_eq!(header.status, 431, "{}", header.head);
    let address = server.ask_bare(&format!("/livez?{long}"), &host);
    assert!(matches!(address.status, 414 | 431), "{}", address.head);
    let many = "X-A: b\r\n".repeat(200);
    assert_eq!(server.ask_bare("/livez", &format!("{host}{many}")).status, 431);
    let body = "x".repeat(100_000);
    assert_eq!(server.ask("POST", "/rates", "", &body).status, 400);
    assert_eq!(server.get("/sql?sql=SELECT+1").status, 200);
    assert_eq!(server.ask_bare("/livez", &host).status, 200);
}

#[test]
fn paths_lead_nowhere_and_line_ends_in_parameters_are_texts() {
    let fixture = filled();
    let server = Server::start(&fixture.path, &[]);
    for target in [
        "/../../etc/passwd",
        "/assets/../../../etc/passwd",
        "/assets/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/assets/style.css",
        "/f/..%2f..%2fetc%2fpasswd",
        "/%00",
        "/assets/%ff",
    ] {
        let answer = server.get(target);
        assert!(matches!(answer.status, 400 | 404), "{target}: {}", answer.head);
        assert!(!answer.body.contains("root:"), "{target}");
    }
    let split = server.get("/calls?q=a%0d%0aSet-Cookie:%20x=y&db=%0d%0aX: y");
    assert!(split.header("set-cookie").is_none() && split.header("x").is_none(), "{}", split.head);
    let given =
        server.ask_bare(&format!("/calls?a=%0d%0aX-Evil:%20y&t={}", server.token), &server.own_host());
    assert!(given.status == 303 && given.header("x-evil").is_none(), "{}", given.head);
}

#[test]
fn slow_clients_do_not_keep_others_out() {
    let fixture = filled();
    let server = Server::start(&fixture.path, &[]);
    let is_open = |stream: &TcpStream| {
        stream.set_nonblocking(true).unwrap();
        let read = stream.peek(&mut [0]);
        stream.set_nonblocking(false).unwrap();
        read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut slow: Vec<TcpStream> = (0..30).map(|_| server.connect()).collect();
        for stream in &mut slow {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: ").unwrap();
        }
        assert_eq!(server.get("/functions").status, 200);
        // The answer came while all of them had a connection. On a busy machine they may have lost it before.
        if slow.iter().all(is_open) {
            // A client that does not come to an end is sent away.
            let answer = Answer::read(slow.pop().unwrap());
            assert!(matches!(answer.status, 0 | 408), "{}", answer.head);
            return;
        }
        assert!(Instant::now() < deadline, "no answer comes while others are slow");
    }
}

#[test]
fn a_query_ends_when_its_client_goes() {
    let fixture = filled();
    fixture
        .db
        .execute_batch(
            "DROP VIEW error_groups;
             CREATE VIEW error_groups AS
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
             SELECT max(i) AS fingerprint, 'f' AS function, 'error' AS outcome, 'm' AS message, 1 AS count, 1 AS first_ns,
                    9e18 AS last_ns, 1 AS example_call_id FROM n;",
        )
        .unwrap();
    let server = Server::start(&fixture.path, &[]);
    let send = |target: &str| {
        let mut stream = server.connect();
        let (port, token) = (server.port, &server.token);
        let head = format!("Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\nConnection: close");
        stream.write_all(format!("GET {target} HTTP/1.1\r\n{head}\r\n\r\n").as_bytes()).unwrap();
        stream
    };
    // Two queries are worked on at once. They would run for the minute that a patient reader gets.
    let endless = [send("/errors?patient=1"), send("/errors?patient=1")];
    let deadline = Instant::now() + PATIENCE;
    let waiting = loop {
        let stream = send("/schema");
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        if stream.peek(&mut [0]).is_err() {
            break stream;
        }
        assert!(Instant::now() < deadline, "the endless queries end");
    };
    drop(endless);
    let gone = Instant::now();
    waiting.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(Answer::read(waiting).status, 200);
    assert!(gone.elapsed() < Duration::from_secs(30), "the queries went on for {:?}", gone.elapsed());
}

#[test]
fn statements_read_and_do_nothing_else() {
    let fixture = filled();
    let server = Server::start(&fixture.path, &["--allow-writes"]);
    let before = count(&fixture, "SELECT count(*) FROM sampling");
    for statement in [
        "DELETE FROM sampling",
        "ATTACH 'x.db' AS x",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA user_version",
        "SELECT load_extension('x')",
        "VACUUM",
        "CREATE TABLE t (a)",
        "SELECT 1; DELETE FROM sampling",
        "BEGIN",
        "EXPLAIN SELECT nothing FROM nowhere",
    ] {
        let answer = server.json(&format!("/sql.json?sql={}", form_encode(statement)));
        assert!(answer["error"].is_string() && answer["rows"].is_null(), "{statement}: {answer}");
    }
    assert_eq!(count(&fixture, "SELECT count(*) FROM sampling"), before);
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    let answer = server.json(&format!("/sql.json?sql={}", form_encode(endless)));
    assert!(answer["error"].as_str().unwrap().contains("stopped"), "{answer}");
    let wide = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 50000) SELECT i FROM n";
    let answer = server.json(&format!("/sql.json?sql={}", form_encode(wide)));
    assert_eq!((answer["rows"].as_array().unwrap().len(), &answer["rows_cut"]), (10_000, &Value::Bool(true)));
}

/// Asks until the answer has this status.
fn wait_for(server: &Server, target: &str, status: u16) -> Answer {
    wait_for_answer(target, status, || server.get(target))
}

/// Asks without the token until the answer has this status.
fn wait_for_bare(server: &Server, target: &str, status: u16) -> Answer {
    wait_for_answer(target, status, || server.ask_bare(target, &server.own_host()))
}

fn wait_for_answer(target: &str, status: u16, ask: impl Fn() -> Answer) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask();
        if answer.status == status {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "{target}: {} instead of {status}: {}",
            answer.status,
            answer.body
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_store_that_is_gone_replaced_or_newer_is_explained_and_the_pages_recover() {
    let fixture = filled();
    let copy = fixture.folder.path().join("copy.db");
    fixture.copy_to(&copy);
    let server = Server::start(&copy, &[]);
    assert_eq!(server.get("/functions").status, 200);
    let aside = fixture.folder.path().join("aside.db");
    std::fs::rename(&copy, &aside).unwrap();
    for target in ["/functions", "/functions.json"] {
        let answer = wait_for(&server, target, 503);
        assert!(
            answer.body.contains("there is no store at") && answer.header("retry-after").is_some(),
            "{}",
            answer.body
        );
    }
    std::fs::rename(&aside, &copy).unwrap();
    wait_for(&server, "/functions.json", 200);
    rusqlite::Connection::open(&copy).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(wait_for(&server, "/functions", 503).body.contains("schema version 99"));
    std::fs::write(&copy, "no database at all").unwrap();
    assert!(wait_for(&server, "/functions", 503).body.contains("not an intact SQLite database"));
    std::fs::remove_file(&copy).unwrap();
    fixture.copy_to(&copy);
    wait_for(&server, "/functions", 200);
}

#[test]
fn a_server_waits_for_a_missing_store_and_refuses_what_is_none() {
    let fixture = filled();
    let file = |name: &str| fixture.folder.path().join(name);
    let server = Server::start(&file("later.db"), &[]);
    assert!(server.line.contains("later.db, which does not exist yet; Ctrl-C ends)"), "{}", server.line);
    assert_eq!(server.get("/functions").status, 503);
    fixture.copy_to(&file("later.db"));
    wait_for(&server, "/functions", 200);
    std::fs::write(file("text.db"), "no database at all").unwrap();
    for (path, expected) in [
        (file("text.db"), "not an intact SQLite database"),
        (fixture.folder.path().to_owned(), "is a folder"),
    ] {
        let ran = monitor(&path, &["serve", "--listen", "127.0.0.1:0"]);
        assert_eq!(ran.out, "");
        assert!(ran.failed(1).contains(expected), "{}", path.display());
    }
    // The other stores are still served.
    let server = Server::start(&fixture.path, &["--db", file("text.db").to_str().unwrap()]);
    assert!(
        server.line.contains("shop.db; Ctrl-C ends)") && !server.line.contains("text.db"),
        "{}",
        server.line
    );
    assert_eq!(server.get("/functions").status, 200);
}

#[test]
fn an_open_page_is_told_of_a_commit_and_not_of_silence() {
    let fixture = filled();
    let server = Server::start(&fixture.path, &[]);
    let mut stream = server.connect();
    let (port, token) = (server.port, &server.token);
    let request =
        format!("GET /live HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
    assert!(lines.by_ref().any(|line| line.starts_with("content-type: text/event-stream")));
    assert!(lines.by_ref().any(|line| line.starts_with(':')), "the first comment");
    assert!(
        lines
            .by_ref()
            .find(|line| line.starts_with(':') || line.starts_with("event"))
            .unwrap()
            .starts_with(':')
    );
    fixture.db.execute("UPDATE sampling SET rate = 0.75", []).unwrap();
    assert!(lines.any(|line| line == "event: tick"));
    stream.shutdown(Shutdown::Both).unwrap();
    // Nine pages are more than the server tells of commits; the ninth is sent away and asks by itself.
    let mut listening = Vec::new();
    for _ in 0..9 {
        let mut stream = server.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
        listening.push((stream, line));
    }
    let refused = listening.iter().filter(|(_, line)| line.contains("503")).count();
    assert!((1..=2).contains(&refused), "{:?}", listening.iter().map(|(_, line)| line).collect::<Vec<_>>());
}

#[test]
fn probes_and_metrics_answer_without_the_token_and_tell_of_a_store_that_is_gone() {
    let fixture = filled();
    let copy = fixture.folder.path().join("copy.db");
    fixture.copy_to(&copy);
    let server = Server::start(&copy, &[]);
    let bare = |target: &str| server.ask_bare(target, &server.own_host());
    for target in ["/livez", "/readyz"] {
        let answer = bare(target);
        assert_eq!(answer.status, 200, "{target}: {}", answer.body);
        assert_eq!(serde_json::from_str::<Value>(&answer.body).unwrap()["status"], "ok", "{target}");
    }
    let health: Value = serde_json::from_str(&bare("/healthz").body).unwrap();
    assert!(health["parts"].as_array().unwrap().iter().any(|part| part["name"] == "store"), "{health}");
    // Names of services and texts of the store are for those who have the token.
    let (closed, open) = (bare("/healthz").body, server.get("/healthz").body);
    for (text, is_private) in [("shop (pid", true), ("disk full", true), ("the process (pid", false)] {
        assert_eq!(
            (closed.contains(text), open.contains(text)),
            (!is_private, is_private),
            "{text}: {closed} {open}"
        );
    }
    let without = Server::start(&fixture.path, &["--no-token"]);
    assert!(without.ask_bare("/healthz", &without.own_host()).body.contains("shop (pid"));
    let metrics = bare("/metrics");
    assert!(
        metrics.status == 200
            && metrics.header("content-type").unwrap().starts_with("text/plain; version=0.0.4")
    );
    assert!(metrics.body.contains("# TYPE"), "{}", metrics.body);
    std::fs::remove_file(&copy).unwrap();
    assert_eq!(bare("/livez").status, 200);
    for target in ["/readyz", "/healthz", "/metrics"] {
        wait_for_bare(&server, target, 503);
    }
    for target in ["/readyz", "/healthz"] {
        let open = wait_for(&server, target, 503);
        assert!(!bare(target).body.contains("copy.db") && open.body.contains("copy.db"), "{target}");
    }
    let closed = Server::start(&fixture.path, &["--token-metrics"]);
    assert_eq!(closed.ask_bare("/metrics", &closed.own_host()).status, 401);
    assert_eq!(closed.get("/metrics").status, 200);
}

#[test]
fn metrics_need_the_token_behind_a_proxy_though_the_server_listens_on_a_loopback_address() {
    let fixture = filled();
    let token_file = fixture.folder.path().join("token");
    std::fs::write(&token_file, "a-token-of-thirty-two-characters").unwrap();
    let token_file = token_file.to_str().unwrap();
    let documented = ["--base-path", "/monitor", "--host", "shop.example", "--token-file", token_file];
    for options in [&documented[..], &documented[..2], &documented[2..4], &documented[4..]] {
        let server = Server::start(&fixture.path, options);
        let base = if options.contains(&"--base-path") { "/monitor" } else { "" };
        let mut hosts = vec![server.own_host()];
        if options.contains(&"--host") {
            hosts.push("Host: shop.example\r\n".to_owned());
        }
        for host in hosts {
            let bare = |path: &str| server.ask_bare(&format!("{base}{path}"), &host);
            let metrics = bare("/metrics");
            assert_eq!(metrics.status, 401, "{options:?} {host}");
            assert!(!metrics.body.contains("shop::"), "{options:?}: {}", metrics.body);
            assert_eq!(bare("/livez").status, 200, "{options:?} {host}");
        }
        assert_eq!(server.get(&format!("{base}/metrics")).status, 200, "{options:?}");
    }
    // A proxy that no option tells of is known by what it adds to a request.
    let server = Server::start(&fixture.path, &[]);
    assert_eq!(server.ask_bare("/metrics", &server.own_host()).status, 200);
    for header in ["X-Forwarded-For: 203.0.113.7", "Via: 1.1 box", "forwarded: for=203.0.113.7"] {
        let headers = format!("{}{header}\r\n", server.own_host());
        assert_eq!(server.ask_bare("/metrics", &headers).status, 401, "{header}");
    }
}

#[test]
fn a_taken_port_is_passed_over_and_the_line_says_so() {
    let fixture = filled();
    let first = Server::start(&fixture.path, &[]);
    let address = format!("127.0.0.1:{}", first.port);
    let second = Server::spawn(&fixture.path, &["serve", "--listen", &address]);
    assert!(second.port > first.port && second.port <= first.port + 20, "{}", second.line);
    assert!(
        second.line.contains(&format!("port {} is taken", first.port)) && second.line.contains("shop.db")
    );
    assert_eq!(second.get("/").status, 200);
}

#[cfg(unix)]
#[test]
fn the_server_ends_when_it_is_told_to() {
    let fixture = filled();
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let mut server = Server::start(&fixture.path, &[]);
        // A page that waits for events does not keep the server.
        let mut stream = server.connect();
        let (port, token) = (server.port, server.token.clone());
        write!(
            stream,
            "GET /live HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n"
        )
        .unwrap();
        let mut first = [0; 1];
        stream.read_exact(&mut first).unwrap();
        let pid = rustix::process::Pid::from_child(&server.child);
        rustix::process::kill_process(pid, signal).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = server.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the server does not end");
            std::thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(status.code(), Some(0));
    }
}

#[cfg(unix)]
#[test]
fn a_socket_in_the_file_system_is_served_and_removed() {
    use std::os::unix::net::UnixStream;
    let fixture = filled();
    let path = fixture.folder.path().join("dashboard.sock");
    let listen = format!("unix:{}", path.display());
    let mut command = command(fixture.folder.path(), &["serve", "--no-token", "--listen", &listen, "--db"]);
    let mut child = command.arg(&fixture.path).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let mut stream = UnixStream::connect(&path).unwrap();
    stream
        .write_all(b"GET /functions.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("shop::orders::place"), "{text}");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
        .unwrap();
    assert!(child.wait().unwrap().success());
    assert!(!path.exists());
}

#[test]
fn an_address_for_other_computers_needs_a_token_of_its_own() {
    let fixture = filled();
    let refused = monitor(&fixture.path, &["serve", "--listen", "0.0.0.0:0"]).failed(1);
    assert!(refused.contains("--token-file"), "{refused}");
    let token = fixture.folder.path().join("token");
    std::fs::write(&token, "short").unwrap();
    let token = token.to_str().unwrap();
    let refused =
        monitor(&fixture.path, &["serve", "--listen", "0.0.0.0:0", "--token-file", token]).failed(1);
    assert!(refused.contains("at least 16 characters"), "{refused}");
    std::fs::write(token, "correct-horse-battery\n").unwrap();
    let mut server = Server::spawn(&fixture.path, &["serve", "--listen", "0.0.0.0:0", "--token-file", token]);
    server.token = "correct-horse-battery".to_owned();
    assert_eq!(server.get("/").status, 200);
    // Metrics name functions, so other computers need the token for them; probes do not.
    let bare = |target: &str| server.ask_bare(target, &server.own_host()).status;
    assert_eq!((bare("/metrics"), bare("/livez")), (401, 200));
    assert_eq!(server.get("/metrics").status, 200);
}

#[test]
fn several_stores_are_chosen_by_name_and_a_base_path_precedes_every_link() {
    let fixture = filled();
    let other = fixture.folder.path().join("other.db");
    fixture.copy_to(&other);
    let server = Server::start(&fixture.path, &["--db", other.to_str().unwrap(), "--base-path", "/monitor"]);
    let page = server.get("/monitor/functions?db=other.db");
    assert_eq!(page.status, 200);
    assert!(
        page.body.contains("selected>other.db") || page.body.contains("value=\"other.db\" selected"),
        "{}",
        page.body
    );
    assert_eq!(server.get("/functions").status, 404);
    assert_eq!(
        server.json("/monitor/now.json?db=other.db")["store"].as_str().unwrap(),
        other.canonicalize().unwrap().to_str().unwrap()
    );
    assert_eq!(server.get("/monitor/diff?before=other.db&after=shop.db").status, 200);
}

#[test]
fn forty_pages_at_once_are_answered_or_asked_to_come_again() {
    let fixture = filled();
    let server = Server::start(&fixture.path, &[]);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..40).map(|_| scope.spawn(|| server.get("/").status)).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert!(
        statuses.contains(&200) && statuses.iter().all(|status| matches!(status, 200 | 503)),
        "{statuses:?}"
    );
    assert_eq!(wait_for(&server, "/", 200).status, 200);
}

/// Returns the values of an attribute in a page.
fn attributes<'a>(page: &'a str, attribute: &'a str) -> impl Iterator<Item = String> + 'a {
    let values = page.split(attribute).skip(1).filter_map(|rest| rest.strip_prefix("=\"")?.split('"').next());
    values.map(|value| value.replace("&amp;", "&"))
}

#[test]
fn every_link_and_every_form_of_every_page_leads_to_an_answer_under_each_base_path() {
    let fixture = filled();
    let all = list_targets(&Server::start(&fixture.path, &[]));
    let few: Vec<_> = PAGES
        .iter()
        .map(|page| (*page).to_owned())
        .chain(Some("/f/shop::bank::Card::charge".to_owned()))
        .collect();
    // The last is also the start of a path of the server's own.
    for (base, targets) in [("/monitor", &all), ("/a/b", &few), ("/f", &few)] {
        let server = Server::start(&fixture.path, &["--allow-writes", "--base-path", base]);
        let mut asked = HashSet::new();
        for target in targets {
            let page = server.get(&format!("{base}{target}")).body;
            let links = attributes(&page, " href").filter(|link| !link.starts_with('#'));
            let posted = page.split("<form").filter(|form| form.contains("method=\"post\"")).count();
            let (forms, links): (Vec<_>, Vec<_>) = (attributes(&page, " action").collect(), links.collect());
            assert!(forms.len() > posted, "{target} has no form of the bar");
            for address in forms.into_iter().chain(links) {
                // Addresses with the same path and the same names of parameters are answered alike.
                let (path, query) = address.split_once('?').unwrap_or((&address, ""));
                let names: Vec<_> = query.split('&').map(|pair| pair.split('=').next().unwrap()).collect();
                if !address.ends_with("/breaker") && asked.insert(format!("{path}?{names:?}")) {
                    assert!(address.starts_with(base), "{base}{target} leads to {address}");
                    let answer = server.get(&address);
                    assert_eq!(answer.status, 200, "{base}{target} leads to {address}: {}", answer.body);
                }
            }
        }
    }
}

/// Returns the fields of a form with their values, as a browser sends them.
fn read_fields(form: &str) -> Vec<(String, String)> {
    let attribute = |tag: &str, name: &str| {
        let text = attributes(tag, name).next().unwrap_or_default();
        text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"")
    };
    let (mut fields, mut choice) = (Vec::new(), String::new());
    for tag in form.split('<') {
        let tag = tag.split('>').next().unwrap();
        if tag.starts_with("input ") {
            fields.push((attribute(tag, " name"), attribute(tag, " value")));
        } else if tag.starts_with("select ") {
            choice = attribute(tag, " name");
        } else if tag.starts_with("option ") && tag.ends_with(" selected") {
            fields.push((choice.clone(), attribute(tag, " value")));
        }
    }
    fields
}

/// Returns the address to which the form of a page's bar leads when this filter has been typed.
fn type_filter(page: &str, filter: &str) -> String {
    let form = page.split_once("<form class=\"top\"").unwrap().1.split_once("</form>").unwrap().0;
    let address = attributes(form, " action").next().unwrap();
    let fields = read_fields(form).into_iter().map(|(name, value)| match name.as_str() {
        "q" => format!("q={}", form_encode(filter)),
        _ => format!("{name}={}", form_encode(&value)),
    });
    format!("{address}?{}", fields.collect::<Vec<_>>().join("&"))
}

/// Returns the parameters of an address that have values, sorted.
fn parameters(address: &str) -> Vec<(String, String)> {
    let query = address.split_once('?').map_or("", |(_, query)| query);
    let pairs = form_urlencoded::parse(query.as_bytes()).into_owned();
    let mut pairs: Vec<_> = pairs.filter(|(_, value)| !value.is_empty()).collect();
    pairs.sort();
    pairs
}

#[test]
fn the_bar_and_the_data_of_a_page_keep_every_choice_of_the_page() {
    let fixture = filled();
    fixture.db.execute("UPDATE function SET name = 'a <b> \"c\" & d' WHERE id = 2", []).unwrap();
    let server = Server::start(&fixture.path, &[]);
    let function = format!("/f/{}?min=1ms&max=9ms", form_encode("a <b> \"c\" & d"));
    for (target, place) in [
        ("/calls?failed=1&slow=1", ""),
        ("/calls?failed=1&min=1ms&limit=9&process=1&service=shop", "&older_than=150"),
        ("/calls?failed=1", "&before=150"),
        ("/errors?all=1&limit=3", ""),
        ("/flame?weight=failures", "&patient=1"),
        ("/graph?one=that&no=page&has=yet", ""),
        ("/logs?level=error", ""),
        ("/diff?before=process%3A1&after=4m..2m", ""),
        ("/functions?sort=p99&limit=2", ""),
        ("/trace/1?open=0&open=1&open=2", ""),
        ("/sql?sql=SELECT+%27%3Ca%3E%26%22b%22%27+AS+n", ""),
        ("/alerts?rule=slow&level=critical", ""),
        (function.as_str(), ""),
    ] {
        let page = server.get(&format!("{target}{place}"));
        assert_eq!(page.status, 200, "{target}: {}", page.body);
        let chosen = parameters(target);
        let with = |more: &[(&str, &str)]| {
            let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let mut all: Vec<_> = chosen.iter().cloned().chain(more).collect();
            all.sort();
            all
        };
        let typed = type_filter(&page.body, "*");
        assert_eq!(parameters(&typed), with(&[("q", "*")]), "{target}: {typed}");
        assert_eq!(server.get(&typed).status, 200, "{typed}");
        let links: Vec<_> = attributes(&page.body, " href").collect();
        let spans: Vec<_> = links.iter().filter(|link| link.contains("from=-5m")).collect();
        assert!(spans.iter().any(|link| parameters(link) == with(&[("from", "-5m")])), "{target}: {spans:?}");
        let path = target.split('?').next().unwrap();
        let data = links.iter().find(|link| link.starts_with(&format!("{path}.json"))).unwrap();
        let place = place.replace("&before", "&older_than");
        let at = place.strip_prefix('&').and_then(|place| place.split_once('='));
        assert_eq!(parameters(data), with(at.as_slice()), "{target}");
        assert_eq!(server.get(data).status, 200, "{data}");
    }
    // The page and its data have the same rows.
    for target in ["/errors?all=1", "/logs?level=error", "/calls?failed=1&before=150"] {
        let page = server.get(target).body;
        let data = attributes(&page, " href").find(|link| link.contains(".json")).unwrap();
        let rows =
            page.split_once("<tbody>").unwrap().1.split_once("</tbody>").unwrap().0.matches("<tr>").count();
        let name = target[1..].split('?').next().unwrap();
        assert_eq!(server.json(&data)[name].as_array().unwrap().len(), rows, "{target}");
    }
}

#[test]
fn links_from_a_function_lead_to_its_own_rows_and_to_no_others() {
    let fixture = filled();
    // In each row the first name is the end of the second or resembles it. The third name has a star, which a pattern takes
    // for any text, or characters that no pattern allows.
    for names in [
        ["shop::orders::place", "monitor::shop::orders::place", "shop::*"],
        ["place", "shop::orders::place", "*"],
        ["what? {no} [pattern]", "what? {no} [x]", " 100% <a&b>=\"c\" + d"],
    ] {
        for (id, name) in (1..).zip(names) {
            fixture.db.execute("UPDATE function SET name = ?1 WHERE id = ?2", (name, id)).unwrap();
        }
        let server = Server::start(&fixture.path, &[]);
        for name in names {
            let own = format!("/f/{}", form_encode(name));
            let page = server.get(&own).body;
            for list in ["longest", "newest", "failed"] {
                let panel = page.split_once(&format!("<section id=\"{list}\"")).unwrap().1;
                let panel = panel.split_once("</section>").unwrap().0;
                let others: HashSet<_> =
                    attributes(panel, " href").filter(|link| link.contains("/f/")).collect();
                assert_eq!(others.len(), 1, "{list} of {name}: {others:?}");
            }
            let links: HashSet<_> =
                attributes(&page, " href").filter(|link| link.contains("function=")).collect();
            for list in ["/calls", "/errors", "/rates", "/graph", "/flame"] {
                let link = links.iter().find(|link| link.starts_with(list)).unwrap();
                assert_eq!(parameters(link), [("function".to_owned(), name.to_owned())], "{link}");
                assert_eq!(server.get(link).status, 200, "{link}");
            }
            let target = |path: &str| format!("{path}?function={}", form_encode(name));
            for list in ["calls", "errors", "rates", "functions", "logs"] {
                let rows = server.json(&target(&format!("/{list}.json")))[list].clone();
                let rows = rows.as_array().unwrap();
                let is_empty_list = rows.is_empty() && matches!(list, "logs" | "errors");
                assert!(!rows.is_empty() || is_empty_list, "{list} of {name}");
                assert!(rows.iter().all(|row| row["function"] == name), "{list} of {name}: {rows:?}");
            }
            for edge in server.json(&target("/graph.json"))["edges"].as_array().unwrap() {
                assert!(edge["caller"] == name || edge["callee"] == name, "{name}: {edge}");
                let has_caller = !edge["calls_per_parent"].is_null();
                assert_eq!(edge["most_per_parent"].is_null(), !has_caller, "{edge}");
            }
            let frames = server.json(&target("/flame.json"))["frames"].clone();
            let roots = frames.as_array().unwrap().iter().filter(|frame| frame["caller"].is_null());
            assert!(roots.map(|root| &root["function"]).all(|root| root == name), "{name}");
            // The bar keeps the function until a pattern is typed in its place.
            let listed = server.get(&target("/calls")).body;
            let kept = type_filter(&listed, "");
            assert_eq!(
                server.json(&to_json_target(&kept))["calls"],
                server.json(&target("/calls.json"))["calls"]
            );
            let all = server.json(&to_json_target(&type_filter(&listed, "*")));
            assert_eq!(all["calls"], server.json("/calls.json")["calls"], "{name}");
            // The command names the function only where it selects no other.
            if let Some(command) = offered(&server, &target("/calls")) {
                let ran = run_in_shell(fixture.folder.path(), &command);
                assert_eq!(ran.code, Some(0), "{command}: {}", ran.err);
                let shown: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
                assert!(!shown.is_empty() && shown.iter().all(|row| row["function"] == name), "{command}");
            }
        }
    }
}

#[test]
fn probes_are_answered_while_so_many_pages_wait_that_others_are_sent_away() {
    let fixture = Fixture::new();
    let server = Server::start(&fixture.path, &[]);
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    let target = format!("/sql.json?sql={}", form_encode(endless));
    std::thread::scope(|scope| {
        let (sender, statuses) = std::sync::mpsc::channel();
        for _ in 0..24 {
            let (sender, server, target) = (sender.clone(), &server, target.as_str());
            scope.spawn(move || sender.send(server.get(target).status));
        }
        // The first answer is that to a statement for which there was no room.
        assert_eq!(statuses.recv(), Ok(503));
        for (target, name) in [("/healthz", "parts"), ("/readyz", "status"), ("/livez", "status")] {
            let answer = server.ask_bare(target, &server.own_host());
            let json: Value = serde_json::from_str(&answer.body).unwrap();
            assert!(answer.status == 200 && !json[name].is_null(), "{target}: {}", answer.body);
        }
        assert!(server.get("/metrics").body.contains("# TYPE"));
    });
}

#[test]
fn a_probe_that_names_no_store_answers_for_the_worst_of_all() {
    let fixture = Fixture::new();
    let others = ["b.db", "c.db"].map(|name| fixture.folder.path().join(name));
    for path in &others {
        fixture.copy_to(path);
    }
    let [second, third] = others.each_ref().map(|path| path.to_str().unwrap());
    let server = Server::start(&fixture.path, &["--db", second, "--db", third]);
    for target in ["/healthz", "/readyz", "/healthz?db=c.db"] {
        wait_for_bare(&server, target, 200);
    }
    let json: Value = serde_json::from_str(&server.get("/healthz").body).unwrap();
    let stores: HashSet<_> =
        json["parts"].as_array().unwrap().iter().map(|part| part["store"].as_str()).collect();
    assert_eq!(stores, HashSet::from([Some("shop.db"), Some("b.db"), Some("c.db")]));
    std::fs::remove_file(third).unwrap();
    for target in ["/healthz", "/readyz", "/healthz?db=c.db", "/readyz?db=c.db"] {
        assert!(!wait_for_bare(&server, target, 503).body.contains("c.db"), "{target}");
        assert!(wait_for(&server, target, 503).body.contains("c.db"), "{target}");
    }
    for target in ["/healthz?db=shop.db", "/readyz?db=b.db"] {
        wait_for_bare(&server, target, 200);
    }
    assert_eq!(wait_for_bare(&server, "/healthz?db=no.db", 404).status, 404);
}

#[test]
fn what_is_chosen_in_the_bar_is_shown_there_even_among_more_than_fit() {
    let fixture = filled();
    let process = "INSERT INTO process (id, run_uuid, service, version, host, pid, started_ns, ending, build)
                   SELECT value + 2, 'r' || value, 'service-' || value, '1', 'elsewhere', value, ?1, 'exit', 'build-' || value
                   FROM json_each(?2)";
    let numbers: Vec<u32> = (1..=120).collect();
    let numbers = serde_json::to_string(&numbers).unwrap();
    fixture.db.execute(process, rusqlite::params![fixture.now - 800 * SECOND, numbers]).unwrap();
    let server = Server::start(&fixture.path, &[]);
    for run in [1, 2, 3, 60, 122] {
        let page = server.get(&format!("/calls?process={run}")).body;
        assert!(
            type_filter(&page, "").contains(&format!("process={}", form_encode(&run.to_string()))),
            "{run}"
        );
        assert_eq!(page.matches(&format!("<option value=\"{run}\"")).count(), 1, "{run}");
    }
    // The label of a run that is not among the newest is that of a run, too.
    assert!(server.get("/calls?process=3").body.contains("selected>3: service-1 (pid 1)"));
    for (name, value) in
        [("service", "service-99"), ("build", "build-99"), ("service", "shop"), ("process", "777")]
    {
        let page = server.get(&format!("/calls?{name}={value}")).body;
        let kept = form_urlencoded::parse(type_filter(&page, "").split_once('?').unwrap().1.as_bytes())
            .any(|(known, kept)| known == name && kept == value);
        assert!(kept, "{name}={value}");
    }
}

#[test]
fn the_links_to_the_neighbouring_spans_move_with_the_present_and_meet_what_is_shown() {
    let fixture = filled();
    let server = Server::start(&fixture.path, &[]);
    let spans = |target: &str| {
        let page = server.get(target).body;
        // The script replaces panels alone.
        let panel = page.split_once("data-panel=\"shift\"").unwrap().1.split_once("</span>").unwrap().0;
        let links: Vec<_> = attributes(panel, " href").collect();
        let span = |link: &String| {
            let at = |name: &str| {
                let found = parameters(link).into_iter().find(|(known, _)| known == name);
                found.unwrap().1.parse::<i64>().unwrap()
            };
            assert_eq!(server.get(link).status, 200, "{link}");
            (at("from"), at("to"))
        };
        (span(&links[0]), span(&links[1]), links)
    };
    let (from, to) = (fixture.now - 200 * SECOND, fixture.now - 50 * SECOND);
    let target = format!("/diff?before=process:1&q=place&from={from}&to={to}");
    let (earlier, later, links) = spans(&target);
    assert_eq!((earlier, later), ((from - 150 * SECOND, from), (to, to + 150 * SECOND)));
    assert!(
        links.iter().all(|link| link.contains("before=process%3A1") && link.contains("q=place")),
        "{links:?}"
    );
    for target in [
        "/calls",
        "/calls?from=-5m",
        "/calls?from=-5m&failed=1",
        "/?to=-1m",
        "/calls?from=2099-01-01T00:00:00Z&to=2099-01-02T00:00:00Z",
    ] {
        let (first, later, _) = spans(target);
        assert!(
            first.0 < first.1 && first.1 < later.0 + 1 && later.0 < later.1,
            "{target}: {first:?} {later:?}"
        );
        if !target.contains("2099") {
            // The span ends at the present time, so the second request gets a later end than the first.
            assert!(spans(target).0.1 > first.1, "{target}");
        }
    }
}

#[test]
fn a_page_that_ignores_the_chosen_span_says_so_and_health_ends_with_it() {
    let fixture = filled();
    let server = Server::start(&fixture.path, &[]);
    let runs = |query: &str, list: &str| {
        let rows = server.json(&format!("/{list}.json?{query}"))[list].as_array().unwrap().clone();
        let mut runs: Vec<_> = rows.iter().map(|row| row["process_id"].as_i64().unwrap()).collect();
        runs.sort_unstable();
        runs
    };
    // Run 2 lasted from 900 s to 700 s ago, run 1 began 600 s ago.
    for (query, expected) in [
        ("", vec![1, 2]),
        ("from=6h&to=5h", vec![]),
        ("from=850s&to=800s", vec![2]),
        ("to=650s", vec![2]),
        ("from=60s", vec![1]),
    ] {
        assert_eq!(runs(query, "health"), expected, "{query}");
        assert_eq!(runs(query, "processes"), expected, "{query}");
    }
    for (path, notes) in
        [("/", 2), ("/rates", 4), ("/findings", 1), ("/health", 1), ("/processes", 1), ("/calls", 0)]
    {
        let count = |query: &str| {
            server.get(&format!("{path}?{query}")).body.matches(", whatever span is chosen.").count()
        };
        assert_eq!((count(""), count("from=6h&to=5h"), count("from=5m")), (0, notes, notes), "{path}");
    }
}

#[test]
fn the_pages_and_the_writes_follow_programs_to_the_file_in_which_they_go_on() {
    // A table was altered, the file became another program's database, or a newer program has changed the schema.
    let beside = format!("shop.v{}.db", monitor_runtime::store::schema::VERSION);
    for (change, name) in [
        ("ALTER TABLE call ADD COLUMN extra INTEGER", "shop.monitor.db"),
        ("PRAGMA application_id = 7", "shop.monitor.db"),
        ("PRAGMA user_version = 99", beside.as_str()),
    ] {
        let fixture = filled();
        let next = fixture.folder.path().join(name);
        fixture.copy_to(&next);
        let server = Server::start(&fixture.path, &["--allow-writes"]);
        let shown = |target: &str| server.json(target)["store"].as_str().unwrap().to_owned();
        let [first, second] = [&fixture.path, &next].map(|path| path.canonicalize().unwrap());
        assert_eq!(shown("/calls.json"), first.to_str().unwrap());
        let mut stream = server.connect();
        let (port, token) = (server.port, &server.token);
        let request =
            format!("GET /live HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
        assert!(lines.by_ref().any(|line| line.starts_with(':')));
        fixture.db.execute_batch(change).unwrap();
        assert!(lines.by_ref().any(|line| line == "event: tick"), "{change}");
        for target in ["/calls.json", "/calls.json?db=shop.db", "/now.json"] {
            assert_eq!(shown(target), second.to_str().unwrap(), "{change}: {target}");
        }
        assert_eq!(server.get("/call/1/args").status, 200, "{change}");
        assert_eq!(server.get("/sql.csv?sql=SELECT+1").status, 200, "{change}");
        wait_for(&server, "/readyz", 200);
        // A commit to the new file refreshes an open page, and a write goes there.
        let answer = server.ask("POST", "/rates", "", "pattern=shop::moved&rate=0.25");
        assert_eq!(answer.status, 303, "{change}: {}", answer.body);
        assert!(lines.by_ref().any(|line| line == "event: tick"), "{change}");
        let moved = "SELECT count(*) FROM sampling WHERE pattern = 'shop::moved'";
        let count = |db: &rusqlite::Connection| db.query_row(moved, [], |row| row.get::<_, i64>(0)).unwrap();
        let next = rusqlite::Connection::open(&next).unwrap();
        assert_eq!((count(&fixture.db), count(&next)), (0, 1), "{change}");
        stream.shutdown(Shutdown::Both).unwrap();
    }
}
