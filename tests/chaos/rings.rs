//! Rows in which the folder in memory for ring files is full, small, missing, or holds files that others have left.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use crate::disk::no_fault;
use crate::oracle;
use crate::play::{MEMORY_MIB, Play, bounded};
use crate::row::{Case, Length, Need, Row};

const fn case(fault: &'static str, how: &'static str, need: Need, run: fn() -> Row) -> Case {
    Case { fault, how, need, length: Length::Short, run }
}

pub(crate) const CASES: &[Case] = &[
    case("folder for rings full", "tmpfs of 512 KiB", Need::Root, || on_tmpfs(512 << 10)),
    case("folder for rings small", "tmpfs of 4 MiB", Need::Root, || on_tmpfs(4 << 20)),
    case("folder for rings of a container", "tmpfs of 64 MiB, as much memory allowed", Need::Root, || {
        on_tmpfs_with(64 << 20, "64MiB")
    }),
    case("no folder for rings", "MONITOR_RINGS=/nowhere", Need::Nothing, || {
        Play::new().with_variable("MONITOR_RINGS", "/nowhere").run(no_fault, no_fault)
    }),
    case("ring file removed while open", "rm", Need::Nothing, || {
        Play::new().run(|place, _| remove_all(place.rings().unwrap()), no_fault)
    }),
    case("hostile ring files", "every file of tests/data/rings", Need::Nothing, hostile),
];

/// A sparse file there would end the program once memory is short.
fn on_tmpfs(bytes: u64) -> Row {
    on_tmpfs_with(bytes, &format!("{MEMORY_MIB}MiB"))
}

fn on_tmpfs_with(bytes: u64, memory: &str) -> Row {
    let play = Play::new();
    let folder = play.place.mount_rings(bytes);
    let play = play
        .with_variable("MONITOR_RINGS", folder.to_str().unwrap())
        .with_variable("MONITOR_MAX_MEMORY", memory);
    play.run(no_fault, no_fault)
}

fn remove_all(folder: &std::path::Path) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        std::fs::remove_file(entry.path()).unwrap();
    }
}

/// The place of the store's path in a ring file, in bytes: a word with its length, then its bytes.
const STORE_AT: usize = 144 * 8;

/// Puts each hostile file into the folder as if a process of this store had left it.
fn hostile() -> Row {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/data/rings");
    let mut row = Row { is_host_unchanged: true, ..Row::default() };
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let play = Play::new();
        let mut bytes = std::fs::read(entry.path()).unwrap();
        let db = play.place.db();
        let path = db.as_os_str().as_encoded_bytes();
        if let Some(place) = bytes.get_mut(STORE_AT..STORE_AT + 8 + path.len()) {
            place[..8].copy_from_slice(&(path.len() as u64).to_le_bytes());
            place[8..].copy_from_slice(path);
        }
        let rings = play.place.rings().unwrap();
        let user = std::fs::metadata(rings).unwrap().uid();
        let left = rings.join(format!("monitored-{user}-{files:016x}-17-1-hostile"));
        std::fs::write(&left, bytes).unwrap();
        std::fs::set_permissions(&left, std::fs::Permissions::from_mode(0o600)).unwrap();
        let output = bounded(play.command("flush", 10));
        let name = entry.file_name();
        let same = output.status.success() && output.stdout == b"55\nOk(())\n" && output.stderr.is_empty();
        row.is_host_unchanged &= same;
        row.expect(same, || format!("{}: {output:?}", name.display()));
        // One more call follows the flush. The next start recovers it if the end had no time for it.
        assert!(play.output(play.command("return", 1)).status.success());
        let found = oracle::find(&play.place, (0, i64::MAX));
        let is_sound = found.damaged.is_empty() && found.twice == 0;
        row.expect(is_sound && found.victims == 12, || format!("{}: {found:?}", name.display()));
        row.emitted.ok += 10;
        row.stored.ok += found.victims.saturating_sub(2);
        // The views can still be read: no number in them is too large to be summed.
        row.expect(found.is_readable, || format!("{}: its views cannot be read", name.display()));
        files += 1;
    }
    row.expect(files >= 12, || format!("{files} files"));
    row.remark = format!("{files} files");
    row
}
