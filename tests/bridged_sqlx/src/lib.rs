//! Tests of sqlx under the layer that brings tracing's spans into the store: see `tests/it.rs`.
