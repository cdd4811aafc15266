//! The ids that series of metrics of this process have in the open file.

use std::collections::HashMap;
use std::sync::Arc;

use crate::batch::MetricRow;
use crate::growth::MakeRoom as _;
use crate::limits::METRIC_SERIES_MAX;

/// The ids of series in the open file, by their ids in the process. Each id is stored with the series as it was last
/// entered, because it is not valid once unit or description have changed.
#[derive(Debug, Default)]
pub(crate) struct MetricIds(HashMap<u32, (i64, Arc<MetricRow>)>);

impl MetricIds {
    /// Forgets all ids.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns the id of a series; `None` if it is not known, or was entered with another unit or description.
    pub(super) fn find(&self, metric: &Arc<MetricRow>) -> Option<i64> {
        self.0.get(&metric.id).filter(|(_, known)| known == metric).map(|(id, _)| *id)
    }

    /// Notes the id of a series.
    pub(super) fn set(&mut self, metric: &Arc<MetricRow>, id: i64) {
        if self.0.len() >= 2 * METRIC_SERIES_MAX {
            // Series come and go. Those that are still in use are found in the file again.
            self.0.clear();
        }
        // A series for which there is no memory is found in the file again.
        if self.0.make_room(1) {
            self.0.insert(metric.id, (id, Arc::clone(metric)));
        }
    }
}
