//! `monitor tail`: prints new calls as they are committed, until Ctrl-C or until nobody reads the output any more.

use anyhow::Result;

use super::follow::{self, Feed};
use super::{calls, explain_unknown};
use crate::arguments::{Common, Tail};
use crate::format::Format;
use crate::report::Column;
use crate::store::Store;
use crate::{pattern, units};

pub(super) fn run(common: &Common, arguments: &Tail) -> Result<()> {
    follow::run(common, &NewCalls { common, arguments })
}

/// A feed of the new calls that the options select.
struct NewCalls<'a> {
    common: &'a Common,
    arguments: &'a Tail,
}

impl Feed for NewCalls<'_> {
    fn title(&self) -> &'static str {
        "new calls"
    }

    fn columns(&self) -> Vec<Column> {
        calls::list_columns()
    }

    fn explain(&self, store: &Store) -> Result<Option<String>> {
        // The function may be called later, so an unknown name is no error here.
        let pattern = self.arguments.pattern.as_ref();
        Ok(pattern.map(|pattern| explain_unknown(store, pattern)).transpose()?.flatten())
    }

    fn newest_id(&self, store: &Store) -> Result<i64> {
        read_id(store, "SELECT COALESCE(MAX(id), 0) FROM call", [])
    }

    fn find_start(&self, store: &Store, newest: i64) -> Result<i64> {
        let start = match self.common.since {
            Some(_) => find_id_before_time(store, units::start_of_span(self.common.since))?,
            None => newest,
        };
        match self.arguments.last {
            0 => Ok(start),
            _ => Ok(start.min(self.find_id_before_last(store)?)),
        }
    }

    fn print(&self, store: &Store, (last, newest): (i64, i64), format: &mut dyn Format) -> Result<()> {
        let sql = format!(
            "SELECT {} FROM calls WHERE call_id IN
               (SELECT c.id FROM call c WHERE c.id > :last AND c.id <= :newest AND {})
             ORDER BY call_id",
            calls::select_columns(store)?,
            build_filter(self.arguments)
        );
        let [whole, ending] = pattern::to_optional_globs(self.arguments.pattern.as_ref());
        let bound: [(&str, &dyn rusqlite::ToSql); 4] =
            [(":last", &last), (":newest", &newest), (":whole", &whole), (":ending", &ending)];
        store.stream_rows(&sql, &bound, |row| format.write_row(&calls::read_row(row)?))
    }
}

impl NewCalls<'_> {
    /// Returns the id before the last selected calls that `--last` asks to begin with.
    fn find_id_before_last(&self, store: &Store) -> Result<i64> {
        let sql = format!(
            "SELECT COALESCE(MIN(id) - 1, 0) FROM (SELECT c.id FROM call c WHERE {} ORDER BY c.id DESC LIMIT :count)",
            build_filter(self.arguments)
        );
        let [whole, ending] = pattern::to_optional_globs(self.arguments.pattern.as_ref());
        let bound: [(&str, &dyn rusqlite::ToSql); 3] =
            [(":whole", &whole), (":ending", &ending), (":count", &self.arguments.last)];
        read_id(store, &sql, &bound)
    }
}

/// Returns the id before the first call that started at this time or later.
fn find_id_before_time(store: &Store, since: i64) -> Result<i64> {
    read_id(store, &format!("SELECT {} - 1", calls::FIRST_SINCE), &[(":since", &since)])
}

fn read_id(store: &Store, sql: &str, parameters: impl rusqlite::Params) -> Result<i64> {
    Ok(store.read_integer(sql, parameters)?.unwrap_or(0))
}

/// Builds the condition on `call c`. It always names `:whole` and `:ending`, so both can always be bound.
fn build_filter(arguments: &Tail) -> String {
    let failed = if arguments.failed { "c.kind > 3" } else { "TRUE" };
    format!(
        "{failed} AND (:whole IS NULL OR c.function_id IN
           (SELECT id FROM function WHERE name GLOB :whole OR name GLOB :ending))"
    )
}
