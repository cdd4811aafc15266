//! Keys of side effects that processes race for while they are killed: each side effect is done once, or in doubt.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use monitored_guard::{Ledger, Once, OnceError};

const CHILD: &str = "MONITORED_GUARD_TEST_ONCE";
const DAY: Duration = Duration::from_secs(86_400);
const PROCESSES: usize = 20;

/// The kills of a run. `MONITOR_TEST_KILLS=200` makes the long form.
fn kills() -> usize {
    std::env::var("MONITOR_TEST_KILLS").map_or(30, |text| text.parse().expect("a number of kills"))
}

/// Does the side effect of a key: a line in a file, which is written whole. The pauses leave time for kills before and after it.
fn act(folder: &Path, key: &str) -> u32 {
    std::thread::sleep(Duration::from_micros(300));
    let mut file = OpenOptions::new().append(true).create(true).open(folder.join("effects")).unwrap();
    file.write_all(format!("{key}\n").as_bytes()).unwrap();
    std::thread::sleep(Duration::from_micros(300));
    std::process::id()
}

/// The program that races for keys, from a number on. It is killed, so it never ends by itself.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let folder = Path::new(&folder);
    let ledger = Ledger::new(folder.join("once.db"));
    let first: usize = std::env::var("MONITORED_GUARD_TEST_FIRST").unwrap().parse().unwrap();
    for number in first.. {
        let key = format!("order-{number}");
        match ledger.once(&key, DAY, || Ok::<_, String>(act(folder, &key))) {
            Ok(_) | Err(OnceError::InProgress(_) | OnceError::InDoubt { .. } | OnceError::Unavailable(_)) => {
            }
            Err(other) => panic!("{key}: {other}"),
        }
    }
}

fn start(folder: &Path, first: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "once_killed::child"])
        .env(CHILD, folder)
        .env("MONITORED_GUARD_TEST_FIRST", first.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Returns how often the side effect of each key was done.
fn effects(folder: &Path) -> HashMap<String, usize> {
    let mut effects = HashMap::new();
    let text = std::fs::read_to_string(folder.join("effects")).unwrap_or_default();
    text.lines().for_each(|key| *effects.entry(key.to_owned()).or_default() += 1);
    effects
}

#[test]
fn of_racing_processes_that_are_killed_each_does_a_side_effect_once_or_leaves_it_in_doubt() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    // A process that takes the place of a killed one begins where the others are.
    let mut children: Vec<Child> = (0..PROCESSES).map(|_| start(path, 0)).collect();
    let mut seen = 0;
    for kill in 0..kills() {
        // Waits until side effects were done since the last kill.
        let begun = std::time::Instant::now();
        let done = loop {
            let done = effects(path).len();
            if done >= seen + 3 {
                break done;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing is done any more after {kill} kills");
            std::thread::sleep(Duration::from_millis(1));
        };
        seen = done;
        let child = &mut children[kill % PROCESSES];
        child.kill().unwrap();
        child.wait().unwrap();
        *child = start(path, done.saturating_sub(5));
    }
    for child in &mut children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let effects = effects(path);
    let ledger = Ledger::new(path.join("once.db"));
    let doubts: Vec<String> = ledger.doubts().unwrap().into_iter().map(|doubt| doubt.key).collect();
    assert!(
        effects.len() >= seen && effects.values().all(|times| *times == 1),
        "a side effect was done twice"
    );
    let (mut recorded, mut in_doubt) = (0, 0);
    for key in effects.keys() {
        match ledger.once(key, DAY, || Ok::<u32, String>(0)) {
            Ok(Once::Recorded(_)) => recorded += 1,
            Err(OnceError::InDoubt { .. }) if doubts.contains(key) => in_doubt += 1,
            other => panic!("{key} was done, but is {other:?}"),
        }
    }
    assert!(recorded > in_doubt, "{recorded} {in_doubt}");
    for key in &doubts {
        assert!(effects.get(key).is_none_or(|times| *times == 1));
    }
}
