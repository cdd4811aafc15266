//! Sampling decides which calls get a row. Takes names, rates and random numbers; gives decisions. Pure.
//!
//! Two invariants hold. Every kept call carries the probability it was kept with, so that `sum(1 / p)` over
//! the rows estimates the calls without bias. A call tree is kept whole: children of a sampled call follow
//! it, children of an unsampled call are unsampled, and only a child with a lower rate of its own is sampled
//! further. This room does not know of failures and slow calls: callers and collector keep these whatever is
//! decided here.

mod pattern;
mod rules;
mod gap;
pub(crate) mod ladder;
pub(crate) mod tail;

#[cfg(test)]
mod closed_loop;

pub use gap::{REDRAW, Random, next_gap};
pub use pattern::{Pattern, PatternError};
pub use rules::{RuleError, Rules};

/// The share of timed calls of a function whose unsampled calls are otherwise only counted.
pub(crate) const TIMED_SHARE: f64 = 1.0 / 256.0;

/// The source of a function's rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Set while the program runs: `set_sample_rate`, `monitor sample`, table `sampling`.
    Live,
    /// A rule of `MONITOR_SAMPLE` whose pattern names the function.
    Rule,
    /// The attribute's option `sample`.
    Attribute,
    /// A rule of `MONITOR_SAMPLE` without pattern, or 1.
    Default,
}

impl Source {
    /// Returns the source with this number, which `as u32` gave.
    pub(crate) const fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Live,
            1 => Self::Rule,
            2 => Self::Attribute,
            _ => Self::Default,
        }
    }
}

/// Returns the rate of a function and its source. A rate that is set live wins over a rule that names the function,
/// such a rule over the attribute, and the attribute over a rule without a pattern. So the people who run the program
/// overrule its authors, but a blanket `MONITOR_SAMPLE=0.1` does not change functions whose author chose a rate.
#[must_use]
pub fn effective_rate(name: &str, attribute: Option<f64>, rules: &Rules, live: &Rules) -> (f64, Source) {
    if let Some(rate) = live.rate(name) {
        return (rate, Source::Live);
    }
    match (rules.matching(name), attribute) {
        (Some((rate, true)), _) => (rate, Source::Rule),
        (_, Some(rate)) => (rate, Source::Attribute),
        (Some((rate, false)), None) => (rate, Source::Default),
        (None, None) => (1.0, Source::Default),
    }
}

/// The decision about a call whose parent is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Child {
    /// The child is kept as well, with its parent's probability.
    Follow,
    /// The child is kept with this probability, given that its parent is kept. Overall it is kept with its
    /// own rate.
    Subsample {
        /// The probability of keeping the child, given that its parent is kept.
        probability: f64,
    },
}

/// Decides about a call of a function with this rate, given that the call's parent was kept with this probability.
#[must_use]
pub fn child(parent_probability: f64, rate: f64) -> Child {
    // A parent probability of zero, which no kept call has, takes the first branch and never divides.
    if rate >= parent_probability {
        Child::Follow
    } else {
        Child::Subsample { probability: rate / parent_probability }
    }
}

/// Returns the number of calls that a call kept with this probability stands for. A call that is kept although
/// its probability is zero (a failure at rate 0) stands for itself.
#[must_use]
pub fn weight(probability: f64) -> f64 {
    if probability > 0.0 { 1.0 / probability } else { 1.0 }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::float_cmp, reason = "tests; exact values are meant")]
    use super::*;

    #[test]
    fn who_runs_the_program_overrules_who_wrote_it() {
        let rules = Rules::parse("0.5,shop::hot::*=0.001").unwrap();
        let live = Rules::parse("shop::hot::spin=0.9").unwrap();
        let none = Rules::default();
        for (name, attribute, live, expected) in [
            ("shop::hot::spin", Some(0.2), &live, (0.9, Source::Live)),
            ("shop::hot::spin", Some(0.2), &none, (0.001, Source::Rule)),
            ("shop::pay", Some(0.2), &live, (0.2, Source::Attribute)),
            ("shop::pay", None, &live, (0.5, Source::Default)),
        ] {
            assert_eq!(effective_rate(name, attribute, &rules, live), expected, "{name}");
        }
        assert_eq!(effective_rate("shop::pay", None, &none, &none), (1.0, Source::Default));
    }

    #[test]
    fn a_plain_number_after_a_pattern_takes_everything_back() {
        let rules = Rules::parse("shop::*=0.1,1").unwrap();
        assert_eq!(effective_rate("shop::pay", None, &rules, &Rules::default()), (1.0, Source::Default));
    }

    #[test]
    fn children_follow_unless_their_own_rate_is_lower() {
        assert_eq!(child(0.01, 1.0), Child::Follow);
        assert_eq!(child(0.5, 0.5), Child::Follow);
        assert_eq!(child(0.5, 0.1), Child::Subsample { probability: 0.2 });
        assert_eq!(child(1.0, 0.0), Child::Subsample { probability: 0.0 });
        assert_eq!(child(0.0, 0.0), Child::Follow);
    }

    #[test]
    fn weights_estimate_the_calls_of_a_thinned_tree_without_bias() {
        let (parent_rate, child_rate, calls) = (0.25, 0.05, 200_000_u32);
        let mut random = Random::new(7);
        let (mut estimate, mut gap) = (0.0, next_gap(parent_rate, random.draw()));
        for _ in 0..calls {
            if gap > 0 {
                gap -= 1;
                continue;
            }
            gap = next_gap(parent_rate, random.draw());
            let Child::Subsample { probability } = child(parent_rate, child_rate) else { panic!() };
            if next_gap(probability, random.draw()) == 0 {
                estimate += weight(child_rate);
            }
        }
        // The standard deviation is sqrt(calls × (1 − rate) / rate), 1950: five of them.
        assert!((estimate - f64::from(calls)).abs() < 9_750.0, "{estimate}");
    }

    #[test]
    fn a_failure_kept_at_rate_zero_stands_for_itself() {
        assert_eq!(weight(0.0), 1.0);
        assert_eq!(weight(0.001), 1000.0);
    }
}
