//! The resources of the machine that each process uses over time, and which figures grow.
//!
//! The store has a sample for each 10 s in which something changed; in between, the last sample holds. A figure grows if
//! it rises after the start of the process, still rises in the second half of the time, and by an amount that matters.

use anyhow::Result;

use super::period::Period;
use super::rows::mark_process;
use super::statistics::trend::{self, Trend};
use crate::store::Store;

/// The time between two samples.
const STEP_NS: i64 = 10_000_000_000;
/// The most points of a series: the trend looks at each pair of points.
const POINTS_MAX: usize = 240;
/// The fewest points that show a trend.
const POINTS_MIN: usize = 12;
/// The share of the points, from the first on, that belong to the start of a process.
const START_SHARE: f64 = 0.2;
/// The largest p-value of growth, over the whole time and over its second half.
const P_MAX: [f64; 2] = [0.001, 0.01];
/// The least growth over the time, as a share of the figure.
const GROWTH_MIN: f64 = 0.05;

/// A figure that is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Figure {
    /// CPU time in percent of one core.
    Cpu,
    /// Resident memory in bytes.
    Memory,
    /// The number of threads.
    Threads,
    /// The number of open descriptors.
    Descriptors,
}

impl Figure {
    /// All figures, in the order in which they are shown.
    pub(crate) const ALL: [Self; 4] = [Self::Cpu, Self::Memory, Self::Threads, Self::Descriptors];

    /// Returns the column of the view `resources`.
    pub(crate) fn column(self) -> &'static str {
        match self {
            Self::Cpu => "cpu_pct",
            Self::Memory => "rss_bytes",
            Self::Threads => "threads",
            Self::Descriptors => "open_files",
        }
    }

    /// Returns the least growth that matters; `None` for a figure that does not pile up.
    fn growth_min(self) -> Option<f64> {
        match self {
            Self::Cpu => None,
            Self::Memory => Some(1_048_576.0),
            Self::Threads => Some(2.0),
            Self::Descriptors => Some(4.0),
        }
    }
}

/// The judgement on a figure over time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Growth {
    /// The figure rises by this much an hour.
    Growing(f64),
    /// The figure does not rise, or by little.
    Steady,
    /// There are too few points to tell.
    TooFew,
    /// The figure does not pile up.
    NotJudged,
}

/// A figure of a process over time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Usage {
    /// The run of the program.
    pub(crate) process_id: i64,
    /// The figure.
    pub(crate) figure: Figure,
    /// The samples that were read.
    pub(crate) samples: u64,
    /// The time of the first sample.
    pub(crate) since_ns: i64,
    /// The time of the last sample.
    pub(crate) until_ns: i64,
    /// The figure every 10 s, or means of it over longer steps; at most [`POINTS_MAX`] points.
    pub(crate) series: Vec<f64>,
    /// The figure of the first sample.
    pub(crate) first: f64,
    /// The figure of the last sample.
    pub(crate) last: f64,
    /// The smallest and the largest figure.
    pub(crate) range: (f64, f64),
    /// The judgement on the growth of the figure.
    pub(crate) growth: Growth,
}

/// A sample: its time and the four figures.
type Sample = (i64, [f64; 4]);

/// A sample of a process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    /// The run of the program.
    pub(crate) process_id: i64,
    /// The time, ns since the Unix epoch.
    pub(crate) at_ns: i64,
    /// The figures, in the order of [`Figure::ALL`].
    figures: [f64; 4],
}

impl Point {
    /// Returns the sample with its process marked as one of the store at this position.
    pub(crate) fn of_store(self, position: usize) -> Self {
        Self { process_id: mark_process(position, self.process_id), ..self }
    }

    /// Returns a figure of the sample.
    pub(crate) fn figure(&self, figure: Figure) -> f64 {
        self.figures[figure as usize]
    }
}

/// Reads the samples within a span, by process and time.
pub(crate) fn read_points(store: &Store, period: Period) -> Result<Vec<Point>> {
    let sql = "SELECT process_id, at_ns, cpu_pct, rss_bytes, threads, open_files FROM resources
               WHERE at_ns BETWEEN ?1 AND ?2 ORDER BY process_id, at_ns";
    let mut points = Vec::new();
    store.read_rows(sql, [period.from_ns, period.until_ns], |row| {
        let cells = crate::report::read_cells(row, 6)?;
        let number = |at: usize| cells[at].to_number().filter(|number| number.is_finite()).unwrap_or(0.0);
        let (process_id, at_ns) = (cells[0].to_integer().unwrap_or(0), cells[1].to_integer().unwrap_or(0));
        points.push(Point { process_id, at_ns, figures: [number(2), number(3), number(4), number(5)] });
        Ok(())
    })?;
    Ok(points)
}

/// Reads the figures of each process within a span; the process that was sampled last comes first.
pub(crate) fn read(store: &Store, period: Period) -> Result<Vec<Usage>> {
    let mut processes: Vec<(i64, Vec<Sample>)> = Vec::new();
    for point in read_points(store, period)? {
        if processes.last().is_none_or(|(last, _)| *last != point.process_id) {
            processes.push((point.process_id, Vec::new()));
        }
        if let Some((_, samples)) = processes.last_mut() {
            samples.push((point.at_ns, point.figures));
        }
    }
    processes.sort_by_key(|(process, samples)| (samples.last().map(|(at, _)| -at), -process));
    Ok(processes.iter().flat_map(|(process, samples)| describe(*process, samples)).collect())
}

