//! Tests of published crates under the layers that bring them into the store: see `tests/it`.
