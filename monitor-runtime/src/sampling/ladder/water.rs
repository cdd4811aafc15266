//! Divides an available amount among claims of different sizes: small claims get all that they need, and the rest share
//! equally. Pure.

use crate::growth::collect_all;

/// Returns the largest amount that a claim gets, so that all together get what is available (max-min fairness). It is
/// infinite if all needs fit. Returns `None` if there is no memory for the needs.
pub(super) fn level(needs: impl Iterator<Item = f64>, available: f64) -> Option<f64> {
    let mut needs = collect_all(needs)?;
    needs.sort_unstable_by(f64::total_cmp);
    let mut left = available.max(0.0);
    let mut sharers = needs.len() as f64;
    for need in needs {
        let share = left / sharers;
        if need > share {
            return Some(share);
        }
        left -= need;
        sharers -= 1.0;
    }
    Some(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "exact values are meant")]
    use super::*;

    #[test]
    fn small_needs_are_met_and_the_large_ones_share_the_rest() {
        assert_eq!(level([1.0, 8.0, 2.0].into_iter(), 20.0), Some(f64::INFINITY));
        assert_eq!(level([1.0, 8.0, 2.0].into_iter(), 7.0), Some(4.0));
        assert_eq!(level([5.0, 5.0].into_iter(), 4.0), Some(2.0));
        assert_eq!(level([5.0, 100.0, 7.0].into_iter(), 30.0), Some(18.0));
        assert_eq!(level([5.0].into_iter(), -1.0), Some(0.0));
        assert_eq!(level(std::iter::empty(), 1.0), Some(f64::INFINITY));
    }
}
