//! Benchmarks of guards, and of the packages that bring spans and log lines into the store: see `benches/README.md`.
//! The library itself is empty.
