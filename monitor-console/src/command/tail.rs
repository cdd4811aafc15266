//! `monitor tail`: new calls as they are committed, until Ctrl-C or until the reader goes away.
//!
//! Ids rise in the order of commits and are never given out twice, so following means asking for
//! ids above the last one seen. The file may be replaced while we look: another inode at the path, or
//! ids that begin anew, mean another store, which is then followed from its first call.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use rusqlite::types::Value;

use super::{calls, heading, remark};
use crate::arguments::{Common, Tail};
use crate::format::{self, Format, Pace};
use crate::store::Store;
use crate::{find, terminal, units};

/// Pause between two looks. The recorder commits about ten times a second.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) fn run(common: &Common, arguments: &Tail) -> Result<()> {
    terminal::end_on_interrupt()?;
    let path = find::store(common.db())?;
    let mut following = Following::begin(Store::open(&path)?, common, arguments)?;
    heading(common, &following.store, "new calls as they come, Ctrl-C ends");
    if let Some(pattern) = &arguments.pattern {
        calls::warn_of_unknown(common, &following.store, pattern)?;
    }
    let mut format = format::stdout(common.format, Pace::Following);
    format.columns(&calls::columns())?;
    loop {
        if !following.is_missing {
            following.show_new(arguments, format.as_mut()).or_else(|error| following.lose(common, error))?;
            format.flush()?;
        }
        if terminal::is_closed_within(PAUSE) {
            return Ok(());
        }
        following.follow_path(common, &path);
    }
}

struct Following {
    store: Store,
    identity: Option<(u64, u64)>,
    /// The last id looked at.
    last: i64,
    is_missing: bool,
}

impl Following {
    fn begin(store: Store, common: &Common, arguments: &Tail) -> Result<Self> {
        let identity = identity(store.path());
        let mut following = Self { store, identity, last: 0, is_missing: false };
        let newest = following.newest()?;
        following.last = match common.since {
            Some(span) => following.last_before(units::before(units::now_ns(), span))?,
            None => newest,
        };
        if arguments.last > 0 {
            following.last = following.last.min(following.before_last(arguments)?);
        }
        Ok(following)
    }

    fn newest(&self) -> Result<i64> {
        self.number("SELECT COALESCE(MAX(id), 0) FROM call", [])
    }

    /// The id before the first call since this moment.
    fn last_before(&self, since: i64) -> Result<i64> {
        self.number(&format!("SELECT {} - 1", calls::FIRST_SINCE), &[(":since", &since)])
    }

    /// The id before the last few calls that are of interest.
    fn before_last(&self, arguments: &Tail) -> Result<i64> {
        let sql = format!(
            "SELECT COALESCE(MIN(id) - 1, 0) FROM (SELECT c.id FROM call c WHERE {} ORDER BY c.id DESC LIMIT :count)",
            filter(arguments)
        );
        let [whole, ending] = globs(arguments);
        let bound: [(&str, &dyn rusqlite::ToSql); 3] =
            [(":whole", &whole), (":ending", &ending), (":count", &arguments.last)];
        self.number(&sql, &bound)
    }

    fn number(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<i64> {
        match self.store.first(sql, parameters)?.and_then(|cells| cells.into_iter().next()) {
            Some(cell) => match cell.value {
                Value::Integer(number) => Ok(number),
                _ => Ok(0),
            },
            None => Ok(0),
        }
    }

    fn show_new(&mut self, arguments: &Tail, format: &mut dyn Format) -> Result<()> {
        let newest = self.newest()?;
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
            calls::COLUMNS.join(", "),
            filter(arguments)
        );
        let [whole, ending] = globs(arguments);
        let bound: [(&str, &dyn rusqlite::ToSql); 4] =
            [(":last", &self.last), (":newest", &newest), (":whole", &whole), (":ending", &ending)];
        self.store.rows(&sql, &bound, |row| format.row(&calls::row(row)?))?;
        self.last = newest;
        Ok(())
    }

    /// Takes a file that went bad under our eyes for one about to be replaced; any other error ends.
    fn lose(&mut self, common: &Common, error: anyhow::Error) -> Result<()> {
        if !error.chain().any(<dyn std::error::Error>::is::<rusqlite::Error>) {
            return Err(error);
        }
        self.is_missing = true;
        remark(common, &format!("waiting for the store: {error:#}"));
        Ok(())
    }

    /// Opens what lies at the path now, where that is another file; waits where there is none.
    fn follow_path(&mut self, common: &Common, path: &Path) {
        let found = identity(path);
        if found == self.identity && !self.is_missing {
            return;
        }
        match Store::open(path) {
            Ok(store) => {
                self.identity = found;
                self.store = store;
                self.last = 0;
                self.is_missing = false;
                remark(common, "the store was replaced: following the new one");
            }
            Err(error) if !self.is_missing => {
                self.is_missing = true;
                remark(common, &format!("waiting for the store: {error:#}"));
            }
            Err(_) => {}
        }
    }
}

/// What makes a file this one and no other.
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|data| (data.dev(), data.ino()))
}

/// Conditions on `call c`; every one of them names its parameters, used or not.
fn filter(arguments: &Tail) -> String {
    let failed = if arguments.failed { "c.kind > 3" } else { "TRUE" };
    format!(
        "{failed} AND (:whole IS NULL OR c.function_id IN
           (SELECT id FROM function WHERE name GLOB :whole OR name GLOB :ending))"
    )
}

fn globs(arguments: &Tail) -> [Option<String>; 2] {
    arguments.pattern.as_ref().map(|pattern| pattern.globs().map(Some)).unwrap_or_default()
}
