//! How many rows a function may still leave before the ladder looks at it again. Pure.

/// How many rows a function may still leave: as many as fit a second, filled up evenly.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    rows: f64,
}

impl Default for Allowance {
    /// Full: what is called less often than it may leave rows is recorded from its first call on.
    fn default() -> Self {
        Self { rows: f64::INFINITY }
    }
}

impl Allowance {
    /// Lets so many seconds pass.
    pub(crate) fn fill(&mut self, seconds: f64, rows_per_s: f64) {
        self.rows = (self.rows + seconds * rows_per_s).min(rows_per_s);
    }

    /// Takes rows out; returns the probability with which each may stay. At least one is let through
    /// in the mean, since what has no chance at all no weight can make up for.
    pub(crate) fn take(&mut self, rows: u64) -> f64 {
        let rows = rows as f64;
        let granted = self.rows.max(1.0).min(rows);
        self.rows = (self.rows - granted).max(0.0);
        if rows > granted { granted / rows } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "exact values are meant")]
    use super::*;

    #[test]
    fn an_allowance_lets_a_second_of_rows_through_at_once_and_then_as_many_as_fill_up() {
        let mut allowance = Allowance::default();
        allowance.fill(0.0, 1000.0);
        assert_eq!(allowance.take(600), 1.0);
        assert_eq!(allowance.take(1600), 0.25);
        allowance.fill(0.1, 1000.0);
        assert_eq!(allowance.take(1000), 0.1);
        assert_eq!(allowance.take(1000), 0.001);
        allowance.fill(60.0, 1000.0);
        assert_eq!(allowance.take(1000), 1.0);
    }
}
