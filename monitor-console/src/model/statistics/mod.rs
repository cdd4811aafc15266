//! Statistics: pure functions over numbers. The tails of distributions come from `statrs`.

pub(crate) mod multiple;
pub(crate) mod proportions;
pub(crate) mod rank;
pub(crate) mod series;
pub(crate) mod trend;
