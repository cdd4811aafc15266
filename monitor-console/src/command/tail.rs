//! `monitor tail`: prints new calls as they are committed, until Ctrl-C or until the reader goes away.
//!
//! Ids ascend in the order of commits and are never reused, so new calls are those with ids above the last
//! one printed. The file may be replaced meanwhile: another inode at the path, or ids that start again, mean
//! another store, which is then followed from its first call.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::{calls, explain_unknown, print_heading, print_note};
use crate::arguments::{Common, Tail};
use crate::format::{self, Format, Pace};
use crate::pattern;
use crate::store::Store;
use crate::{find, terminal, units};

/// The pause between two reads. The recorder commits about ten times a second.
const PAUSE: Duration = Duration::from_millis(200);
/// The number of pauses after which it is looked up which file programs use at the path.
const PAUSES_PER_LOOK: u64 = 10;

pub(super) fn run(common: &Common, arguments: &Tail) -> Result<()> {
    terminal::end_on_interrupt()?;
    let mut path = find::find_store(common.store_path())?;
    let mut follower = Follower::start(Store::open(&path)?, common, arguments)?;
    print_heading(common, &follower.store, "new calls; Ctrl-C ends");
    // The function may be called later, so an unknown name is no error here.
    if let Some(pattern) = &arguments.pattern
        && let Some(explanation) = explain_unknown(&follower.store, pattern)?
    {
        print_note(common, &explanation);
    }
    let mut format = format::create_for_stdout(common.style(), Pace::Following);
    format.write_columns(&calls::list_columns())?;
    let mut pauses: u64 = 0;
    loop {
        if !follower.is_missing {
            follower
                .print_new(arguments, format.as_mut())
                .or_else(|error| follower.await_replacement(common, error))?;
            format.flush()?;
        }
        if terminal::is_closed_within(PAUSE) {
            return Ok(());
        }
        // A program that finds its file altered goes on in a file beside it.
        pauses += 1;
        if pauses.is_multiple_of(PAUSES_PER_LOOK) {
            path = find::follow_programs(&path);
        }
        follower.reopen_if_replaced(common, &path);
    }
}

/// The store that is followed, and the position in it.
struct Follower {
    store: Store,
    /// The device and inode of the file.
    identity: Option<(u64, u64)>,
    /// The last id read.
    last: i64,
    /// True while no readable store lies at the path.
    is_missing: bool,
}

impl Follower {
    fn start(store: Store, common: &Common, arguments: &Tail) -> Result<Self> {
        let identity = read_identity(store.path());
        let mut follower = Self { store, identity, last: 0, is_missing: false };
        let newest = follower.read_newest_id()?;
        follower.last = match common.since {
            Some(_) => follower.find_id_before_time(units::start_of_span(common.since))?,
            None => newest,
        };
        if arguments.last > 0 {
            follower.last = follower.last.min(follower.find_id_before_last(arguments)?);
        }
        Ok(follower)
    }

    fn read_newest_id(&self) -> Result<i64> {
        self.read_id("SELECT COALESCE(MAX(id), 0) FROM call", [])
    }

    /// Returns the id before the first call that started at this time or later.
    fn find_id_before_time(&self, since: i64) -> Result<i64> {
        self.read_id(&format!("SELECT {} - 1", calls::FIRST_SINCE), &[(":since", &since)])
    }

    /// Returns the id before the last selected calls that `--last` asks to begin with.
    fn find_id_before_last(&self, arguments: &Tail) -> Result<i64> {
        let sql = format!(
            "SELECT COALESCE(MIN(id) - 1, 0) FROM (SELECT c.id FROM call c WHERE {} ORDER BY c.id DESC LIMIT :count)",
            build_filter(arguments)
        );
        let [whole, ending] = pattern::to_optional_globs(arguments.pattern.as_ref());
        let bound: [(&str, &dyn rusqlite::ToSql); 3] =
            [(":whole", &whole), (":ending", &ending), (":count", &arguments.last)];
        self.read_id(&sql, &bound)
    }

    fn read_id(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<i64> {
        Ok(self.store.read_integer(sql, parameters)?.unwrap_or(0))
    }

    /// Prints the calls above the last id.
    fn print_new(&mut self, arguments: &Tail, format: &mut dyn Format) -> Result<()> {
        let newest = self.read_newest_id()?;
        if newest == 0 || newest == self.last {
            return Ok(());
        }
        if newest < self.last {
            self.last = 0;
        }
        let sql = format!(
            "SELECT {} FROM calls WHERE call_id IN
               (SELECT c.id FROM call c WHERE c.id > :last AND c.id <= :newest AND {})
             ORDER BY call_id",
            calls::select_columns(&self.store)?,
            build_filter(arguments)
        );
        let [whole, ending] = pattern::to_optional_globs(arguments.pattern.as_ref());
        let bound: [(&str, &dyn rusqlite::ToSql); 4] =
            [(":last", &self.last), (":newest", &newest), (":whole", &whole), (":ending", &ending)];
        self.store.read_rows(&sql, &bound, |row| format.write_row(&calls::read_row(row)?))?;
        self.last = newest;
        Ok(())
    }

    /// Takes an error of SQLite for a file that is about to be replaced, and waits; returns any other error.
    fn await_replacement(&mut self, common: &Common, error: anyhow::Error) -> Result<()> {
        if !error.chain().any(<dyn std::error::Error>::is::<rusqlite::Error>) {
            return Err(error);
        }
        self.is_missing = true;
        print_note(common, &format!("waiting for the store: {error:#}"));
        Ok(())
    }

    /// Opens the file at the path if it is another one than before; keeps waiting if there is none.
    fn reopen_if_replaced(&mut self, common: &Common, path: &Path) {
        let found = read_identity(path);
        if found == self.identity && !self.is_missing {
            return;
        }
        match Store::open(path) {
            Ok(store) => {
                self.identity = found;
                self.store = store;
                self.last = 0;
                self.is_missing = false;
                print_note(common, "the store was replaced: following the new one");
            }
            Err(error) if !self.is_missing => {
                self.is_missing = true;
                print_note(common, &format!("waiting for the store: {error:#}"));
            }
            Err(_) => {}
        }
    }
}

/// Returns the device and inode of a file, which no other file has.
fn read_identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|data| (data.dev(), data.ino()))
}

/// Builds the condition on `call c`. It always names `:whole` and `:ending`, so both can always be bound.
fn build_filter(arguments: &Tail) -> String {
    let failed = if arguments.failed { "c.kind > 3" } else { "TRUE" };
    format!(
        "{failed} AND (:whole IS NULL OR c.function_id IN
           (SELECT id FROM function WHERE name GLOB :whole OR name GLOB :ending))"
    )
}
