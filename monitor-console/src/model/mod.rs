//! The model behind every face of the console: the queries, the facts that they fill, and the answers that follow from
//! the facts.
//!
//! Takes an open store and a span of time; gives structs. Each answer consists of a query that fills facts and of a
//! pure function over facts, so that the answer can be tested on tables. An answer contains the amount of data that it
//! rests on.
//!
//! The model does not depend on arguments, columns, formats and terminals: the commands, and any other face, add them.

#![allow(clippy::similar_names, reason = "callers and callees, cells and calls are the words of the subject")]

pub(crate) mod parallel;
pub(crate) mod period;
pub(crate) mod scope;
pub(crate) mod basis;
pub(crate) mod names;
pub(crate) mod number;
pub(crate) mod functions;
pub(crate) mod ranges;
pub(crate) mod call_row;
pub(crate) mod calls;
pub(crate) mod new_calls;
pub(crate) mod span_ids;
pub(crate) mod traces;
pub(crate) mod rows;
pub(crate) mod forest;
pub(crate) mod cover;
pub(crate) mod trees;
pub(crate) mod edges;
pub(crate) mod repetition;
pub(crate) mod views;
pub(crate) mod window_rows;
pub(crate) mod windows;
pub(crate) mod sums;
pub(crate) mod recent;
pub(crate) mod figures;
pub(crate) mod heat;
pub(crate) mod failures;
pub(crate) mod waterfall;
pub(crate) mod why;
pub(crate) mod compare;
pub(crate) mod findings;
pub(crate) mod prometheus;
pub(crate) mod processes;
pub(crate) mod crashes;
pub(crate) mod health;
pub(crate) mod recorders;
pub(crate) mod resources;
pub(crate) mod events;
pub(crate) mod rates;
pub(crate) mod breakers;
pub(crate) mod guards;
pub(crate) mod alerts;
pub(crate) mod schema;
pub(crate) mod metrics;
pub(crate) mod statistics;
pub(crate) mod stuck;
pub(crate) mod activity;
pub(crate) mod latest_calls;
pub(crate) mod longest;
pub(crate) mod logs;
pub(crate) mod call_tree;
pub(crate) mod last_lines;
pub(crate) mod overview;
