//! The costs of the recorder's thread, told apart by measurement: what its wake-ups and batches take whatever is
//! recorded, and what each record, row and byte of values adds.
//!
//! Takes the work and the CPU time of one look after the other; gives the nanoseconds of each kind of work. The costs
//! begin as estimates. Measurements move them away from the estimates only as far as they tell the kinds of work apart,
//! because a program whose load never changes shows nothing but the sum. Pure.

/// The kinds of work of the recorder's thread.
const KINDS: usize = 6;

/// The number of times that each kind of work was done.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Work {
    /// Steps of the recorder's thread.
    pub(crate) wakes: f64,
    /// Wake-ups that only advance the coarse clock, while there are functions whose calls are only counted.
    pub(crate) ticks: f64,
    /// Transactions.
    pub(crate) batches: f64,
    /// Records that were taken out of rings.
    pub(crate) records: f64,
    /// Records that became rows.
    pub(crate) rows: f64,
    /// Bytes of the values in these rows.
    pub(crate) value_bytes: f64,
}

impl Work {
    fn to_array(self) -> [f64; KINDS] {
        [self.wakes, self.ticks, self.batches, self.records, self.rows, self.value_bytes]
    }
}

/// The nanoseconds that each kind of work takes once.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ThreadCosts {
    /// The weighted sums of the products of two kinds of work, each in nanoseconds by the estimates.
    products: [[f64; KINDS]; KINDS],
    /// The weighted sums of the products of a kind of work and the CPU time.
    times: [f64; KINDS],
    /// The cost of each kind of work, as a multiple of its estimate.
    factors: [f64; KINDS],
}

impl Default for ThreadCosts {
    fn default() -> Self {
        Self { products: [[0.0; KINDS]; KINDS], times: [0.0; KINDS], factors: [1.0; KINDS] }
    }
}

/// The estimates, in nanoseconds, in the order of the fields of [`Work`]: medians of a Linux server with a local disk.
const ESTIMATES: [f64; KINDS] = [30_000.0, 6_000.0, 400_000.0, 150.0, 1_000.0, 2.0];
/// A cost may be this many times larger or smaller than its estimate. Slow disks and processors stay within that; work
/// beyond it, such as the migration of a store, is no property of calls.
const FACTOR_MAX: f64 = 20.0;
/// The weight of a measurement falls by this factor with each look after it, so that the last minute counts.
const FORGET: f64 = 1.0 - 1.0 / 60.0;
/// The deviation of a measurement: a tenth of the CPU time, and what the system's own work on the thread takes.
const DEVIATION_SHARE: f64 = 0.1;
const DEVIATION_NS_MIN: f64 = 100_000.0;
/// The number of sweeps over all factors after a measurement. It may be small, because the sweeps begin with the
/// factors of the look before, which are close.
const SWEEPS: usize = 50;

impl ThreadCosts {
    /// Adds a measurement: the work between two looks, and the CPU time that the thread spent meanwhile, in nanoseconds.
    ///
    /// The factors minimise the squared deviations of all measurements, weighted by age, plus the squared deviations
    /// of the factors from 1 (ridge regression, here by Gauss-Seidel with bounds).
    pub(crate) fn learn(&mut self, work: &Work, cpu_ns: f64) {
        let deviation = DEVIATION_SHARE * cpu_ns + DEVIATION_NS_MIN;
        let weight = 1.0 / (deviation * deviation);
        let mut estimated = work.to_array();
        estimated.iter_mut().zip(ESTIMATES).for_each(|(times, estimate)| *times *= estimate);
        for (row, of_row) in estimated.iter().enumerate() {
            self.times[row] = FORGET * self.times[row] + weight * of_row * cpu_ns;
            for (column, of_column) in estimated.iter().enumerate() {
                let product = &mut self.products[row][column];
                *product = FORGET * *product + weight * of_row * of_column;
            }
        }
        for _ in 0..SWEEPS {
            for kind in 0..KINDS {
                let others: f64 = (0..KINDS)
                    .filter(|other| *other != kind)
                    .map(|other| self.products[kind][other] * self.factors[other])
                    .sum();
                let factor = (self.times[kind] + 1.0 - others) / (self.products[kind][kind] + 1.0);
                self.factors[kind] = factor.clamp(1.0 / FACTOR_MAX, FACTOR_MAX);
            }
        }
    }

    /// Returns the cost of all this work, in nanoseconds.
    pub(crate) fn weigh(&self, work: &Work) -> f64 {
        work.to_array().iter().enumerate().map(|(kind, times)| times * self.cost(kind)).sum()
    }

