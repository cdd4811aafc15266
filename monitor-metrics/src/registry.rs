//! All series of the process.
//!
//! Takes keys of the facade; gives instruments, the same one for the same series, and their changes to the recorder, which
//! asks once in a window of 10 s. The number of series and their memory are bounded, and series that stay idle go.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use metrics::{Key, Metadata};
use monitor_runtime::bridge::{self, MetricKind, MetricRow, MetricStats, Sink};

use crate::identity::{Identity, cut};
use crate::limits::{DESCRIPTION_BYTES_MAX, DESCRIPTIONS_MAX, IDLE_MAX, NAME_BYTES_MAX, SERIES_MAX};
use crate::lookup::Lookups;
use crate::memory;
use crate::refused::{self, Reason, RefusedSeries};
use crate::series::{Instrument, Series, TIMER_TARGET};
use crate::sync::lock;

/// The number of generations of forks in which metrics are recorded. It is that of the recorder.
const GENERATIONS: usize = 64;

/// The registry. The inner value is `None` if nothing is recorded.
static REGISTRY: OnceLock<Option<Registry>> = OnceLock::new();

/// Returns the registry, if it was started and recording is on.
pub(crate) fn find() -> Option<&'static Registry> {
    REGISTRY.get()?.as_ref()
}

/// Starts the registry, and names it to the recorder as a source of changes; `None` if nothing is recorded.
pub(crate) fn start() -> Option<&'static Registry> {
    let pull = |sink: &mut Sink<'_>| {
        if let Some(registry) = find() {
            registry.pull(sink);
        }
    };
    REGISTRY.get_or_init(|| bridge::source("metrics", pull).then(Registry::new)).as_ref()
}

/// The series that the recorder of metrics holds, and those that it has refused since the process began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Number of series in memory.
    pub series: usize,
    /// Bytes that the series hold.
    pub bytes: usize,
    /// Number of times that the program asked for a series that is not recorded, because there are too many, or because its
    /// names or tags are beyond the bounds.
    pub series_dropped: u64,
    /// Number of values that were no finite numbers.
    pub values_not_finite: u64,
    /// Number of values below zero that were to go into a histogram.
    pub values_negative: u64,
}

/// All series of the process.
#[derive(Debug)]
pub(crate) struct Registry {
    /// The handles by key, one table for each generation of forks, because a lock that another thread held when the
    /// process was forked stays locked in the child.
    lookups: [OnceLock<Box<Lookups>>; GENERATIONS],
    table: Mutex<Table>,
}

impl Registry {
    fn new() -> Self {
        let table = Table { generation: bridge::generation(), ..Table::default() };
        Self { lookups: [const { OnceLock::new() }; GENERATIONS], table: Mutex::new(table) }
    }

    /// Returns the handles of this generation; `None` if the recorder's own code runs on the thread, or if the
    /// generation is beyond the bound.
    pub(crate) fn lookups(&self) -> Option<&Lookups> {
        if bridge::is_guarded() {
            return None;
        }
        let slot = self.lookups.get(bridge::generation())?;
        slot.get().map(|lookups| &**lookups).or_else(|| self.begin_generation(slot))
    }

    /// Prepares the handles of a generation. In the child of a fork, this also starts the recorder.
    #[cold]
    fn begin_generation<'a>(&self, slot: &'a OnceLock<Box<Lookups>>) -> Option<&'a Lookups> {
        if bridge::generation() > 0 {
            bridge::start();
        }
        bridge::run_guarded(|| {
            lock(&self.table).leave_inherited();
            &**slot.get_or_init(Box::default)
        })
    }

    /// Returns the instrument of a key that was not found among the handles; `None` if it is not recorded.
    pub(crate) fn register(
        &self,
        kind: MetricKind,
        key: &Key,
        metadata: &Metadata<'_>,
    ) -> Option<Instrument> {
        let lookups = self.lookups()?;
        let identity = Identity::from_key(kind, key);
        let is_timer = metadata.target() == TIMER_TARGET;
        bridge::run_guarded(|| {
            let mut table = lock(&self.table);
            let series = match identity.and_then(|identity| table.enter(identity, is_timer)) {
                Ok(series) => series,
                Err(reason) => {
                    table.refused.add(&cut(key.name(), NAME_BYTES_MAX), reason);
                    return None;
                }
            };
            if let Some(key) = series.keep(key) {
                lookups.insert(key, &series.instrument);
            }
            Some(series.instrument.clone())
        })
        .flatten()
    }

    /// Remembers unit and description of the metrics of a name.
    pub(crate) fn describe(
        &self,
        kind: MetricKind,
        name: &str,
        unit: Option<&'static str>,
        description: &str,
    ) {
        if name.len() > NAME_BYTES_MAX || self.lookups().is_none() {
            return;
        }
        let description = Some(description).filter(|text| !text.is_empty());
        let described = Description {
            unit: unit.filter(|unit| !unit.is_empty()),
            text: description.map(|text| cut(text, DESCRIPTION_BYTES_MAX).into_owned()),
        };
        bridge::run_guarded(|| lock(&self.table).describe((kind, name.to_owned()), described));
    }

    /// Gives the recorder the changes since it last asked.
    fn pull(&self, sink: &mut Sink<'_>) {
        let Some(lookups) = self.lookups() else { return };
        bridge::run_guarded(|| lock(&self.table).pull(sink, lookups));
    }

    /// Returns the series that are held and the number of refusals.
    pub(crate) fn report(&self) -> Report {
        let (series, series_dropped) = bridge::run_guarded(|| {
            let table = lock(&self.table);
            (table.series.len(), table.refused.total())
        })
        .unwrap_or_default();
        let [(_, values_not_finite), (_, values_negative)] = refused::values();
        Report { series, bytes: memory::held(), series_dropped, values_not_finite, values_negative }
    }
}

