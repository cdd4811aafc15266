//! Samples of the process that raised an alert.

use anyhow::Result;
use monitor_runtime::store::schema::WINDOW_NS;

use super::{Span, length, place};
use crate::model::period::Period;
use crate::model::resources::{self, Figure};
use crate::store::Store;

/// Reads the resident memory of a process at the end of each window, in bytes. A sample holds until the next.
pub(super) fn read_memory(store: &Store, process_id: i64, span: Span) -> Result<Vec<Option<f64>>> {
    let period = Period { from_ns: span.0 * WINDOW_NS, until_ns: (span.1 + 1) * WINDOW_NS - 1 };
    let mut values = vec![None; length(span)];
    for point in resources::read_points(store, period)? {
        let at = place(point.at_ns.div_euclid(WINDOW_NS), span).filter(|_| point.process_id == process_id);
        if let Some(at) = at {
            values[at] = Some(point.figure(Figure::Memory));
        }
    }
    let last = values.iter().rposition(Option::is_some).unwrap_or(0);
    let mut held = None;
    for value in values.iter_mut().take(last + 1) {
        held = value.or(held);
        *value = held;
    }
    Ok(values)
}
