//! What is said on stdout.

use std::io::Write;

use reports::record::{self, Line};

/// Prints to whoever still reads: a closed pipe ends the output, not the work and its exit code.
pub(crate) fn print(text: &str) {
    _ = std::io::stdout().write_all(text.as_bytes());
}

/// Prints a record in the same way.
pub(crate) fn print_record(line: &Line) {
    _ = record::write(&mut std::io::stdout(), line);
}
