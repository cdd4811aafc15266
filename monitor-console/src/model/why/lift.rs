//! The values that set one side of the calls apart from the other: the share of each value on both sides, compared by a
//! chi-squared test (or Fisher's, where rows are few) with Benjamini and Hochberg's adjustment over all values.

use std::collections::{HashMap, HashSet};

use super::attributes::Known;
use super::facts::CallFacts;
use super::{Group, ROWS_MIN};
use crate::model::statistics::multiple;
use crate::model::statistics::proportions::{Weighted, test_shares};

/// The largest adjusted p-value of a difference.
const P_MAX: f64 = 0.001;
/// The smallest difference of the shares.
const DIFFERENCE_MIN: f64 = 0.1;
/// The most values of one key that are compared.
const VALUES_MAX: usize = 1_000;
/// The most differences that are reported.
const SHOWN_MAX: usize = 5;
/// The number of parts of equal size into which the values of a number are split. Their bounds are tried as
/// conditions.
const PARTS: usize = 10;

/// A value that is more frequent on one side.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lift {
    /// The name of the attribute.
    pub(crate) key: String,
    /// The condition on its value.
    pub(crate) condition: Condition,
    /// The share of the group that fulfils the condition, and the share of the others.
    pub(crate) shares: [f64; 2],
    /// The rows of the group that fulfil the condition.
    pub(crate) rows: u64,
    /// The adjusted p-value.
    pub(crate) p: f64,
}

/// A condition on a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    /// The value is this.
    Is(String),
    /// The value is a text of this shape.
    Like(String),
    /// The number is at least this.
    AtLeast(f64),
    /// The number is below this.
    Below(f64),
}

impl Condition {
    fn is_met(&self, value: &Known) -> bool {
        match (self, value) {
            (Self::Is(wanted), Known::Exact(found)) | (Self::Like(wanted), Known::Shape(found)) => {
                wanted == found
            }
            (Self::AtLeast(bound), Known::Number(number)) => number >= bound,
            (Self::Below(bound), Known::Number(number)) => number < bound,
            _ => false,
        }
    }
}

/// Finds the conditions that the first side meets more often than the second. `Err` says what is missing for a
/// comparison.
pub(super) fn find(sides: &[Vec<&CallFacts>; 2], group: Group) -> Result<Vec<Lift>, String> {
    let sizes = [weigh(&sides[0]), weigh(&sides[1])];
    for (size, name) in sizes.iter().zip([group.as_str(), "other"]) {
        if size.effective_size() < ROWS_MIN {
            return Err(format!(
                "{:.0} {name} rows, and fewer than {ROWS_MIN:.0} show nothing",
                size.effective_size().floor()
            ));
        }
    }
    let values = group_by_key(sides);
    let mut lifts: Vec<Lift> = list_conditions(sides)
        .into_iter()
        .filter_map(|(key, condition)| {
            let values = values.get(key.as_str())?;
            compare(values, sizes, key, condition)
        })
        .collect();
    let adjusted = multiple::adjust(&lifts.iter().map(|lift| lift.p).collect::<Vec<_>>());
    lifts.iter_mut().zip(adjusted).for_each(|(lift, p)| lift.p = p);
    let difference = |lift: &Lift| lift.shares[0] - lift.shares[1];
    lifts.retain(|lift| lift.p < P_MAX && difference(lift) >= DIFFERENCE_MIN);
    // A condition that says more comes before another of equal difference: a value before a shape, and a shape before a
    // number.
    let order = |lift: &Lift| match lift.condition {
        Condition::Is(_) => 0,
        Condition::Like(_) => 1,
        Condition::AtLeast(_) | Condition::Below(_) => 2,
    };
    lifts.sort_by(|a, b| {
        let rounded = |lift: &Lift| (difference(lift) * 50.0).round();
        rounded(b)
            .total_cmp(&rounded(a))
            .then_with(|| order(a).cmp(&order(b)))
            .then_with(|| a.key.cmp(&b.key))
    });
    let mut keys = HashSet::new();
    lifts.retain(|lift| keys.insert(base_key(&lift.key).to_owned()));
    lifts.truncate(SHOWN_MAX);
    Ok(lifts)
}

/// Returns the key without the name of the measured property: `args.sku` for `args.sku (length)`.
fn base_key(key: &str) -> &str {
    key.split_once(" (").map_or(key, |(key, _)| key)
}

fn weigh(calls: &[&CallFacts]) -> Weighted {
    let mut weighted = Weighted::default();
    for call in calls {
        weighted.add(call.weight);
    }
    weighted
}

