//! Damage to a file while the store has it open: removal, replacement, truncation, garbage, a full disk and locks.

use crate::rows::*;
use monitor_runtime::batch::Ending;
use monitor_runtime::store::{SqliteStore, Store as _, StoreError, StoreOptions, System};
use rusqlite::Connection;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

#[test]
fn a_file_removed_while_open_is_noticed_at_the_next_batch_and_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    store.write(&batch(1, vec![call(1)])).unwrap();
    std::fs::remove_file(&path).unwrap();
    store.write(&batch(2, vec![call(2), failure(3, "x")])).unwrap();
    assert!(store.notices()[0].detail.contains("removed or replaced"));
    let tool = tool(&path);
    assert_eq!(query_value::<i64>(&tool, "SELECT count(*) FROM calls"), 2);
    assert_eq!(
        query_value::<String>(&tool, "SELECT DISTINCT function || thread FROM calls"),
        "shop::f1worker-1"
    );
    assert_eq!(query_value::<String>(&tool, "PRAGMA quick_check"), "ok");
}

#[test]
fn a_file_moved_away_while_open_is_complete_and_a_new_one_is_begun() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let moved = folder.path().join("old.db");
    let mut store = open(&path, 1);
    store.write(&batch(1, vec![call(1)])).unwrap();
    std::fs::rename(&path, &moved).unwrap();
    store.write(&batch(2, vec![call(2)])).unwrap();
    store.write(&batch(3, vec![call(3)])).unwrap();
    store.close(T0, Ending::Exit).unwrap();
    assert_eq!((count(&moved, "calls"), count(&path, "calls")), (1, 2));
    for path in [&moved, &path] {
        assert_eq!(query_value::<String>(&tool(path), "PRAGMA quick_check"), "ok");
    }
}

#[test]
fn another_store_put_in_the_files_place_is_written_to_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("shop.db"), folder.path().join("other.db"));
    open(&other, 2).write(&batch(1, vec![call(1)])).unwrap();
    let mut store = open(&path, 1);
    store.write(&batch(1, vec![call(1)])).unwrap();
    std::fs::rename(&other, &path).unwrap();
    store.write(&batch(2, vec![call(2)])).unwrap();
    store.close(T0, Ending::Exit).unwrap();
    assert_eq!(count(&path, "calls"), 2);
    assert_eq!(query_value::<String>(&tool(&path), "PRAGMA integrity_check"), "ok");
}

#[test]
fn a_truncated_file_is_set_aside_and_the_batch_sent_again_arrives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    store.write(&batch(1, (1..=5000).map(call).collect())).unwrap();
    tool(&path).execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    store.write(&batch(2, vec![call(5001)])).unwrap();
    tool(&path).execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(8192).unwrap();
    let third = batch(3, vec![call(5002)]);
    let error = store.write(&third).unwrap_err();
    let StoreError::SetAside(aside) = error else { panic!("{error}") };
    assert!(aside.exists());
    assert_eq!(store.write(&third).unwrap().rows, 1);
    assert_eq!(count(&path, "calls"), 1);
    assert_eq!(store.notices().iter().filter(|notice| notice.kind == "quarantine").count(), 1);
}

#[test]
fn a_file_overwritten_with_zeros_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    store.write(&batch(1, (1..=5000).map(call).collect())).unwrap();
    tool(&path).execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let length = std::fs::metadata(&path).unwrap().len();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&vec![0; usize::try_from(length).unwrap()], 0).unwrap();
    let second = batch(2, vec![call(5001)]);
    let error = store.write(&second).unwrap_err();
    assert!(matches!(error, StoreError::SetAside(_)), "{error}");
    store.write(&second).unwrap();
    assert_eq!(count(&path, "calls"), 1);
}

#[test]
fn a_store_that_a_newer_program_migrates_while_open_is_left_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    store.write(&batch(1, vec![call(1)])).unwrap();
    tool(&path).execute_batch("PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    store.write(&batch(2, vec![call(2)])).unwrap();
    assert_eq!(store.path().unwrap().file_name().unwrap(), "shop.v5.db");
    assert_eq!((count(&path, "calls"), count(store.path().unwrap(), "calls")), (1, 1));
    assert!(store.notices()[0].detail.contains("newer"));
}

