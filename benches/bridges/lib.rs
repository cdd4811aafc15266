//! Benchmarks of the packages that bring spans into the store: see `benches/README.md`.