/// Lists the conditions that are worth a test: values that the group has in several rows, and bounds within the range of
/// numbers.
fn list_conditions(sides: &[Vec<&CallFacts>; 2]) -> Vec<(String, Condition)> {
    let mut exact: HashMap<(&str, bool, &str), usize> = HashMap::new();
    let mut numbers: HashMap<&str, Vec<(i64, f64)>> = HashMap::new();
    for (side, calls) in sides.iter().enumerate() {
        let attributes =
            calls.iter().flat_map(|call| call.attributes.iter().map(|found| (call.start_ns, found)));
        for (start_ns, attribute) in attributes {
            let key = attribute.key.as_str();
            match &attribute.value {
                Known::Exact(text) if side == 0 => *exact.entry((key, false, text)).or_default() += 1,
                Known::Shape(text) if side == 0 => *exact.entry((key, true, text)).or_default() += 1,
                Known::Number(number) if number.is_finite() => {
                    numbers.entry(key).or_default().push((start_ns, *number));
                }
                _ => {}
            }
        }
    }
    // A value in few rows of the group cannot be what the group has in common.
    let min = (sides[0].len() / 20).max(3);
    let mut common: Vec<_> = exact.into_iter().filter(|(_, rows)| *rows >= min).collect();
    common.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    common.truncate(VALUES_MAX);
    let mut conditions: Vec<(String, Condition)> = common
        .into_iter()
        .map(|((key, is_shape, text), _)| {
            let text = text.to_owned();
            (key.to_owned(), if is_shape { Condition::Like(text) } else { Condition::Is(text) })
        })
        .collect();
    let mut keys: Vec<_> = numbers.into_iter().collect();
    keys.sort_by_key(|(key, _)| *key);
    for (key, mut timed) in keys {
        if is_counter(&mut timed) {
            continue;
        }
        let mut numbers: Vec<f64> = timed.into_iter().map(|(_, number)| number).collect();
        numbers.sort_by(f64::total_cmp);
        let mut bounds: Vec<f64> = (1..PARTS).map(|part| numbers[numbers.len() * part / PARTS]).collect();
        bounds.extend(numbers.iter().copied().rev().nth(sides[0].len().saturating_sub(1)));
        bounds.sort_by(f64::total_cmp);
        bounds.dedup_by(|a, b| a.total_cmp(b).is_eq());
        for bound in bounds {
            conditions.push((key.to_owned(), Condition::AtLeast(bound)));
            conditions.push((key.to_owned(), Condition::Below(bound)));
        }
    }
    conditions
}

/// Returns true for numbers that rise with time, such as ids: they only show when a call was made.
fn is_counter(timed: &mut [(i64, f64)]) -> bool {
    timed.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.total_cmp(&b.1)));
    let steps = || timed.windows(2).map(|pair| pair[1].1 - pair[0].1);
    let (rises, falls) =
        (steps().filter(|step| *step > 0.0).count(), steps().filter(|step| *step < 0.0).count());
    let range = |numbers: &[(i64, f64)]| {
        let min = numbers.iter().map(|(_, number)| *number).fold(f64::INFINITY, f64::min);
        let max = numbers.iter().map(|(_, number)| *number).fold(f64::NEG_INFINITY, f64::max);
        (min, max)
    };
    // The first half of the time has other numbers than the second, apart from a few that overlap.
    let (early, late) = timed.split_at(timed.len() / 2);
    let (early, late, whole) = (range(early), range(late), range(timed));
    rises > falls && (early.1 - late.0) < (whole.1 - whole.0) * 0.1
}

/// A value of an attribute: its side, the weight of its row, and the value.
type Placed<'a> = (usize, f64, &'a Known);

fn group_by_key<'a>(sides: &[Vec<&'a CallFacts>; 2]) -> HashMap<&'a str, Vec<Placed<'a>>> {
    let mut values: HashMap<&str, Vec<Placed<'_>>> = HashMap::new();
    for (side, calls) in sides.iter().enumerate() {
        for call in calls {
            for attribute in &call.attributes {
                values.entry(&attribute.key).or_default().push((side, call.weight, &attribute.value));
            }
        }
    }
    values
}

/// Compares the shares of the calls that fulfil a condition; `None` if the group does so less often than the others.
fn compare(values: &[Placed<'_>], sizes: [Weighted; 2], key: String, condition: Condition) -> Option<Lift> {
    let mut met = [0.0; 2];
    let mut rows = 0;
    for (side, weight, value) in values {
        if condition.is_met(value) {
            met[*side] += weight;
            rows += u64::from(*side == 0);
        }
    }
    let shares = [0, 1].map(|side: usize| (met[side] / sizes[side].sum).min(1.0));
    if shares[0] <= shares[1] {
        return None;
    }
    let p = test_shares(shares, sizes.map(Weighted::effective_size));
    Some(Lift { key, condition, shares, rows, p })
}
