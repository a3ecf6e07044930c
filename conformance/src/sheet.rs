//! What a command about a model leaves behind: a page to look at, and the same as JSON lines beside it.

use std::fs;
use std::path::{Path, PathBuf};

use reports::render;
use reports::render::sheet::Sheet;
use serde::Serialize;

use crate::output::print;

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

/// Writes `<name>.html` and `<name>.jsonl` into `out`, which is made if it is not there. Then prints the rows for
/// machines, or else the text and where the page is.
///
/// # Errors
/// See [`enum@Error`].
pub fn deliver<R: Serialize>(
    out: &Path,
    name: &str,
    sheet: &Sheet,
    rows: &[R],
    json: bool,
    text: &str,
) -> Result<(), Error> {
    let put = |name: String, text: String| {
        let path = out.join(name);
        fs::create_dir_all(out)
            .and_then(|()| fs::write(&path, text))
            .map_err(|source| Error::Write { path: path.clone(), source })?;
        Ok::<_, Error>(path)
    };
    let line = |row: &R| Ok::<_, render::Error>(serde_json::to_string(row)? + "\n");
    let lines = rows.iter().map(line).collect::<Result<String, _>>()?;
    let page = put(format!("{name}.html"), render::sheet::sheet(sheet)?)?;
    print(&if json { lines.clone() } else { format!("{text}report: {}\n", page.display()) });
    put(format!("{name}.jsonl"), lines)?;
    Ok(())
}

/// Few digits, and names for what is no number.
#[must_use]
pub fn digits(x: f64) -> String {
    if x == 0.0 || (1e-2..1e4).contains(&x.abs()) { format!("{x:.3}") } else { format!("{x:.2e}") }
}