/// Unit and description of the metrics of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Description {
    unit: Option<&'static str>,
    text: Option<String>,
}

/// The series by identity, and everything else under the same lock.
#[derive(Debug, Default)]
struct Table {
    series: HashMap<Identity, Series>,
    descriptions: HashMap<(MetricKind, String), Description>,
    /// The number of times that a description changed.
    version: u64,
    refused: RefusedSeries,
    /// The series of this package itself, each with the count that was last reported.
    own: HashMap<Identity, (Arc<MetricRow>, u64)>,
    /// The generation of forks to which the changes since the last read belong.
    generation: usize,
    /// The moment of the last read.
    now: Duration,
}

impl Table {
    /// Returns the series of an identity, and adds the series if it is new and there is room.
    fn enter(&mut self, identity: Identity, is_timer: bool) -> Result<&mut Series, Reason> {
        let is_full = self.series.len() >= SERIES_MAX;
        match self.series.entry(identity) {
            Entry::Occupied(found) => Ok(found.into_mut()),
            Entry::Vacant(_) if is_full => Err(Reason::Series),
            Entry::Vacant(vacant) => {
                let identity = vacant.key();
                if !memory::take(Series::bytes(identity)) {
                    return Err(Reason::Memory);
                }
                let mut series = Series::new(identity, self.now);
                if is_timer {
                    Arc::make_mut(&mut series.row).unit = Some("seconds".to_owned());
                }
                Ok(vacant.insert(series))
            }
        }
    }

    fn describe(&mut self, key: (MetricKind, String), description: Description) {
        let has_room = self.descriptions.len() < DESCRIPTIONS_MAX || self.descriptions.contains_key(&key);
        if has_room && self.descriptions.get(&key) != Some(&description) {
            self.descriptions.insert(key, description);
            self.version += 1;
        }
    }

    /// Discards, in the child of a fork, the changes from before the fork, because the parent reports them.
    fn leave_inherited(&mut self) {
        let generation = bridge::generation();
        if std::mem::replace(&mut self.generation, generation) != generation {
            self.series.values_mut().for_each(|series| drop(series.take_changes()));
        }
    }

    fn pull(&mut self, sink: &mut Sink<'_>, lookups: &Lookups) {
        self.now = sink.now();
        self.leave_inherited();
        let mut idle = Vec::new();
        for (identity, series) in &mut self.series {
            let is_described = std::mem::replace(&mut series.described, self.version) != self.version
                && describe(&mut series.row, &self.descriptions);
            match series.take_changes() {
                Some(changes) => {
                    series.changed = self.now;
                    series.is_reported = true;
                    sink.add(&series.row, changes);
                }
                // The store has the series without this description, and another change may never come.
                None if is_described && series.is_reported => sink.add(&series.row, MetricStats::default()),
                None if self.now.saturating_sub(series.changed) >= IDLE_MAX => idle.push(identity.clone()),
                None => {}
            }
        }
        for identity in idle {
            self.forget(&identity, sink, lookups);
        }
        self.report_refused(sink);
        memory::set_limit(sink.settle_memory(memory::held()));
    }

    /// Forgets an idle series if nobody holds it.
    fn forget(&mut self, identity: &Identity, sink: &mut Sink<'_>, lookups: &Lookups) {
        let Some(series) = self.series.get_mut(identity) else { return };
        for key in series.drop_keys() {
            lookups.remove(&key, &series.instrument);
        }
        if !series.is_forgettable() {
            return;
        }
        // The series may have been changed since it was read above.
        if let Some(changes) = series.take_changes() {
            sink.add(&series.row, changes);
        }
        sink.forget(&series.row);
        memory::give_back(Series::bytes(identity) + series.bucket_bytes());
        self.series.remove(identity);
    }