#[test]
fn a_migration_that_still_lies_in_the_log_is_noticed_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    store.write(&batch(1, vec![call(1)])).unwrap();
    let newer = tool(&path);
    newer.execute_batch("PRAGMA user_version = 99").unwrap();
    let second = batch(2, vec![call(2)]);
    // Without a log the file itself has changed, and the store notices that before it writes.
    if let Err(error) = store.write(&second) {
        assert!(matches!(error, StoreError::Transient(_)), "{error}");
        store.write(&second).unwrap();
    }
    assert_eq!(store.path().unwrap().file_name().unwrap(), "shop.v5.db");
    assert_eq!(query_value::<i64>(&newer, "SELECT count(*) FROM calls"), 1);
}

#[test]
fn pages_flipped_under_the_store_end_in_a_sound_store_whatever_the_seed() {
    for seed in 1_u64..=24 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.db");
        let mut store = open(&path, 1);
        store.write(&batch(1, (1..=3000).map(call).collect())).unwrap();
        tool(&path).execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        overwrite_words(&path, seed);
        let mut refused = 0;
        for sequence in 2..=4 {
            let next = batch(sequence, vec![call(3000 + u32::try_from(sequence).unwrap())]);
            while let Err(error) = store.write(&next) {
                refused += 1;
                assert!(refused < 5, "seed {seed}: {error}");
            }
            while store.retain(T0 + 7 * HOUR).is_ok_and(|step| step.more) {}
        }
        let set_aside = store.notices().iter().any(|notice| notice.kind == "quarantine");
        drop(store);
        if set_aside {
            assert_eq!(query_value::<String>(&tool(&path), "PRAGMA quick_check"), "ok", "seed {seed}");
        }
    }
}

/// Overwrites 64 words of the file, as a failing disk does.
fn overwrite_words(path: &Path, seed: u64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    let length = std::fs::metadata(path).unwrap().len();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for _ in 0..64 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        file.write_all_at(&state.to_le_bytes(), (state >> 20) % (length - 8)).unwrap();
    }
}

#[test]
fn a_full_store_evicts_the_oldest_and_takes_the_batch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let options = StoreOptions { max_disk_bytes: 2 << 20, ..StoreOptions::file(&path) };
    let mut store = SqliteStore::open(&options, process(1), T0).unwrap();
    let mut n = 0;
    for sequence in 1..=200 {
        let calls = (0..1000)
            .map(|_| {
                n += 1;
                call(n)
            })
            .collect();
        let written = store.write(&batch(sequence, calls)).unwrap();
        assert!(written.db_bytes + written.wal_bytes <= 2 << 20, "{written:?}");
    }
    let tool = tool(&path);
    assert_eq!(query_value::<i64>(&tool, "SELECT max(span_id) & 1048575 FROM calls"), i64::from(n));
    let left: i64 = query_value(&tool, "SELECT count(*) FROM calls");
    assert!((10_000..100_000).contains(&left), "{left}");
}

/// A function that is called too often leaves rows of hardly any but its failed calls. They make way for others like them,
/// and a store with a small bound keeps most of what it has room for.
#[test]
fn a_small_store_of_hardly_any_but_failed_calls_takes_every_batch_and_stays_full() {
    for one_ok_in in [3, 10, 40, 1000] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.db");
        let options = StoreOptions { max_disk_bytes: 1 << 20, ..StoreOptions::file(&path) };
        let mut store = SqliteStore::open(&options, process(1), T0).unwrap();
        let (mut n, mut most) = (0, 0);
        for sequence in 1..=200 {
            let calls = 100 + 37 * sequence % 700;
            let calls = (0..calls).map(|_| {
                n += 1;
                if n % one_ok_in == 0 { call(n) } else { failure(n, "the gate is closed") }
            });
            store.write(&batch(sequence, calls.collect())).unwrap();
            let left: i64 = count(&path, "calls");
            most = left.max(most);
            assert!(most < 4000 || left > most / 2, "{one_ok_in}: {left} of {most} after batch {sequence}");
        }
        assert!(most >= 2000, "{one_ok_in}: {most}");
    }
}

