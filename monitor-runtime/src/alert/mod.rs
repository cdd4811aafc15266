//! Alerts: rules on the figures of functions and of the recorder, and which of them hold.
//!
//! Takes rules, and the figures of closed windows of 10 s, one window after the other; gives the alerts that changed.
//! The module is pure: the collector and a reader of `latency_window` get the same alerts from the same windows. It
//! does not know where rules are kept, who receives alerts, and what time it is.

mod figures;
mod rule;
mod state;
mod stuck;
mod machine;
mod watch;

pub use figures::{Recorder, Usual, WindowFigures};
pub use machine::State;
pub use rule::{AlertLevel, ConditionError, Measure, Rule, parse_condition, split_metric_name};
pub use state::{Alert, AlertState};
pub use stuck::{AgedCall, STUCK_NS_MIN, find_stuck_calls, stuck_limit_ns};
pub use watch::{AlertChange, Alerts, Subject};
