//! What a command about a model leaves behind: a page to look at, and the same as JSON lines beside it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use reports::render;
use reports::render::sheet::Sheet;
use serde::Serialize;

/// A page that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory or a file in it.
    #[error("cannot write {path}: {source}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The page does not render: a fault of this program.
    #[error(transparent)]
    Render(#[from] render::Error),
}

/// Writes `<name>.html` and `<name>.jsonl` into `out`, which is made if it is not there; gives the page.
///
/// # Errors
/// See [`enum@Error`].
pub fn write<R: Serialize>(out: &Path, name: &str, sheet: &Sheet, rows: &[R]) -> Result<PathBuf, Error> {
    let put = |name: String, text: String| {
        let path = out.join(name);
        fs::create_dir_all(out)
            .and_then(|()| fs::write(&path, text))
            .map_err(|source| Error::Write { path: path.clone(), source })?;
        Ok::<_, Error>(path)
    };
    put(format!("{name}.jsonl"), lines(rows)?)?;
    put(format!("{name}.html"), render::sheet::sheet(sheet)?)
}

/// Prints rows as JSON lines.
///
/// # Errors
/// Rows that do not serialise: a fault of this program.
pub fn print<R: Serialize>(rows: &[R]) -> Result<(), Error> {
    // a closed pipe ends the output, not the verdict
    let _ = std::io::stdout().write_all(lines(rows)?.as_bytes());
    Ok(())
}

fn lines<R: Serialize>(rows: &[R]) -> Result<String, Error> {
    let line = |row: &R| Ok::<_, render::Error>(serde_json::to_string(row)? + "\n");
    Ok(rows.iter().map(line).collect::<Result<String, _>>()?)
}

/// Few digits, and names for what is no number.
#[must_use]
pub fn digits(x: f64) -> String {
    if x == 0.0 || (1e-2..1e4).contains(&x.abs()) { format!("{x:.3}") } else { format!("{x:.2e}") }
}