    fn cost(&self, kind: usize) -> f64 {
        ESTIMATES[kind] * self.factors[kind]
    }

    /// Returns the cost of a wake-up that only advances the coarse clock, in nanoseconds.
    pub(crate) fn tick(&self) -> f64 {
        self.cost(1)
    }

    /// Returns the cost of a record that becomes no row.
    pub(crate) fn record(&self) -> f64 {
        self.cost(3)
    }

    /// Returns the additional cost of a row.
    pub(crate) fn row(&self) -> f64 {
        self.cost(4)
    }

    /// Returns the additional cost of a byte of a row's values.
    pub(crate) fn value_byte(&self) -> f64 {
        self.cost(5)
    }

    /// Returns the cost of the work that no function causes: wake-ups, ticks and batches.
    pub(crate) fn fixed(&self, work: &Work) -> f64 {
        let work = work.to_array();
        (0..3).map(|kind| work[kind] * self.cost(kind)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The costs of a machine that differs from the estimates in every kind of work.
    const TRUE: [f64; KINDS] = [50_000.0, 3_000.0, 900_000.0, 300.0, 2_500.0, 1.0];

    fn cpu(work: &Work) -> f64 {
        work.to_array().iter().zip(TRUE).map(|(times, cost)| times * cost).sum()
    }

    fn work(records: f64, rows: f64) -> Work {
        Work { wakes: 10.0, ticks: 0.0, batches: 0.5, records, rows, value_bytes: 40.0 * rows }
    }

    /// Returns true if two costs differ by no more than this share.
    fn is_near(found: f64, expected: f64, share: f64) -> bool {
        (found / expected - 1.0).abs() < share
    }

    #[test]
    fn fixed_and_variable_costs_are_told_apart_where_the_load_changes() {
        let mut costs = ThreadCosts::default();
        for look in 0..120_u32 {
            let rows = [0.0, 50.0, 600.0, 4200.0][look as usize % 4];
            let records = if look % 3 == 0 { rows + 10_000.0 } else { rows };
            costs.learn(&work(records, rows), cpu(&work(records, rows)));
        }
        let idle = work(0.0, 0.0);
        assert!(is_near(costs.fixed(&idle), cpu(&idle), 0.1), "{costs:?}");
        assert!(is_near(costs.record(), 300.0, 0.1), "{costs:?}");
        // Rows and their bytes always come together here, so only their sum is known.
        assert!(is_near(costs.row() + 40.0 * costs.value_byte(), 2540.0, 0.1), "{costs:?}");
    }

    #[test]
    fn a_load_that_never_changes_shows_the_sum_and_no_kind_runs_away() {
        let mut costs = ThreadCosts::default();
        let steady = work(600.0, 600.0);
        (0..300).for_each(|_| costs.learn(&steady, cpu(&steady)));
        let told = costs.fixed(&steady) + 600.0 * (costs.record() + costs.row() + 40.0 * costs.value_byte());
        assert!(is_near(told, cpu(&steady), 0.05), "{told} of {}", cpu(&steady));
        assert!((300.0..6000.0).contains(&costs.row()), "{costs:?}");
    }

    #[test]
    fn an_idle_thread_teaches_nothing_about_rows() {
        let mut costs = ThreadCosts::default();
        let before = costs.row();
        (0..300).for_each(|_| costs.learn(&work(0.0, 0.0), 5e6));
        assert!(is_near(costs.row(), before, 0.01), "{costs:?}");
        assert!(is_near(costs.fixed(&work(0.0, 0.0)), 5e6, 0.1), "{costs:?}");
    }

    #[test]
    fn one_look_with_other_work_moves_the_costs_little_and_is_forgotten() {
        let mut costs = ThreadCosts::default();
        let usual = |look: u32| work(f64::from(look % 7) * 300.0, f64::from(look % 7) * 300.0);
        (0..200).for_each(|look| costs.learn(&usual(look), cpu(&usual(look))));
        let before = costs.clone();
        // A migration of the store takes half a second of the thread.
        costs.learn(&usual(3), 5e8);
        assert!(is_near(costs.row(), before.row(), 0.3), "{before:?} {costs:?}");
        (0..200).for_each(|look| costs.learn(&usual(look), cpu(&usual(look))));
        assert!(is_near(costs.row(), before.row(), 0.05), "{before:?} {costs:?}");
    }
}
