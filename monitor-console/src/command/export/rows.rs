//! The rows of a view as CSV, JSON lines or Parquet, written as they are read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::{Context, Result};
use rusqlite::params_from_iter;
use rusqlite::types::Value;

use super::show_writing;
use crate::arguments::{Common, OutputOptions, ViewExport};
use crate::format::Format;
use crate::model::period::Period;
use crate::model::views;
use crate::progress::Progress;
use crate::report::{self, Column};
use crate::stores::{Stores, store_column};
use crate::units;

/// The rows of a view that are written.
#[derive(Debug, Clone)]
pub(super) struct Rows<'a> {
    pub(super) view: &'a str,
    pub(super) period: Period,
    /// An expression in SQL, which is true for the rows; `None` for all.
    pub(super) condition: Option<String>,
}

/// The number of rows that were written so far. A terminal on standard error shows the number while this value lives.
pub(super) struct Written {
    rows: Arc<AtomicU64>,
    _progress: Option<Progress>,
}

impl Written {
    pub(super) fn show(options: &OutputOptions) -> Self {
        let rows = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&rows);
        let progress = show_writing(options, move || match counted.load(Relaxed) {
            0 => "reading rows".to_owned(),
            rows => {
                let rows = units::format_exact(i64::try_from(rows).unwrap_or(i64::MAX));
                format!("wrote {}", units::format_quantity(rows, "row", "rows"))
            }
        });
        Self { rows, _progress: progress }
    }
}

impl<'a> Rows<'a> {
    pub(super) fn from_options(common: &Common, export: &'a ViewExport) -> Self {
        Self { view: &export.view, period: export.span.period(common), condition: export.condition.clone() }
    }

    /// Writes the rows of all stores, one store after the other.
    pub(super) fn write(&self, stores: &Stores, written: &Written, format: &mut dyn Format) -> Result<()> {
        let mut selections = Vec::new();
        let mut names: Vec<String> = Vec::new();
        for (store, label) in stores.iter() {
            let selection = views::select(store, self.view, self.period, self.condition.as_deref())?;
            names.extend(
                selection.columns.iter().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>(),
            );
            selections.push((store, label, selection));
        }
        let mut columns: Vec<_> = names.iter().map(|name| Column::data(name)).collect();
        if stores.are_several() {
            columns.push(store_column());
        }
        format.write_columns(&columns)?;
        for (store, label, selection) in selections {
            // A store of another version may have other columns.
            let places: Vec<Option<usize>> =
                names.iter().map(|name| selection.columns.iter().position(|column| column == name)).collect();
            store
                .stream_rows(&selection.sql, params_from_iter(selection.parameters), |row| {
                    let cells = report::read_cells(row, selection.columns.len())?;
                    let cell =
                        |place: &Option<usize>| place.map_or(Value::Null.into(), |at| cells[at].clone());
                    let mut cells: Vec<_> = places.iter().map(cell).collect();
                    if stores.are_several() {
                        cells.push(label.to_owned().into());
                    }
                    written.rows.fetch_add(1, Relaxed);
                    format.write_row(&cells)
                })
                .with_context(|| self.describe_failure())?;
        }
        format.finish()
    }

    /// Returns the sentence of an error that ended the reading.
    pub(super) fn describe_failure(&self) -> String {
        match &self.condition {
            Some(condition) => format!("cannot read `{}` where `{condition}`", self.view),
            None => format!("cannot read `{}`", self.view),
        }
    }
}
