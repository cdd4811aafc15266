//! `monitor watch`: a command and a webhook are told of alerts at least once, whatever they answer and whenever they are killed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::Value;

use crate::fixture::{Fixture, SECOND};
use crate::run::{command, monitor};

/// The time after which a test gives up, far longer than anything takes on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[track_caller]
fn wait_for(awaited: &str, mut is_ready: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_ready() {
        assert!(Instant::now() < deadline, "waited in vain for {awaited}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A running `monitor watch`, which is killed with the test.
struct Watching(Child);

impl Watching {
    fn start(fixture: &Fixture, arguments: &[&str]) -> Self {
        Self::start_with(fixture, arguments, Stdio::null())
    }

    fn start_with(fixture: &Fixture, arguments: &[&str], stderr: Stdio) -> Self {
        Self::start_in(fixture, arguments, stderr, &[])
    }

    /// Starts it with these variables.
    fn start_in(fixture: &Fixture, arguments: &[&str], stderr: Stdio, variables: &[(&str, &str)]) -> Self {
        let mut watch = command(fixture.folder.path(), &["watch"]);
        watch.args(arguments).arg("--db").arg(&fixture.path).stdout(Stdio::null()).stderr(stderr);
        // The receivers are on this machine.
        for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            watch.env_remove(name);
        }
        watch.envs(variables.iter().copied());
        Self(watch.spawn().unwrap())
    }

    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Writes an alert on the function 1 with this number, or its next state.
fn put(db: &Connection, id: i64, level: &str, state: &str, until_ns: Option<i64>) {
    db.execute(
        "INSERT INTO alert VALUES (?1, (SELECT coalesce(max(change), 0) + 1 FROM alert), 1, 'rule ' || ?1, 1, ?2, ?3,
           1709210096250000000, ?4, 62.5, 80, 'place: the rule ' || ?1 || ' holds', 1)
         ON CONFLICT (id) DO UPDATE SET change = excluded.change, level = excluded.level, state = excluded.state,
           until_ns = excluded.until_ns",
        (id, level, state, until_ns),
    )
    .unwrap();
}

fn read(db: &Connection, sql: &str) -> String {
    db.query_row(sql, [], |row| row.get(0)).unwrap()
}

const CURSOR: &str =
    "SELECT change || ' ' || failures || ' ' || coalesce(last_failure, '-') FROM alert_cursor";

/// The behaviour of a stub towards one request.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Status(&'static str),
    /// The request is read and never answered.
    Hang,
    /// The connection is closed in the middle of the answer.
    Cut,
    /// The connection is closed before the request is read, which resets it.
    Reset,
}

/// A request: its first line, the headers that the tests give, and its body.
type Request = (String, Vec<String>, Value);

/// A webhook on the loopback that answers as it is told, one request after the other, and then 200.
struct Stub {
    address: String,
    requests: Receiver<Request>,
}

impl Stub {
    fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/hook?key=secret", listener.local_addr().unwrap());
        let (told, requests) = channel();
        std::thread::spawn(move || {
            let mut hanging = Vec::new();
            let mut answers = answers.into_iter();
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let answer = answers.next().unwrap_or(Answer::Status("200 OK"));
                if matches!(answer, Answer::Reset) {
                    // Unread bytes make the close a reset.
                    while connection.peek(&mut [0]).is_ok_and(|read| read == 0) {}
                    drop(connection);
                    continue;
                }
                let Some(request) = read_request(&connection) else { continue };
                if told.send(request).is_err() {
                    return;
                }
                let _ = match answer {
                    Answer::Status(status) => {
                        write!(
                            connection,
                            "HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
                        )
                    }
                    Answer::Cut => write!(connection, "HTTP/1.1 2"),
                    Answer::Hang | Answer::Reset => {
                        hanging.push(connection);
                        Ok(())
                    }
                };
            }
        });
        Self { address, requests }
    }

    /// Returns the body of the next request.
    #[track_caller]
    fn next(&self) -> Value {
        self.next_with_headers().1
    }

    /// Returns the headers of the next request that begin with `x-` or `authorization`, and its body.
    #[track_caller]
    fn next_with_headers(&self) -> (Vec<String>, Value) {
        let (line, headers, body) = self.requests.recv_timeout(PATIENCE).unwrap();
        assert_eq!(line, "POST /hook?key=secret HTTP/1.1");
        (headers, body)
    }

    /// Asserts that there is no request that was not looked at.
    #[track_caller]
    fn is_silent(&self) {
        match self.requests.recv_timeout(Duration::from_millis(1)) {
            Err(RecvTimeoutError::Timeout) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn read_request(connection: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(connection);
    let (mut first, mut length, mut line, mut given) = (String::new(), 0, String::new(), Vec::new());
    reader.read_line(&mut first).ok()?;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let header = line.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if header.starts_with("x-") || header.starts_with("authorization:") {
            given.push(line.trim().to_owned());
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if let Some(value) = header.strip_prefix("content-type:") {
            assert_eq!(value.trim(), "application/json");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    given.sort_unstable();
    Some((first.trim().to_owned(), given, serde_json::from_slice(&body).ok()?))
}

/// Returns the names of the rules of a request, each with its status and its level.
fn list(body: &Value) -> Vec<String> {
    let alerts = body["alerts"].as_array().unwrap().iter();
    let text = |alert: &Value| {
        let part = |value: &Value| value.as_str().unwrap().to_owned();
        let labels = &alert["labels"];
        format!("{} {} {}", part(&labels["alertname"]), part(&alert["status"]), part(&labels["severity"]))
    };
    alerts.map(text).collect()
}

#[test]
fn a_webhook_is_told_again_until_it_takes_whatever_it_answers() {
    let fixture = Fixture::new();
    put(&fixture.db, 1, "warning", "firing", None);
    put(&fixture.db, 2, "critical", "recovering", None);
    let elsewhere = Stub::start(Vec::new());
    let location: &'static str = format!("302 Found\r\nLocation: {}", elsewhere.address).leak();
    let answers = vec![
        Answer::Status("500 Internal Server Error"),
        Answer::Hang,
        Answer::Status(location),
        Answer::Reset,
        Answer::Cut,
        Answer::Status("429 Too Many Requests\r\nRetry-After: 1"),
        Answer::Status("404 Not Found"),
    ];
    let stub = Stub::start(answers);
    let arguments = ["--webhook", &stub.address, "--timeout", "2s", "--max-pause", "1s"];
    let mut watching = Watching::start_with(&fixture, &arguments, Stdio::piped());
    // All but the reset one are read. The last one is taken.
    for attempt in 0..7 {
        assert_eq!(list(&stub.next()), ["rule 1 firing warning", "rule 2 firing critical"], "{attempt}");
    }
    wait_for("the cursor", || read(&fixture.db, CURSOR) == "2 0 -");
    stub.is_silent();
    elsewhere.is_silent();
    // The receiver is told of a new alert at once.
    put(&fixture.db, 3, "info", "firing", None);
    let body = stub.next();
    assert_eq!(list(&body), ["rule 3 firing info"]);
    assert_eq!((&body["version"], &body["status"]), (&"4".into(), &"firing".into()));
    wait_for("the cursor", || read(&fixture.db, CURSOR) == "3 0 -");
    watching.kill();
    let mut said = String::new();
    watching.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    for part in [
        "answered 500",
        "answered 302 Found: redirects are refused",
        "answered 429",
        "answered 404",
        "could not be reached",
        "told: place: the rule 1 holds",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("secret"), "{said}");
    assert!(!read(&fixture.db, "SELECT receiver FROM alert_cursor").contains("secret"));
}

#[cfg(unix)]
#[test]
fn headers_come_from_variables_and_files_and_no_value_is_an_argument() {
    let fixture = Fixture::new();
    put(&fixture.db, 1, "warning", "firing", None);
    let stub = Stub::start(Vec::new());
    let file = fixture.folder.path().join("headers");
    std::fs::write(&file, "X-Tenant: shop\n\nX-Key: old\n").unwrap();
    let from_file = format!("@{}", file.display());
    let arguments = [
        "--webhook",
        &stub.address,
        "--header",
        "Authorization: Bearer ${HOOK_TOKEN}",
        "--header",
        &from_file,
    ];
    let variables = [("HOOK_TOKEN", "t0ken-of-the-hook")];
    let watching = Watching::start_in(&fixture, &arguments, Stdio::null(), &variables);
    let (headers, _) = stub.next_with_headers();
    let sent = |headers: &[String]| headers.join("\n").to_lowercase();
    assert_eq!(sent(&headers), "authorization: bearer t0ken-of-the-hook\nx-key: old\nx-tenant: shop");
    #[cfg(target_os = "linux")]
    {
        let shown = std::fs::read(format!("/proc/{}/cmdline", watching.0.id())).unwrap();
        let shown = String::from_utf8_lossy(&shown).into_owned();
        assert!(shown.contains("${HOOK_TOKEN}") && !shown.contains("t0ken"), "{shown}");
    }
    // A token that is renewed goes with the next request.
    std::fs::write(&file, "X-Key: new").unwrap();
    put(&fixture.db, 2, "critical", "firing", None);
    assert!(sent(&stub.next_with_headers().0).contains("x-key: new"));
    drop(watching);
    let unset = ["watch", "--webhook", &stub.address, "--header", "Authorization: ${HOOK_TOKEN}"];
    let why = monitor(&fixture.path, &unset).failed(1);
    assert!(why.contains("the header `Authorization` needs the variable `HOOK_TOKEN`"), "{why}");
    monitor(&fixture.path, &["watch", "--exec", "true", "--header", "X-Key: a"]).failed(2);
}

#[test]
fn a_receiver_is_told_of_beginnings_levels_and_ends_and_of_nothing_else() {
    let fixture = Fixture::new();
    let db = &fixture.db;
    put(db, 1, "critical", "resolved", Some(fixture.now));
    put(db, 2, "warning", "firing", None);
    let stub = Stub::start(Vec::new());
    let once = || monitor(&fixture.path, &["watch", "--webhook", &stub.address, "--once"]);
    once().ok();
    assert_eq!(list(&stub.next()), ["rule 2 firing warning"], "what had ended before is not told");
    once().ok();
    put(db, 2, "warning", "recovering", None);
    once().ok();
    put(db, 2, "warning", "firing", None);
    once().ok();
    stub.is_silent();
    put(db, 2, "critical", "firing", None);
    once().ok();
    assert_eq!(list(&stub.next()), ["rule 2 firing critical"]);
    put(db, 2, "critical", "ended", Some(fixture.now + SECOND));
    // It begins and ends while nobody looks.
    put(db, 3, "info", "firing", None);
    put(db, 3, "info", "resolved", Some(fixture.now));
    once().ok();
    let body = stub.next();
    assert_eq!(list(&body), ["rule 2 resolved critical", "rule 3 resolved info"]);
    assert_eq!(body["status"], "resolved");
    assert_eq!(body["alerts"][0]["annotations"]["state"], "ended");
    once().ok();
    stub.is_silent();
    assert_eq!(read(db, "SELECT count(*) || '' FROM alert_told"), "0");
    // Another receiver is told of what fires, and of nothing that had ended.
    put(db, 4, "info", "firing", None);
    monitor(&fixture.path, &["watch", "--webhook", &stub.address, "--once", "--name", "second"]).ok();
    assert_eq!(list(&stub.next()), ["rule 4 firing info"]);
    let shown = read(
        db,
        "SELECT group_concat(receiver || ' ' || change, ',') FROM alert_cursor WHERE receiver = 'second'",
    );
    assert_eq!(shown, "second 9");
}

#[test]
fn once_fails_if_an_alert_is_not_taken_and_the_store_says_why() {
    let fixture = Fixture::new();
    put(&fixture.db, 1, "warning", "firing", None);
    let stub = Stub::start(vec![Answer::Status("503 Service Unavailable"), Answer::Hang]);
    let once = ["watch", "--webhook", &stub.address, "--once", "--timeout", "1s"];
    let failed = monitor(&fixture.path, &once).failed(1);
    assert!(failed.contains("an alert was not taken, and waits: the webhook answered 503"), "{failed}");
    let began = Instant::now();
    monitor(&fixture.path, &once).failed(1);
    assert!(began.elapsed() < PATIENCE, "a request that hangs is given up");
    assert!(
        read(&fixture.db, CURSOR).starts_with("0 2 the webhook could not be reached: timeout"),
        "{}",
        read(&fixture.db, CURSOR)
    );
    monitor(&fixture.path, &once).ok();
    assert_eq!(read(&fixture.db, CURSOR), "1 0 -");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = format!("http://{nobody}/");
    monitor(&fixture.path, &["watch", "--webhook", &address, "--once"]).failed(1);
}

#[test]
fn alerts_are_told_in_groups_of_fifty() {
    let fixture = Fixture::new();
    (1..=620).for_each(|id| put(&fixture.db, id, "info", "firing", None));
    let stub = Stub::start(Vec::new());
    monitor(&fixture.path, &["watch", "--webhook", &stub.address, "--once"]).ok();
    let told: Vec<usize> = (0..13).map(|_| list(&stub.next()).len()).collect();
    assert_eq!(told, [50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 20]);
    stub.is_silent();
}

/// A command that appends what it gets to a file, and what it returns.
fn script(folder: &Path, then: &str) -> (String, PathBuf) {
    let out = folder.join("told");
    let text = format!(
        "cat >> '{0}' && printf '%s|%s|%s|%s|%s\\n' \"$ALERT_STATUS\" \"$ALERT_RULE\" \"$ALERT_FUNCTION\" \
                        \"$ALERT_SINCE\" \"$ALERT_SENTENCE\" >> '{0}' && {then}",
        out.display()
    );
    (text, out)
}

#[cfg(unix)]
#[test]
fn a_command_gets_the_alert_on_its_input_and_in_its_environment() {
    let fixture = Fixture::new();
    put(&fixture.db, 1, "critical", "firing", None);
    fixture.db.execute("UPDATE alert SET sentence = '$(touch hacked); `id` \"', rule = 'a''b'", []).unwrap();
    let (text, out) = script(fixture.folder.path(), "true");
    monitor(&fixture.path, &["watch", "--exec", &text, "--once"]).ok();
    let told = std::fs::read_to_string(&out).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    let json: Value = serde_json::from_str(lines[0]).unwrap();
    assert_eq!(json["labels"]["alertname"], "a'b");
    assert_eq!(json["annotations"]["summary"], "$(touch hacked); `id` \"");
    assert_eq!(lines[1], "firing|a'b|shop::orders::place|2024-02-29T12:34:56.250Z|$(touch hacked); `id` \"");
    assert!(!fixture.folder.path().join("hacked").exists() && !Path::new("hacked").exists());
    // A command that fails is run again, and a command that does not read its input has not failed.
    put(&fixture.db, 2, "info", "firing", None);
    let failed = monitor(&fixture.path, &["watch", "--exec", "exit 3", "--once", "--name", "x"]).failed(1);
    assert!(failed.contains("the command ended with exit status: 3"), "{failed}");
    monitor(&fixture.path, &["watch", "--exec", "true", "--once", "--name", "x"]).ok();
    assert_eq!(read(&fixture.db, "SELECT change || '' FROM alert_cursor WHERE receiver = 'x'"), "2");
}

#[cfg(unix)]
#[test]
fn an_alert_that_is_refused_for_good_holds_up_the_others_for_a_while_only_and_is_told_once_it_is_taken() {
    let fixture = Fixture::new();
    for id in 1..=4 {
        put(&fixture.db, id, "info", "firing", None);
    }
    let told = |refused: &str| {
        let out = fixture.folder.path().join("told");
        let text = format!(
            "case \"$ALERT_RULE\" in {refused}) exit 5;; esac; echo \"$ALERT_RULE\" >> '{}'",
            out.display()
        );
        let run = monitor(&fixture.path, &["watch", "--exec", &text, "--once", "--name", "x"]);
        (run, std::fs::read_to_string(&out).unwrap_or_default())
    };
    // The first two are refused. At first nothing is told, because a receiver that is away looks the same.
    let refused = "'rule 1' | 'rule 2'";
    for _ in 0..10 {
        let (run, told) = told(refused);
        assert!(run.failed(1).contains("the command ended with exit status: 5") && told.is_empty(), "{told}");
    }
    let mut lines = String::new();
    for _ in 0..3 {
        let (run, told) = told(refused);
        run.failed(1);
        lines = told;
    }
    assert_eq!(lines, "rule 3\nrule 4\n");
    assert_eq!(read(&fixture.db, CURSOR), "4 0 the command ended with exit status: 5");
    // A new alert is told before those that are still refused, and one of those that changes stays among them.
    put(&fixture.db, 5, "info", "firing", None);
    put(&fixture.db, 2, "info", "resolved", Some(1_709_210_196_250_000_000));
    let (run, lines) = told("'rule 1'");
    run.failed(1);
    assert_eq!(lines, "rule 3\nrule 4\nrule 5\nrule 2\n");
    let (run, lines) = told("nothing");
    run.ok();
    assert_eq!(lines, "rule 3\nrule 4\nrule 5\nrule 2\nrule 1\n");
    assert_eq!(read(&fixture.db, CURSOR), "6 0 -");
    assert_eq!(read(&fixture.db, "SELECT group_concat(alert_id, ' ') FROM alert_told"), "1 3 4 5");
}

#[cfg(unix)]
#[test]
fn no_number_of_refused_alerts_holds_up_one_that_is_taken() {
    const REFUSED: i64 = 45;
    let fixture = Fixture::new();
    for id in 1..=REFUSED + 1 {
        put(&fixture.db, id, if id > REFUSED { "critical" } else { "info" }, "firing", None);
    }
    let out = fixture.folder.path().join("told");
    let text = format!("[ \"$ALERT_LEVEL\" = critical ] && echo told >> '{}'", out.display());
    let looks = (0..100).take_while(|_| !out.exists()).inspect(|_| {
        monitor(&fixture.path, &["watch", "--exec", &text, "--once", "--name", "x"]).failed(1);
    });
    assert!(looks.count() < 50);
}

#[cfg(unix)]
#[test]
fn a_receiver_whose_row_is_deleted_is_told_again_of_what_fires_and_of_nothing_else() {
    let fixture = Fixture::new();
    put(&fixture.db, 1, "info", "firing", None);
    put(&fixture.db, 2, "info", "resolved", Some(1_709_210_196_250_000_000));
    let out = fixture.folder.path().join("told");
    let text = format!("echo \"$ALERT_RULE\" >> '{}'", out.display());
    let told = || std::fs::read_to_string(&out).unwrap_or_default();
    let delete = || fixture.db.execute("DELETE FROM alert_cursor", []).unwrap();
    let once = || monitor(&fixture.path, &["watch", "--exec", &text, "--once", "--name", "x"]).ok();
    once();
    once();
    assert_eq!(told(), "rule 1\n");
    delete();
    once();
    assert_eq!(told(), "rule 1\nrule 1\n");
    // The same while a receiver is being told.
    let _watching = Watching::start(&fixture, &["--exec", &text, "--name", "x"]);
    put(&fixture.db, 3, "info", "firing", None);
    wait_for("the new alert", || told().lines().count() == 3);
    delete();
    wait_for("what fires", || told() == "rule 1\nrule 1\nrule 3\nrule 1\nrule 3\n");
    put(&fixture.db, 4, "info", "firing", None);
    wait_for("the last alert", || told().ends_with("rule 4\n"));
    assert_eq!(told(), "rule 1\nrule 1\nrule 3\nrule 1\nrule 3\nrule 4\n");
}

#[cfg(unix)]
#[test]
fn a_command_that_hangs_is_ended_with_all_that_it_started() {
    let fixture = Fixture::new();
    put(&fixture.db, 1, "critical", "firing", None);
    // The processes that the shell starts hold its output open, so the test goes on once all of them have ended.
    let once = ["watch", "--exec", "sleep 3600 & sleep 3600; true", "--once", "--timeout", "1s"];
    let failed = monitor(&fixture.path, &once).failed(1);
    assert!(failed.contains("took longer than 1 s"), "{failed}");
}

#[cfg(unix)]
#[test]
fn every_alert_is_told_however_often_the_command_is_killed() {
    const ALERTS: i64 = 60;
    let fixture = Fixture::new();
    let (text, out) = script(fixture.folder.path(), "true");
    let lines = || std::fs::read_to_string(&out).unwrap_or_default().lines().count();
    let writer = Connection::open(&fixture.path).unwrap();
    writer.busy_timeout(PATIENCE).unwrap();
    // Alerts come while the command runs, is killed, and is started again.
    let writing = std::thread::spawn(move || {
        for id in 1..=ALERTS {
            put(&writer, id, "info", "firing", None);
            std::thread::sleep(Duration::from_millis(40));
        }
    });
    let mut kills = 0;
    for _ in 0..12 {
        let mut watching = Watching::start(&fixture, &["--exec", &text]);
        let before = lines();
        let deadline = Instant::now() + PATIENCE;
        // It is killed between two deliveries, or within one.
        while lines() < before + 5 && !writing.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        watching.kill();
        kills += 1;
        if writing.is_finished() {
            break;
        }
    }
    writing.join().unwrap();
    monitor(&fixture.path, &["watch", "--exec", &text, "--once"]).ok();
    let told = std::fs::read_to_string(&out).unwrap();
    let rules =
        told.lines().filter_map(|line| line.strip_prefix("firing|rule ")?.split('|').next()?.parse().ok());
    let mut times = std::collections::BTreeMap::<i64, u32>::new();
    rules.for_each(|rule| *times.entry(rule).or_default() += 1);
    assert_eq!(times.keys().copied().collect::<Vec<_>>(), (1..=ALERTS).collect::<Vec<_>>(), "none is lost");
    let again: u32 = times.values().map(|times| times - 1).sum();
    assert!(again <= kills, "{again} were told again after {kills} kills");
    assert_eq!(read(&fixture.db, CURSOR), format!("{ALERTS} 0 -"));
}

#[test]
fn the_receiver_is_named_once_and_its_address_is_one() {
    let fixture = Fixture::new();
    for (arguments, part) in [
        (vec![], "--exec"),
        (vec!["--exec", "true", "--webhook", "http://localhost/"], "cannot be used with"),
        (vec!["--webhook", "localhost:9093"], "begins with http://"),
        (vec!["--webhook", "ftp://localhost/"], "begins with http://"),
        (vec!["--webhook", "http:///x"], "begins with http://"),
        (vec!["--exec", " "], "it is empty"),
        (vec!["--exec", "true", "--timeout", "soon"], "invalid value 'soon'"),
        (vec!["--exec", "true", "--timeout", "0s"], "a time limit is longer than 0"),
        (vec!["--exec", "true", "--max-pause", "0s"], "the longest pause is 1s or more"),
        (vec!["--exec", "true", "--max-pause", "999ms"], "the longest pause is 1s or more"),
        (
            vec!["--webhook", "http://localhost/", "--header", "no-colon"],
            "--header number 1: a header is written as",
        ),
        (
            vec!["--webhook", "http://localhost/", "--header", "a: b", "--header", "na me: c"],
            "`na me` is no name",
        ),
    ] {
        let wrong = monitor(&fixture.path, &[&["watch"], arguments.as_slice()].concat()).failed(2);
        assert!(wrong.contains(part), "{part}: {wrong}");
    }
    let missing = ["watch", "--webhook", "https://localhost/", "--once", "--ca-file", "no-such.pem"];
    assert!(monitor(&fixture.path, &missing).failed(1).contains("no-such.pem cannot be read"));
    fixture.db.execute_batch("DROP VIEW alerts").unwrap();
    let older = monitor(&fixture.path, &["watch", "--exec", "true", "--once"]).failed(1);
    assert!(older.contains("an older version wrote it"), "{older}");
}
