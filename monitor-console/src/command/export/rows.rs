//! The rows of a view as CSV, JSON lines or Parquet, written as they are read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::{Context, Result};
use rusqlite::params_from_iter;
use rusqlite::types::Value;

use crate::arguments::{Common, ViewExport};
use crate::format::Format;
use crate::model::views;
use crate::progress::Progress;
use crate::report::{self, Column};
use crate::stores::{Stores, store_column};
use crate::units;

pub(super) fn write(
    common: &Common,
    stores: &Stores,
    export: &ViewExport,
    format: &mut dyn Format,
) -> Result<()> {
    let period = export.span.period(common);
    let mut selections = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for (store, label) in stores.iter() {
        let selection = views::select(store, &export.view, period, export.condition.as_deref())?;
        names.extend(
            selection.columns.iter().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>(),
        );
        selections.push((store, label, selection));
    }
    let mut columns: Vec<_> = names.iter().map(|name| Column::data(name)).collect();
    if stores.are_several() {
        columns.push(store_column());
    }
    let written = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&written);
    let _progress = Progress::show(move || {
        let rows = i64::try_from(counted.load(Relaxed)).unwrap_or(i64::MAX);
        format!("wrote {}", units::format_quantity(units::format_exact(rows), "row", "rows"))
    });
    format.write_columns(&columns)?;
    for (store, label, selection) in selections {
        // A store of another version may have other columns.
        let places: Vec<Option<usize>> =
            names.iter().map(|name| selection.columns.iter().position(|column| column == name)).collect();
        store
            .read_rows(&selection.sql, params_from_iter(selection.parameters), |row| {
                let cells = report::read_cells(row, selection.columns.len())?;
                let cell = |place: &Option<usize>| place.map_or(Value::Null.into(), |at| cells[at].clone());
                let mut cells: Vec<_> = places.iter().map(cell).collect();
                if stores.are_several() {
                    cells.push(label.to_owned().into());
                }
                written.fetch_add(1, Relaxed);
                format.write_row(&cells)
            })
            .with_context(|| match &export.condition {
                Some(condition) => format!("cannot read `{}` where `{condition}`", export.view),
                None => format!("cannot read `{}`", export.view),
            })?;
    }
    format.finish()
}