    /// Reports what was refused: as series of this package, and the first refusal as an event.
    fn report_refused(&mut self, sink: &mut Sink<'_>) {
        if let Some((name, reason)) = self.refused.take_first() {
            let why = reason.describe();
            sink.add_event(format!("the metric `{name}` is not recorded with its tags: {why}. `monitored.series_dropped` counts such metrics by name"));
        }
        let series = self.refused.counts().map(|(name, reason, count)| {
            let tags = serde_json::json!({ "name": name, "reason": reason.as_str() });
            ("monitored.series_dropped", tags, count)
        });
        let values = refused::values().map(|(reason, count)| {
            ("monitored.values_dropped", serde_json::json!({ "reason": reason }), count)
        });
        for (name, tags, count) in series.chain(values).filter(|(.., count)| *count > 0) {
            let (kind, name, tags) = (MetricKind::Counter, name.to_owned(), tags.to_string());
            let (row, told) = self.own.entry(Identity { kind, name, tags }).or_insert_with_key(|identity| {
                let Identity { kind, name, tags } = identity.clone();
                let description = Some("Metrics that are not recorded, by reason.".to_owned());
                let row = MetricRow { id: bridge::metric_id(), kind, name, unit: None, description, tags };
                (Arc::new(row), 0)
            });
            let more = count.saturating_sub(std::mem::replace(told, count));
            if more > 0 {
                #[expect(clippy::cast_precision_loss, reason = "`count` is exact")]
                let sum = more as f64;
                sink.add(row, MetricStats { count: more, sum, ..MetricStats::default() });
            }
        }
    }
}

/// Gives a series the unit and the description of its metric. Returns true if one of them changed.
fn describe(row: &mut Arc<MetricRow>, descriptions: &HashMap<(MetricKind, String), Description>) -> bool {
    let Some(found) = descriptions.get(&(row.kind, row.name.clone())) else { return false };
    let unit = found.unit.map(str::to_owned).or_else(|| row.unit.clone());
    let is_changed = unit != row.unit || found.text != row.description;
    if is_changed {
        let row = Arc::make_mut(row);
        (row.unit, row.description) = (unit, found.text.clone());
    }
    is_changed
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use metrics::Level;

    use super::*;

    fn identity(name: &str) -> Identity {
        Identity::from_key(MetricKind::Counter, &Key::from_name(name.to_owned())).unwrap()
    }

    #[test]
    fn series_are_bounded_and_a_known_one_is_found_again() {
        let _limit = memory::set_limit_alone(usize::MAX);
        let mut table = Table::default();
        for at in 0..SERIES_MAX {
            assert!(table.enter(identity(&format!("metric{at}")), false).is_ok());
        }
        assert_eq!(table.enter(identity("one more"), false).err(), Some(Reason::Series));
        let id = table.enter(identity("metric7"), false).unwrap().row.id;
        assert_eq!(table.enter(identity("metric7"), false).unwrap().row.id, id);
    }

    #[test]
    fn a_series_that_is_held_or_means_something_is_not_forgotten() {
        let mut series = Series::new(&identity("orders"), Duration::ZERO);
        let held = series.instrument.clone();
        assert!(!series.is_forgettable());
        if let Instrument::Counter(counter) = &held {
            metrics::CounterFn::increment(&**counter, 3);
        }
        drop(held);
        assert!(series.is_forgettable());
        assert_eq!(series.take_changes().map(|stats| stats.count), Some(3));
        assert_eq!(series.take_changes(), None);
        if let Instrument::Counter(counter) = &series.instrument {
            metrics::CounterFn::absolute(&**counter, 9);
        }
        assert!(!series.is_forgettable());
    }

    #[test]
    fn descriptions_reach_series_that_exist() {
        let mut table = Table::default();
        let _limit = memory::set_limit_alone(usize::MAX);
        table.enter(identity("orders"), true).unwrap();
        let text = Some("Orders.".to_owned());
        table.describe(
            (MetricKind::Counter, "orders".to_owned()),
            Description { unit: None, text: text.clone() },
        );
        let Table { series, descriptions, .. } = &mut table;
        let row = &mut series.get_mut(&identity("orders")).unwrap().row;
        assert!(describe(row, descriptions) && !describe(row, descriptions));
        assert_eq!((row.unit.as_deref(), &row.description), (Some("seconds"), &text));
    }

    #[test]
    fn without_a_recorder_nothing_is_looked_for_in_the_middle_of_a_change() {
        let registry = Registry::new();
        let metadata = Metadata::new("test", Level::INFO, None);
        bridge::run_guarded(|| {
            assert!(registry.lookups().is_none());
            assert!(registry.register(MetricKind::Gauge, &Key::from_name("depth"), &metadata).is_none());
        });
        assert!(registry.lookups().is_some());
    }
}
