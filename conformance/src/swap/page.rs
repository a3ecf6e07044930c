//! What came of a replacement, as text and as a page.

use std::fmt::Write;

use reports::render::curves::Chart;
use reports::render::sheet::{self, Section, Sheet};

use super::{Outcome, Row, says};
use crate::sheet::digits;

/// The verdict in a sentence.
fn sentence(outcome: &Outcome) -> String {
    match outcome.first() {
        None => "nothing is beyond its limit".to_owned(),
        Some(row) => format!("the first beyond its limit is the {} {}: {}", row.kind, row.place, says(row)),
    }
}

fn swapped(outcome: &Outcome) -> Vec<(String, String)> {
    let who = |(layer, who, specs): &(usize, reports::record::Identity, Vec<&str>)| {
        (format!("layers.{layer}"), format!("{} of {} {} on {}", specs.join(", "), who.name, who.version, who.device))
    };
    outcome.swapped.iter().map(who).collect()
}

/// For a terminal.
pub(super) fn text(outcome: &Outcome) -> String {
    let mut text = String::new();
    for (layer, who) in swapped(outcome) {
        let _ = writeln!(text, "{layer}: {who}");
    }
    let _ = writeln!(text, "{:<44} {:<10} {:>9} {:>8} {:>9}  verdict", "place", "kind", "floors", "of", "relative");
    for row in &outcome.rows {
        let [error, bound, relative] = numbers(row);
        let (place, kind, verdict) = (&row.place, row.kind, row.verdict.kind());
        let _ = writeln!(text, "{place:<44} {kind:<10} {error:>9} {bound:>8} {relative:>9}  {verdict}");
    }
    let [exact, swapped] = outcome.loss;
    let _ = writeln!(text, "loss: {exact:.6} exact, {swapped:.6} with the candidate");
    let _ = writeln!(text, "{}", sentence(outcome));
    text
}

fn numbers(row: &Row) -> [String; 3] {
    row.worst.as_ref().map_or_else(Default::default, |m| [m.error, m.bound, m.relative].map(digits))
}

/// For a browser.
pub(super) fn page(outcome: &Outcome, command: &str) -> Sheet {
    let [exact, swapped_loss] = outcome.loss;
    let mut facts = vec![("case".to_owned(), outcome.case.clone()), ("command".to_owned(), command.to_owned())];
    facts.extend(swapped(outcome));
    facts.push(("loss".to_owned(), format!("{exact:.6} exact, {swapped_loss:.6} with the candidate")));
    let row = |row: &Row| {
        let [error, bound, relative] = numbers(row);
        let cells = vec![row.place.clone(), row.kind.to_owned(), error, bound, relative, row.verdict.kind().to_owned()];
        sheet::Row { cells: [cells, vec![says(row)]].concat(), class: row.verdict.kind() }
    };
    let head = ["place", "kind", "floors", "limit", "relative", "verdict", "why"].map(str::to_owned).to_vec();
    let rows = outcome.rows.iter().map(row).collect();
    let note = "In the order in which the run makes them: forwards, then backwards. A floor is what the declared \
                precision costs: for the candidate's own answers on the numbers that it got, for all else in the whole \
                model. Relative errors are root mean squares.";
    let sections = vec![
        Section {
            heading: "Where the model starts to differ".into(),
            charts: vec![chart(outcome)],
            ..Section::default()
        },
        Section { heading: "Everything that was judged".into(), note: note.into(), head, rows, charts: Vec::new() },
    ];
    let good = outcome.first().is_none();
    Sheet { title: "Staged replacement".into(), verdict: sentence(outcome), good, facts, sections }
}

/// Error over limit of what passes the blocks; the worst of a candidate's own answers at its layer.
fn chart(outcome: &Outcome) -> Chart {
    let rows: Vec<&Row> = outcome.rows.iter().filter(|r| !["weights", "answer"].contains(&r.kind)).collect();
    // what has no error at all lies on the ground
    let above = |ratio: f64| if ratio > GROUND { ratio } else { GROUND };
    let model = rows.iter().enumerate().filter_map(|(i, r)| Some((i as f64, above(r.ratio()?))));
    let mut own = Vec::new();
    for (layer, ..) in &outcome.swapped {
        for (back, prefix) in [(false, ""), (true, "d_")] {
            let at = rows.iter().position(|r| r.place == format!("{prefix}layers.{layer}.mixer"));
            let answers =
                outcome.rows.iter().filter(|r| r.kind == "answer" && r.place.starts_with(&format!("layers.{layer} ")));
            let ratios = answers.filter(|r| r.place.contains(" d_") == back).filter_map(Row::ratio);
            own.extend(at.map(|x| (x as f64, above(ratios.fold(0.0, f64::max)))));
        }
    }
    own.sort_by(|a: &(f64, f64), b| a.0.total_cmp(&b.0));
    Chart {
        title: "error ÷ limit".into(),
        y: "error ÷ limit".into(),
        ticks: rows.iter().map(|r| r.place.clone()).collect(),
        log: true,
        limit: Some(1.0),
        lines: vec![("the model".into(), model.collect()), ("the candidate's own answers".into(), own)],
        ..Chart::default()
    }
}

const GROUND: f64 = 1e-6;
