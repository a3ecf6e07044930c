//! What holds of the oracle by itself: laws between ops, gradients, pieces, limits, and what it refuses.

mod agree;
mod beside;
mod configs;
mod errors;
mod generation;
mod laws;
// its costs are read from /proc
#[cfg(target_os = "linux")]
mod limits;
mod ops;
mod pieces;
mod ports;
mod question;
mod rows;
mod sample;
mod tokens;
mod variants;