/// Describes each figure of a process.
fn describe(process_id: i64, samples: &[Sample]) -> Vec<Usage> {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Vec::new() };
    let usage = |(at, figure): (usize, Figure)| {
        let figures = || samples.iter().map(|(_, figures)| figures[at]);
        let (series, step_ns) = fill_gaps(samples, at);
        Usage {
            process_id,
            figure,
            samples: samples.len() as u64,
            since_ns: first.0,
            until_ns: last.0,
            first: first.1[at],
            last: last.1[at],
            range: (figures().fold(f64::INFINITY, f64::min), figures().fold(f64::NEG_INFINITY, f64::max)),
            growth: judge(figure, &series, step_ns),
            series,
        }
    };
    Figure::ALL.into_iter().enumerate().map(usage).collect()
}

/// Returns the figure at equal steps, and the length of a step in ns. A step without a sample has the figure of the last
/// one before it.
fn fill_gaps(samples: &[Sample], figure: usize) -> (Vec<f64>, i64) {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return (Vec::new(), STEP_NS) };
    let span = last.0.saturating_sub(first.0).max(0);
    let points_max = i64::try_from(POINTS_MAX).unwrap_or(i64::MAX);
    let step = STEP_NS.max(span / points_max + 1);
    let points = usize::try_from(span / step).unwrap_or(0) + 1;
    let mut sums = vec![(0.0, 0.0); points];
    for (at, figures) in samples {
        let point = usize::try_from(at.saturating_sub(first.0) / step).unwrap_or(0).min(points - 1);
        sums[point].0 += figures[figure];
        sums[point].1 += 1.0;
    }
    let mut held = first.1[figure];
    let series = sums.into_iter().map(|(sum, count)| {
        if count > 0.0 {
            held = sum / count;
        }
        held
    });
    (series.collect(), step)
}

/// Judges whether a figure grows.
fn judge(figure: Figure, series: &[f64], step_ns: i64) -> Growth {
    let Some(min) = figure.growth_min() else { return Growth::NotJudged };
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few points"
    )]
    let skipped = (series.len() as f64 * START_SHARE) as usize;
    let settled = &series[skipped..];
    if settled.len() < POINTS_MIN {
        return Growth::TooFew;
    }
    let (Some(whole), Some(late)) = (trend::measure(settled), trend::measure(&settled[settled.len() / 2..]))
    else {
        return Growth::TooFew;
    };
    #[expect(clippy::cast_precision_loss, reason = "a few points")]
    let rise = whole.slope * settled.len() as f64;
    let is_large = rise >= min && rise >= GROWTH_MIN * settled[0].abs();
    let rises = |Trend { p, slope }: Trend, p_max: f64| p < p_max && slope > 0.0;
    if is_large && rises(whole, P_MAX[0]) && rises(late, P_MAX[1]) {
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let steps_an_hour = 3_600e9 / step_ns as f64;
        return Growth::Growing(whole.slope * steps_an_hour);
    }
    Growth::Steady
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a failed unwrap is a failed test")]
    use super::*;

    const MIB: f64 = 1_048_576.0;

    fn memory(of: impl Fn(usize) -> f64, samples: usize) -> Usage {
        let samples: Vec<Sample> =
            (0..samples).map(|n| (i64::try_from(n).unwrap() * STEP_NS, [5.0, of(n), 8.0, 20.0])).collect();
        describe(1, &samples).into_iter().find(|usage| usage.figure == Figure::Memory).unwrap()
    }

    #[test]
    fn memory_that_rises_all_the_time_grows() {
        let usage = memory(|n| 50.0 * MIB + n as f64 * 0.5 * MIB + (n % 4) as f64 * 0.1 * MIB, 60);
        let Growth::Growing(per_hour) = usage.growth else { panic!("{usage:?}") };
        assert!((per_hour / (180.0 * MIB) - 1.0).abs() < 0.05, "{per_hour}");
    }

    #[test]
    fn a_start_a_saw_and_a_plateau_do_not_grow() {
        let start = memory(|n| 50.0 * MIB + (n.min(10) as f64) * 10.0 * MIB, 60);
        let saw = memory(|n| 50.0 * MIB + ((n % 15) as f64) * 5.0 * MIB, 60);
        let plateau = memory(|n| 50.0 * MIB + (n.min(28) as f64) * MIB, 60);
        let little = memory(|n| 500.0 * MIB + n as f64 * 0.1 * MIB, 60);
        for usage in [start, saw, plateau, little] {
            assert_eq!(usage.growth, Growth::Steady, "{:?}", usage.series);
        }
    }

    #[test]
    fn few_samples_cannot_tell_and_cpu_is_not_judged() {
        assert_eq!(memory(|n| n as f64 * 100.0 * MIB, 8).growth, Growth::TooFew);
        assert_eq!(judge(Figure::Cpu, &[1.0; 100], STEP_NS), Growth::NotJudged);
    }

    #[test]
    fn a_sample_holds_until_the_next_and_long_times_are_thinned() {
        let samples = [(0, [0.0, 10.0, 1.0, 1.0]), (5 * STEP_NS, [0.0, 60.0, 1.0, 1.0])];
        assert_eq!(fill_gaps(&samples, 1).0, [10.0, 10.0, 10.0, 10.0, 10.0, 60.0]);
        let long = [(0, [0.0; 4]), (i64::MAX, [1.0; 4])];
        assert!(fill_gaps(&long, 1).0.len() <= POINTS_MAX + 1);
    }
}
