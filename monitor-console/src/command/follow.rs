//! Follows a store: prints what is new in it, until Ctrl-C or until nobody reads the output any more.
//!
//! Ids ascend in the order of commits and are never reused, so new rows have ids above the last one printed. The file
//! may be replaced meanwhile: another inode at the path, or ids that start again, mean another store, which is then
//! followed from its first row. The file does not know which rows are followed: a [`Feed`] does.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use monitor_runtime::platform::file_system::file_identity;

use super::{print_heading, print_note, recover_rings};
use crate::arguments::Common;
use crate::format::{self, Format, Pace};
use crate::report::Column;
use crate::store::Store;
use crate::{find, terminal};

/// The pause between two reads. The recorder commits about ten times a second.
const PAUSE: Duration = Duration::from_millis(200);
/// The number of pauses between two checks of which file programs use at the path.
const PAUSES_PER_LOOK: u64 = 10;
/// The number of pauses between two searches for ring files of processes that died: their last calls and the end of their
/// alerts are news too.
const PAUSES_PER_RECOVERY: u64 = 50;

/// The rows of a store that are followed.
pub(super) trait Feed {
    /// Describes the rows for the heading.
    fn title(&self) -> &'static str;

    /// Returns the columns of a row.
    fn columns(&self) -> Vec<Column>;

    /// Returns a note on what is followed, before the first row.
    fn explain(&self, store: &Store) -> Result<Option<String>>;

    /// Returns the id of the newest row; 0 if there is none.
    fn newest_id(&self, store: &Store) -> Result<i64>;

    /// Returns the id after which the first printed rows begin.
    fn find_start(&self, store: &Store, newest: i64) -> Result<i64>;

    /// Prints the rows with ids above the first of `ids`, up to the second.
    fn print(&self, store: &Store, ids: (i64, i64), format: &mut dyn Format) -> Result<()>;
}

pub(super) fn run(common: &Common, feed: &dyn Feed) -> Result<()> {
    terminal::end_on_interrupt()?;
    let mut path = find::find_store(common.store_path())?;
    recover_rings(common, &path);
    let mut follower = Follower::start(Store::open(&path)?, feed)?;
    print_heading(common, &follower.store, &format!("{}; Ctrl-C ends", feed.title()));
    if let Some(explanation) = feed.explain(&follower.store)? {
        print_note(common, &explanation);
    }
    let mut format = format::create_for_stdout(common.style(), Pace::Following);
    format.write_columns(&feed.columns())?;
    let mut pauses: u64 = 0;
    loop {
        if !follower.is_missing {
            follower
                .print_new(feed, format.as_mut())
                .or_else(|error| follower.await_replacement(common, error))?;
            format.flush()?;
        }
        if terminal::is_closed_within(PAUSE) {
            return Ok(());
        }
        // A program that finds its file altered continues in a file beside it, which is then followed.
        pauses += 1;
        if pauses.is_multiple_of(PAUSES_PER_LOOK) {
            path = find::follow_programs(&path);
        }
        if pauses.is_multiple_of(PAUSES_PER_RECOVERY) {
            recover_rings(common, &path);
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
    fn start(store: Store, feed: &dyn Feed) -> Result<Self> {
        let identity = read_identity(store.path());
        let newest = feed.newest_id(&store)?;
        let last = feed.find_start(&store, newest)?;
        Ok(Self { store, identity, last, is_missing: false })
    }

    /// Prints the rows above the last id.
    fn print_new(&mut self, feed: &dyn Feed, format: &mut dyn Format) -> Result<()> {
        let newest = feed.newest_id(&self.store)?;
        if newest == 0 || newest == self.last {
            return Ok(());
        }
        if newest < self.last {
            self.last = 0;
        }
        feed.print(&self.store, (self.last, newest), format)?;
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

    /// Opens the file at the path if another file has taken its place; keeps waiting if there is none.
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
    file_identity(&fs::canonicalize(path).ok()?)
}
