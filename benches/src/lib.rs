//! Criterion benches, named by case strings; see `benches/`.
