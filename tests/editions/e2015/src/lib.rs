//! Functions in edition 2015: see `tests`.
