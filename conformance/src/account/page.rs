//! The account, as text and as a page.

use std::fmt::Write;

use reports::render::curves::Chart;
use reports::render::sheet::{self, Section, Sheet};

use super::{Account, Row};
use crate::sheet::digits;

const HEAD: [&str; 10] =
    ["place", "what", "range", "type", "norm", "largest", "smallest", "became 0", "NaN or Inf", "error"];

fn sentence(account: &Account) -> String {
    let says = |r: &&Row| {
        let at = r.at.as_deref().unwrap_or_default();
        format!("{} {} at {at:?} in {} with {}", r.what, r.place, r.dtype, r.initializer_range)
    };
    match account.first().iter().map(says).collect::<Vec<_>>() {
        none if none.is_empty() => "no NaN, no Inf".to_owned(),
        some => format!("the first NaN or Inf: {}", some.join("; ")),
    }
}

fn cells(row: &Row) -> Vec<String> {
    let smallest = if row.smallest.is_finite() { digits(row.smallest) } else { "–".to_owned() };
    let counts = [row.vanished, row.not_finite].map(|n| n.to_string());
    let [vanished, not_finite] = counts;
    let numbers = [digits(row.norm), digits(row.largest), smallest, vanished, not_finite, digits(row.error)];
    let names = [row.place.clone(), row.what.to_owned(), row.initializer_range.to_string(), row.dtype.to_owned()];
    names.into_iter().chain(numbers).collect()
}

/// For a terminal: activations and the gradients by them; the page has those by parameters too.
pub(super) fn text(account: &Account) -> String {
    let mut text = String::new();
    let mut line = |cells: &[String]| {
        let _ = write!(text, "{:<18} {:<11} {:>6} {:<5}", cells[0], cells[1], cells[2], cells[3]);
        let rest: String = cells[4..].iter().map(|c| format!(" {c:>10}")).collect();
        let _ = writeln!(text, "{rest}");
    };
    line(&HEAD.map(str::to_owned));
    account.rows.iter().filter(|r| r.what != "weights").for_each(|row| line(&cells(row)));
    for (range, dtype, loss) in &account.losses {
        let _ = writeln!(text, "loss {loss:.6} in {dtype} with initializer_range {range}");
    }
    let _ = writeln!(text, "{}", sentence(account));
    text
}

/// For a browser.
pub(super) fn page(account: &Account, command: &str) -> Sheet {
    let mut facts = vec![("case".to_owned(), account.case.clone()), ("command".to_owned(), command.to_owned())];
    let loss = |(range, dtype, loss): &(f64, &str, f64)| (format!("loss, {range}, {dtype}"), format!("{loss:.6}"));
    facts.extend(account.losses.iter().map(loss));
    let row = |r: &Row| {
        let class = if r.not_finite > 0 { "fail" } else { "" };
        sheet::Row { cells: cells(r), class }
    };
    let lines = |what| Section {
        note: "Norms are root mean squares of what the type stores.".into(),
        charts: vec![chart(account, what, "norm", |r| r.norm), chart(account, what, "largest", |r| r.largest)],
        ..Section::default()
    };
    let section = |heading: &str, section: Section| Section { heading: heading.into(), ..section };
    let table = Section {
        note: "Each precision with every operation rounded as it would be; error is relative to f64.".into(),
        head: HEAD.map(str::to_owned).to_vec(),
        rows: account.rows.iter().map(row).collect(),
        ..Section::default()
    };
    Sheet {
        title: "Stability account".into(),
        verdict: sentence(account),
        good: account.first().is_empty(),
        facts,
        sections: vec![
            section("Activations", lines("activation")),
            section("Gradients by activations", lines("gradient")),
            section("Sensitivity to initializer_range", sensitivity(account)),
            section("Everything", table),
        ],
    }
}

/// The `f64` norms of each range side by side.
fn sensitivity(account: &Account) -> Section {
    let exact: Vec<&Row> = account.rows.iter().filter(|r| r.dtype == "f64").collect();
    let mut ranges: Vec<f64> = exact.iter().map(|r| r.initializer_range).collect();
    ranges.dedup();
    let each = exact.len() / ranges.len().max(1);
    let row = |i: usize| {
        let norms: Vec<f64> = (0..ranges.len()).map(|k| exact[k * each + i].norm).collect();
        let times = norms.iter().map(|n| n / norms[norms.len() - 1]).map(digits);
        let names = [exact[i].place.clone(), exact[i].what.to_owned()];
        let cells = names.into_iter().chain(norms.iter().map(|&n| digits(n))).chain(times).collect();
        sheet::Row { cells, class: "" }
    };
    let columns = ranges.iter().map(|r| format!("norm with {r}"));
    let last = ranges.last().copied().unwrap_or(f64::NAN);
    let times = ranges.iter().map(|r| format!("{r} over {last}"));
    let head = ["place", "what"].map(str::to_owned).into_iter().chain(columns).chain(times).collect();
    let note = "Norms in f64, and how many times they are larger with each range than with the last one.";
    Section { note: note.into(), head, rows: (0..each).map(row).collect(), ..Section::default() }
}

fn chart(account: &Account, what: &str, name: &str, value: fn(&Row) -> f64) -> Chart {
    let mut lines: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    let mut ticks: Vec<String> = Vec::new();
    for row in account.rows.iter().filter(|r| r.what == what) {
        let line = format!("{} {}", row.dtype, row.initializer_range);
        let at = ticks.iter().position(|t| *t == row.place).unwrap_or_else(|| {
            ticks.push(row.place.clone());
            ticks.len() - 1
        });
        match lines.iter_mut().find(|l| l.0 == line) {
            Some(known) => known.1.push((at as f64, value(row))),
            None => lines.push((line, vec![(at as f64, value(row))])),
        }
    }
    Chart { title: format!("{name}, {what}"), y: name.into(), ticks, log: true, lines, ..Chart::default() }
}
