//! What is said on stdout.

use std::io::Write;

/// Prints to whoever still reads: a closed pipe ends the output, not the work and its exit code.
pub(crate) fn print(text: &str) {
    _ = std::io::stdout().write_all(text.as_bytes());
}
