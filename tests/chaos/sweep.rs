//! Runs the store under every single fault: the N-th call of a kind fails, once or for ever, for N = 1, 2, … until the
//! scenario passes without being struck. After the fault has ended, every acknowledged batch is there once, any other
//! batch arrives when it is sent again, and the file is sound.

use monitor_runtime::batch::Ending;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use monitor_runtime::store::{SqliteStore, Store as _, StoreError, StoreOptions};

use crate::row::{Calls, Case, Length, Need, Row};
use crate::rows::{HOUR, T0, batch, call, failure, process, query_value, tool};
use crate::vfs::{Lasting, Op, arm, disarm};

const fn case(fault: &'static str, length: Length, run: fn() -> Row) -> Case {
    Case { fault, how: "N-th read, write, sync, lock, … fails", need: Need::Nothing, length, run }
}

pub(crate) const CASES: &[Case] = &[
    case("sweep: open", Length::Long, || sweep(leave_empty, open)),
    case("sweep: open what is there", Length::Short, || sweep(filled, open)),
    case("sweep: migrate", Length::Short, || sweep(put_old_version, open)),
    case("sweep: batch", Length::Short, || sweep(opened, write)),
    case("sweep: evict", Length::Long, || sweep(nearly_full, evict)),
    case("sweep: expire", Length::Long, || sweep(opened, expire)),
    case("sweep: set aside while open", Length::Long, || sweep(damaged_while_open, write)),
    case("sweep: set aside on opening", Length::Long, || sweep(damaged, open)),
    case("sweep: recover", Length::Long, || sweep(killed, open)),
    case("sweep: close", Length::Long, || sweep(opened, close)),
    Case {
        fault: "bit flips",
        how: "40 seeds",
        need: Need::Nothing,
        length: Length::Short,
        run: || flips(40),
    },
    Case {
        fault: "bit flips, many",
        how: "1000 seeds",
        need: Need::Nothing,
        length: Length::Long,
        run: || flips(1000),
    },
];

/// The number of calls past which a scenario is taken for endless.
const CALLS_MAX: u32 = 3000;
/// The writes within which a batch must have arrived: a breaker would have let as many through.
const TRIES_MAX: u32 = 6;

/// A store in a folder, and what it has acknowledged.
struct World {
    folder: tempfile::TempDir,
    options: StoreOptions,
    store: Option<SqliteStore>,
    /// The batches of ten calls that were acknowledged.
    acknowledged: Vec<u64>,
    next: u64,
    is_damaged: bool,
    /// The reason for which the last batch was not acknowledged.
    why: String,
}

type Step = fn(&mut World);

