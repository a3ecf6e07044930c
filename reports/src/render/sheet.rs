//! A sheet: facts, plots and tables on one self-contained page.

use minijinja::{AutoEscape, Environment};
use serde::Serialize;

use super::Error;
use super::curves::Chart;

/// What a page says.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Sheet {
    /// Headline.
    pub title: String,
    /// What came of it, in a sentence.
    pub verdict: String,
    /// Whether that is good.
    pub good: bool,
    /// Names and values: what was asked, of whom.
    pub facts: Vec<(String, String)>,
    /// One below the other.
    pub sections: Vec<Section>,
}

/// A plot, a table, or both.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Section {
    /// Headline.
    pub heading: String,
    /// How to read it.
    pub note: String,
    /// Side by side.
    #[serde(skip)]
    pub charts: Vec<Chart>,
    /// Names of the columns.
    pub head: Vec<String>,
    /// Rows; the first column is text, the others are numbers.
    pub rows: Vec<Row>,
}

/// One row of a table.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Row {
    /// Its cells.
    pub cells: Vec<String>,
    /// `pass`, `fail`, or another verdict, for its colour.
    pub class: &'static str,
}

/// The page.
///
/// # Errors
/// Only faults of this crate.
pub fn sheet(sheet: &Sheet) -> Result<String, Error> {
    let mut env = Environment::new();
    env.set_auto_escape_callback(|_| AutoEscape::Html);
    env.add_template("sheet.html", include_str!("../../templates/sheet.html"))?;
    let plots: Vec<Vec<String>> =
        sheet.sections.iter().map(|s| s.charts.iter().map(Chart::svg).collect()).collect::<Result<_, _>>()?;
    Ok(env.get_template("sheet.html")?.render(minijinja::context! { sheet, plots })?)
}
