//! Spans that are open when their process is killed, and when it ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use monitored::monitor;
use tracing::{info_span, instrument};

use crate::stage::{Stage, install, store_of};

#[monitor]
fn inner() {
    let mut output = std::io::stdout();
    writeln!(output, "ready").and_then(|()| output.flush()).unwrap();
    std::thread::sleep(Duration::from_secs(600));
}

#[instrument]
fn done(number: u32) {}

pub(crate) fn program() {
    install();
    (0..100).for_each(done);
    let waiting = info_span!("waiting", order = 71);
    waiting.in_scope(|| ());
    let _made = info_span!("made", order = 73);
    info_span!("outer", order = 72).in_scope(inner);
}

#[test]
fn open_spans_of_a_killed_process_are_recovered() {
    let stage = Stage::new();
    let mut program = stage.command("killed").stdout(Stdio::piped()).spawn().unwrap();
    let output = BufReader::new(program.stdout.take().unwrap());
    assert!(output.lines().any(|line| line.unwrap().ends_with("ready")));
    program.kill().unwrap();
    program.wait().unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    let now = i64::try_from(now).unwrap();
    monitor_runtime::recover::recover(&stage.path(), &[stage.rings()], now).unwrap();
    let store = stage.store();
    let flying: Vec<String> = store.all(
        "SELECT REPLACE(function, 'it::killed::', '') || ' ' || COALESCE(args, '-') || ' ' ||
         (waiting_since_ns IS NOT NULL) FROM in_flight ORDER BY 1",
    );
    assert_eq!(
        flying,
        [
            "inner - 0",
            // A span that was never entered waits from its begin on.
            "made {\"order\":73} 1",
            "outer {\"order\":72} 0",
            "waiting {\"order\":71} 1"
        ]
    );
    let parent: String = store.one(
        "SELECT p.function FROM in_flight c JOIN in_flight p ON p.span_id = c.parent_id WHERE c.function = 'it::killed::inner'",
    );
    assert_eq!(parent, "it::killed::outer");
    assert_eq!(store.one::<i64>("SELECT calls FROM functions WHERE function = 'it::killed::done'"), 100);
    let numbers = "SELECT COUNT(DISTINCT json_extract(args, '$.number')) FROM calls WHERE function = 'it::killed::done'";
    assert_eq!(store.one::<i64>(numbers), 100);
}

pub(crate) fn leak() {
    install();
    let leaked = info_span!("leaked");
    leaked.in_scope(|| ());
    std::mem::forget(leaked);
    std::mem::forget(info_span!("entered").entered());
    monitored::flush(Duration::from_secs(60)).unwrap();
    std::process::exit(0);
}

#[test]
fn spans_that_are_open_when_the_process_ends_end_with_it() {
    let store = store_of("exits");
    for function in ["leaked", "entered"] {
        assert_eq!(store.outcome(&format!("killed::{function}")), "exit", "{function}");
    }
}
