//! Rows in which the program does to its own process what the recorder has to bear: it closes descriptors, forks past the
//! C library, or leaves no room.

use crate::oracle;
use crate::play::{Play, bounded};
use crate::row::{Calls, Case, Length, Need, Row};

const fn case(fault: &'static str, how: &'static str, length: Length, run: fn() -> Row) -> Case {
    Case { fault, how, need: Need::Nothing, length, run }
}

pub(crate) const CASES: &[Case] = &[
    case("descriptors closed and replaced", "close, dup2; own files opened; 6 seeds", Length::Short, || {
        descriptors(0..6)
    }),
    case("descriptors closed and replaced", "close, dup2; own files opened; 200 seeds", Length::Long, || {
        descriptors(0..200)
    }),
];

/// No byte of the recorder's gets into a file of the program's, and no call is lost.
fn descriptors(seeds: std::ops::Range<u64>) -> Row {
    const CALLS: u64 = 250;
    let mut row = Row { is_host_unchanged: true, ..Row::default() };
    let mut opened_again = 0;
    for seed in seeds {
        let play = Play::new();
        let with = bounded(play.command("lose-descriptors", seed));
        let said = String::from_utf8_lossy(&with.stdout);
        for file in 0..4 {
            let _ = std::fs::remove_file(play.place.home().join(format!("own-{file}")));
        }
        let mut command = play.command("lose-descriptors", seed);
        let without = bounded(command.env("MONITOR", "off"));
        let is_same = with.status == without.status && with.stdout == without.stdout;
        row.is_host_unchanged &= is_same;
        row.expect(is_same && said.matches("as written").count() == 4, || format!("seed {seed}: {with:?}"));
        opened_again += String::from_utf8_lossy(&with.stderr).matches("opened again").count();
        let found = oracle::find(&play.place, (0, i64::MAX));
        row.emitted.ok += CALLS;
        row.stored = Calls { ok: row.stored.ok + found.stored.ok, failed: 0 };
        row.expect(found.stored.ok == CALLS && found.twice == 0 && found.damaged.is_empty(), || {
            format!("seed {seed}: {found:?}")
        });
    }
    row.expect(opened_again > 0, || "no descriptor of the recorder's was closed".to_owned());
    row.remark = format!("the store was opened again {opened_again} times");
    row
}