#[test]
fn a_disk_smaller_than_the_bound_is_not_filled_to_the_brim() {
    /// The free bytes of a disk of 3 MiB that holds only the store.
    fn free_bytes(folder: &Path) -> Option<u64> {
        let files = std::fs::read_dir(folder).ok()?;
        let used: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
        Some((3_u64 << 20).saturating_sub(used))
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let system = System { free_bytes, ..System::default() };
    let mut store =
        SqliteStore::open(&StoreOptions { system, ..StoreOptions::file(&path) }, process(1), T0).unwrap();
    for sequence in 1..=200 {
        store.write(&batch(sequence, (1..=1000).map(call).collect())).unwrap();
        assert!(free_bytes(folder.path()) > Some(0), "batch {sequence}");
    }
    let left = count(&path, "calls");
    assert!((20_000..150_000).contains(&left), "{left}");
}

#[test]
fn a_batch_larger_than_the_bound_is_refused_as_full_and_smaller_ones_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let options = StoreOptions { max_disk_bytes: 1 << 20, ..StoreOptions::file(&path) };
    let mut store = SqliteStore::open(&options, process(1), T0).unwrap();
    let error = store.write(&batch(1, (1..=100_000).map(call).collect())).unwrap_err();
    assert!(matches!(error, StoreError::Full(_)), "{error}");
    store.write(&batch(1, (1..=500).map(call).collect())).unwrap();
    assert_eq!(count(&path, "calls"), 500);
}

#[test]
fn a_lock_held_by_another_process_is_busy_and_the_same_batch_arrives_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    // With a write-ahead log and with a rollback journal, because the two wait for the lock in different ways.
    for (name, system) in [("log.db", System::default()), ("journal.db", network_disk())] {
        let path = folder.path().join(name);
        let options = StoreOptions { system, ..StoreOptions::file(&path) };
        let mut store = SqliteStore::open(&options, process(1), T0).unwrap();
        let other = tool(&path);
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let first = batch(1, vec![call(1)]);
        let error = store.write(&first).unwrap_err();
        assert!(matches!(error, StoreError::Busy(_)), "{error}");
        other.execute_batch("COMMIT").unwrap();
        store.write(&first).unwrap();
        assert_eq!(count(&path, "calls"), 1);
    }
}

#[test]
fn a_reader_with_a_snapshot_holds_the_log_but_not_beyond_its_bound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let options = StoreOptions { max_disk_bytes: 8 << 20, ..StoreOptions::file(&path) };
    let mut store = SqliteStore::open(&options, process(1), T0).unwrap();
    store.write(&batch(1, vec![call(1)])).unwrap();
    let reader = tool(&path);
    reader.execute_batch("BEGIN").unwrap();
    assert_eq!(query_value::<i64>(&reader, "SELECT count(*) FROM calls"), 1);
    let mut refused = None;
    for sequence in 2..=60 {
        match store.write(&batch(sequence, (1..=2000).map(call).collect())) {
            Ok(written) => assert!(written.wal_bytes <= 1 << 20, "{written:?}"),
            Err(error) => {
                refused = Some((sequence, error));
                break;
            }
        }
    }
    let (sequence, error) = refused.expect("the log cannot take 60 batches");
    assert!(matches!(error, StoreError::Busy(_)), "{error}");
    reader.execute_batch("COMMIT").unwrap();
    store.write(&batch(sequence, vec![call(9)])).unwrap();
}

#[test]
fn rates_set_in_a_lost_file_are_in_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    store.set_rate("shop::*", Some(0.25), "cli", T0).unwrap();
    assert_eq!(store.rates().unwrap().unwrap().len(), 1);
    std::fs::remove_file(&path).unwrap();
    store.write(&batch(1, vec![call(1)])).unwrap();
    assert_eq!(
        query_column::<String>(&tool(&path), "SELECT pattern || rate || set_by FROM sampling"),
        ["shop::*0.25cli"]
    );
    assert_eq!(store.rates().unwrap(), None, "the program sees no change");
}

#[test]
fn a_process_that_another_one_took_for_long_gone_enters_itself_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut store = open(&path, 1);
    store.write(&batch(1, vec![call(1)])).unwrap();
    let tool: Connection = tool(&path);
    tool.execute_batch("UPDATE process SET ending = 'crash', ended_ns = 5").unwrap();
    store.write(&batch(2, vec![call(2)])).unwrap();
    assert_eq!(
        query_value::<String>(&tool, "SELECT ending FROM processes WHERE ended_ns IS NULL"),
        "running"
    );
    tool.execute_batch("DELETE FROM process; DELETE FROM thread; DELETE FROM function; DELETE FROM call")
        .unwrap();
    store.write(&batch(3, vec![call(3)])).unwrap();
    assert_eq!(
        query_value::<String>(&tool, "SELECT service || function || thread FROM calls"),
        "shopshop::f1worker-1"
    );
}
