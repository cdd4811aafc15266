//! The token bucket that bounds the rows of a function until the ladder looks at it again. Pure.

/// The rows that a function may still leave. The bucket holds the rows of one second and fills evenly.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenBucket {
    rows: f64,
}

impl Default for TokenBucket {
    /// Returns a full bucket, so that a function is recorded from its first call on.
    fn default() -> Self {
        Self { rows: f64::INFINITY }
    }
}

impl TokenBucket {
    /// Adds the tokens of this many seconds.
    pub(crate) fn fill(&mut self, seconds: f64, rows_per_s: f64) {
        self.rows = (self.rows + seconds * rows_per_s).min(rows_per_s);
    }

    /// Takes rows out and returns the probability with which each row may stay. On average at least one row
    /// stays, because no weight can make up for a probability of zero.
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
    fn a_bucket_lets_a_second_of_rows_through_at_once_and_then_as_many_as_fill_up() {
        let mut bucket = TokenBucket::default();
        bucket.fill(0.0, 1000.0);
        assert_eq!(bucket.take(600), 1.0);
        assert_eq!(bucket.take(1600), 0.25);
        bucket.fill(0.1, 1000.0);
        assert_eq!(bucket.take(1000), 0.1);
        assert_eq!(bucket.take(1000), 0.001);
        bucket.fill(60.0, 1000.0);
        assert_eq!(bucket.take(1000), 1.0);
    }
}
