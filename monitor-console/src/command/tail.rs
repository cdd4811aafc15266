//! `monitor tail`: prints new calls as they are committed, until Ctrl-C or until nobody reads the output any more.

use anyhow::Result;

use super::follow::{self, Feed};
use super::{calls, explain_unknown};
use crate::arguments::{Common, Tail};
use crate::format::Format;
use crate::model::new_calls::{self, Filter};
use crate::model::ranges;
use crate::report::Column;
use crate::store::Store;
use crate::units;

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
        ranges::find_newest_id(store)
    }

    fn find_start(&self, store: &Store, newest: i64) -> Result<i64> {
        let since = self.common.since.map(|since| units::start_of_span(Some(since)));
        let start = since.map(|since_ns| new_calls::find_id_before_time(store, since_ns)).transpose()?;
        match self.arguments.last {
            None => Ok(start.unwrap_or(newest)),
            Some(0) => Ok(newest),
            Some(last) => {
                Ok(new_calls::find_id_before_last(store, self.filter(), last)?.max(start.unwrap_or(0)))
            }
        }
    }

    fn print(&self, store: &Store, ids: (i64, i64), format: &mut dyn Format) -> Result<()> {
        new_calls::visit(store, self.filter(), ids, |cells| format.write_row(&calls::add_table_cells(cells)))
    }
}

impl NewCalls<'_> {
    fn filter(&self) -> Filter<'_> {
        Filter { pattern: self.arguments.pattern.as_ref(), is_failed: self.arguments.failed }
    }
}