impl World {
    fn new() -> Self {
        crate::vfs::install();
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions::file(folder.path().join("shop.db"));
        Self {
            folder,
            options,
            store: None,
            acknowledged: Vec::new(),
            next: 1,
            is_damaged: false,
            why: String::new(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("shop.db")
    }

    /// Sends the next batch. Returns true if it was acknowledged.
    fn send(&mut self) -> bool {
        if self.store.is_none() {
            let store = SqliteStore::open(&self.options, process(1), T0);
            self.store = store.map_err(|error| self.why = error.to_string()).ok();
        }
        let Some(store) = &mut self.store else { return false };
        let number = u32::try_from(self.next).unwrap();
        let calls =
            (0..10).map(|at| if at == 0 { failure(number * 10, "no") } else { call(number * 10 + at) });
        match store.write(&batch(self.next, calls.collect())) {
            Ok(_) => {
                self.acknowledged.push(self.next);
                self.next += 1;
                true
            }
            Err(StoreError::Rejected(why)) => panic!("the batch was refused: {why}"),
            Err(error) => {
                self.why = error.to_string();
                false
            }
        }
    }
}

fn leave_empty(_: &mut World) {}

fn opened(world: &mut World) {
    for _ in 0..3 {
        assert!(world.send());
    }
}

/// Puts a store of an earlier version into the folder.
fn put_old_version(world: &mut World) {
    std::fs::copy(
        concat!(env!("CARGO_MANIFEST_DIR"), "/../monitor-runtime/tests/data/versions/1.db"),
        world.path(),
    )
    .unwrap();
}

fn filled(world: &mut World) {
    opened(world);
    world.store.take().unwrap().close(T0, Ending::Exit).unwrap();
}

/// Fills a store of the least size, so that each batch has to take the place of others.
fn nearly_full(world: &mut World) {
    world.options.max_disk_bytes = 1 << 20;
    world.store = Some(SqliteStore::open(&world.options, process(1), T0).unwrap());
    let store = world.store.as_mut().unwrap();
    let mut sequence = 0;
    for at in 0..14 {
        sequence += 1;
        let calls = (0..1000).map(|n| call(1_000_000 + at * 1000 + n)).collect();
        store.write(&batch(sequence, calls)).unwrap();
    }
    world.next = sequence + 1;
}

/// Leaves a database and a log that hold what a killed process had committed.
fn killed(world: &mut World) {
    opened(world);
    let aside = world.folder.path().join("copy");
    std::fs::create_dir(&aside).unwrap();
    for name in ["shop.db", "shop.db-wal"] {
        std::fs::copy(world.folder.path().join(name), aside.join(name)).unwrap();
    }
    drop(world.store.take());
    for name in ["shop.db", "shop.db-wal"] {
        std::fs::rename(aside.join(name), world.folder.path().join(name)).unwrap();
    }
    let _ = std::fs::remove_file(world.folder.path().join("shop.db-shm"));
}

fn zero(path: &Path) {
    let length = std::fs::metadata(path).unwrap().len();
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&vec![0; usize::try_from(length).unwrap() - 4096], 4096).unwrap();
}

fn damaged(world: &mut World) {
    filled(world);
    zero(&world.path());
    world.is_damaged = true;
}

fn damaged_while_open(world: &mut World) {
    opened(world);
    tool(&world.path()).query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    zero(&world.path());
    world.is_damaged = true;
}

fn open(world: &mut World) {
    world.store = SqliteStore::open(&world.options, process(1), T0).ok();
}

fn write(world: &mut World) {
    world.send();
}

fn evict(world: &mut World) {
    for _ in 0..3 {
        if world.send()
            && let Some(store) = &mut world.store
        {
            let _ = store.retain(T0);
        }
    }
}

fn expire(world: &mut World) {
    let Some(store) = &mut world.store else { return };
    while store.retain(T0 + 5 * HOUR).is_ok_and(|step| step.more) {}
}

fn close(world: &mut World) {
    if let Some(mut store) = world.store.take() {
        let _ = store.close(T0, Ending::Exit);
    }
}

/// Tries all kinds of calls, once and for ever, each for N = 1, 2, … until the scenario passes.
fn sweep(prepare: Step, step: Step) -> Row {
    let mut row = Row { is_host_unchanged: true, ..Row::default() };
    let (mut runs, mut struck) = (0_u64, 0_u64);
    for op in Op::ALL {
        for lasting in [Lasting::Once, Lasting::ForEver] {
            for nth in 1..=CALLS_MAX {
                let mut world = World::new();
                prepare(&mut world);
                arm(op, nth, lasting);
                step(&mut world);
                let hits = disarm();
                runs += 1;
                struck += u64::from(hits > 0);
                for problem in find_problems(&mut world, op == Op::Full) {
                    row.problems.push(format!("{op:?} {nth}, {lasting:?}: {problem}"));
                }
                row.emitted.ok += 9 * (world.next - 1);
                row.emitted.failed += world.next - 1;
                row.stored = row.emitted;
                if hits == 0 || row.problems.len() > 5 {
                    break;
                }
                assert!(nth < CALLS_MAX, "{op:?} never passed");
            }
        }
    }
    row.recovered = Some(struck);
    row.remark = format!("{runs} runs, in {struck} of them the fault struck");
    row
}

/// Returns what is wrong once the fault has ended: the next batch must arrive, and everything must be there once.
fn find_problems(world: &mut World, may_evict: bool) -> Vec<String> {
    let mut problems = Vec::new();
    let tries = (0..TRIES_MAX).position(|_| world.send());
    if tries.is_none() {
        problems.push("the next batch did not arrive".to_owned());
        return problems;
    }
    let notices = world.store.as_mut().map(SqliteStore::notices).unwrap_or_default();
    let is_set_aside = set_aside(world.folder.path());
    if is_set_aside && !world.is_damaged {
        problems.push(format!("a sound file was set aside: {notices:?}"));
    }
    world.store = None;
    let store = tool(&world.path());
    let check: String = query_value(&store, "PRAGMA quick_check");
    if check != "ok" {
        problems.push(format!("quick_check: {check}"));
    }
    for sequence in &world.acknowledged {
        // The rows' calls start a microsecond after each other. The ids are the store's own.
        let low = T0 + i64::try_from(*sequence).unwrap() * 10_000;
        let sql = format!("SELECT count(*) FROM calls WHERE start_ns BETWEEN {low} AND {}", low + 9000);
        let rows: i64 = query_value(&store, &sql);
        let is_last = *sequence == world.next - 1;
        // Eviction deletes ordinary calls first. One call of a batch has failed.
        let is_gone = (rows == 0 && (is_set_aside || may_evict) || rows == 1 && may_evict) && !is_last;
        if rows != 10 && !is_gone {
            problems.push(format!("batch {sequence} has {rows} rows of 10"));
        }
    }
    problems
}

fn set_aside(folder: &Path) -> bool {
    let mut names = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.file_name());
    names.any(|name| name.to_string_lossy().contains(".corrupt-"))
}

/// Flips bits in a file, as a failing disk does. The store goes on with that file or another.
fn flips(seeds: u64) -> Row {
    let mut row = Row { is_host_unchanged: true, ..Row::default() };
    let mut aside = 0;
    for seed in 1..=seeds {
        let mut world = World::new();
        opened(&mut world);
        let path = world.path();
        tool(&path).query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let length = std::fs::metadata(&path).unwrap().len();
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        for _ in 0..=seed % 16 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mut byte = [0];
            let at = (state >> 20) % length;
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ 1 << (state >> 12 & 7)], at).unwrap();
        }
        world.is_damaged = true;
        let sent = (0..TRIES_MAX).any(|_| world.send());
        row.expect(sent, || format!("seed {seed}: the next batch did not arrive: {}", world.why));
        while world
            .store
            .as_mut()
            .is_some_and(|store| store.retain(T0 + 7 * HOUR).is_ok_and(|step| step.more))
        {}
        let sent = (0..TRIES_MAX).any(|_| world.send());
        row.expect(sent, || format!("seed {seed}: the batch after expiry did not arrive"));
        row.emitted = Calls { ok: row.emitted.ok + 45, failed: row.emitted.failed + 5 };
        aside += u64::from(set_aside(world.folder.path()));
        world.store = None;
        if let Ok(rows) = tool(&path).query_row("SELECT count(*) FROM calls", [], |row| row.get::<_, i64>(0))
        {
            row.stored.ok += rows.unsigned_abs();
        }
    }
    row.lost = vec![("with the file, or flipped", row.emitted.all().saturating_sub(row.stored.ok))];
    row.remark = format!("{aside} of {seeds} files were set aside");
    row
}
