//! What became of twins, as text and as a page.

use std::fmt::Write;

use reports::record::{Environment, Identity};
use reports::render::curves::Chart;
use reports::render::sheet::{Row, Section, Sheet};

use super::{Curve, Plan, Twins};
use crate::sheet::digits;

/// One family in a line.
pub(super) fn line(t: &Twins) -> String {
    let ended = match (&t.candidate.stopped, t.parted) {
        (Some(why), _) => format!("stopped at step {}: {why}", t.candidate.losses.len()),
        (None, Some(step)) => format!("parts at step {step}"),
        (None, None) => match t.blind {
            Some(step) => format!("does not part before step {step}, from which on rounded twins differ as much"),
            None => "never parts".to_owned(),
        },
    };
    let wrong = if t.wrong.is_empty() { String::new() } else { format!("; at the first step {}", t.wrong.join("; ")) };
    let [first, oracle, candidate] = [t.oracle.losses[0], t.oracle.last(), t.candidate.last()].map(digits);
    format!("{:<16} loss {first} → {oracle} (oracle), {candidate} (candidate): {ended}{wrong}", t.family)
}

const HEAD: [&str; 13] = [
    "family",
    "parameters",
    "first loss",
    "chance",
    "oracle reached",
    "candidate reached",
    "most apart",
    "parts at step",
    "judged until step",
    "oracle tokens/s",
    "candidate tokens/s",
    "oracle peak MiB",
    "candidate peak MiB",
];

fn cells(t: &Twins) -> Vec<String> {
    let rate = |c: &Curve| {
        let done = t.tokens as f64 * c.losses.len() as f64 / t.oracle.losses.len() as f64;
        if c.seconds > 0.0 { format!("{:.0}", done / c.seconds) } else { "–".to_owned() }
    };
    let memory =
        |c: &Curve| c.peak_bytes.map_or_else(|| "–".to_owned(), |b| format!("{:.0}", b as f64 / f64::from(1 << 20)));
    let apart = gaps(t).iter().map(|g| g.1).fold(0.0, f64::max);
    vec![
        t.family.clone(),
        t.parameters.to_string(),
        digits(t.oracle.losses[0]),
        digits(t.chance),
        digits(t.oracle.last()),
        digits(t.candidate.last()),
        digits(apart),
        t.parted.map_or_else(|| "never".to_owned(), |s| s.to_string()),
        t.blind.map_or_else(|| "the end".to_owned(), |s| s.to_string()),
        rate(&t.oracle),
        rate(&t.candidate),
        memory(&t.oracle),
        memory(&t.candidate),
    ]
}

/// For a terminal.
pub(super) fn text(all: &[Twins]) -> String {
    let rows: Vec<Vec<String>> =
        std::iter::once(HEAD.map(str::to_owned).to_vec()).chain(all.iter().map(cells)).collect();
    let widths: Vec<usize> =
        (0..HEAD.len()).map(|i| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let padded = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        let _ = writeln!(text, "{}", padded.collect::<Vec<_>>().join("  ").trim_end());
    }
    let _ = writeln!(text, "{}", sentence(all));
    text
}

fn sentence(all: &[Twins]) -> String {
    let bad: Vec<&str> = all.iter().filter(|t| !t.fine()).map(|t| t.family.as_str()).collect();
    match bad.is_empty() {
        true => format!("families trained: {}; none is further from the oracle's than the precision allows", all.len()),
        false => format!(
            "families trained: {}; further from the oracle's than the precision allows: {}",
            all.len(),
            bad.join(", ")
        ),
    }
}

/// For a browser.
pub(super) fn page(all: &[Twins], who: &Identity, plan: &Plan, environment: &Environment) -> Sheet {
    let mut facts = vec![
        ("candidate".to_owned(), format!("{} {} on {}", who.name, who.version, who.device)),
        ("training".to_owned(), format!("{} steps in {}, seed {}", plan.steps, plan.dtype, plan.seed)),
        ("command".to_owned(), environment.command.clone()),
        ("date".to_owned(), environment.date.clone()),
    ];
    facts.extend(environment.machine.iter().map(|(name, fact)| (name.clone(), fact.clone())));
    let row = |t: &Twins| Row { cells: cells(t), class: if t.fine() { "pass" } else { "fail" } };
    let overview = Section {
        heading: "Convergence, throughput, memory".into(),
        note: "The task: values of four keys are told once, then asked at random; chance is the loss of who does not \
               look back. Twins are judged until rounded ones drift so far apart that nothing could be told. What was \
               reached is the mean of the last ten steps. Throughput counts forward and backward; memory is that of \
               this process, or what a candidate of another process measures itself."
            .into(),
        head: HEAD.map(str::to_owned).to_vec(),
        rows: all.iter().map(row).collect(),
        charts: Vec::new(),
    };
    let sections = std::iter::once(overview).chain(all.iter().map(section)).collect();
    let good = all.iter().all(Twins::fine);
    Sheet { title: "Training twins".into(), verdict: sentence(all), good, facts, sections }
}

fn section(t: &Twins) -> Section {
    let steps = |losses: &[f64]| losses.iter().enumerate().map(|(i, &y)| (i as f64, y)).collect::<Vec<_>>();
    let mark = t.parted.map(|s| s as f64);
    let chance = vec![(0.0, t.chance), (t.oracle.losses.len() as f64 - 1.0, t.chance)];
    let lines = [("oracle", steps(&t.oracle.losses)), ("candidate", steps(&t.candidate.losses)), ("chance", chance)];
    let named = |lines: Vec<(&str, Vec<(f64, f64)>)>| lines.into_iter().map(|(n, l)| (n.to_owned(), l)).collect();
    let losses = Chart {
        title: "loss".into(),
        x: "step".into(),
        y: "loss".into(),
        mark,
        lines: named(lines.to_vec()),
        ..Chart::default()
    };
    let apart = Chart {
        title: "how far apart".into(),
        x: "step".into(),
        y: "|candidate − oracle|".into(),
        log: true,
        mark,
        lines: named(vec![("candidate", gaps(t)), ("what the precision allows", steps(&t.corridor))]),
        ..Chart::default()
    };
    let note = format!("{}. {}", line(t), t.case);
    Section { heading: t.family.clone(), note, charts: vec![losses, apart], ..Section::default() }
}

/// Distances of the two curves.
fn gaps(t: &Twins) -> Vec<(f64, f64)> {
    let pairs = t.oracle.losses.iter().zip(&t.candidate.losses).enumerate();
    pairs.map(|(i, (a, b))| (i as f64, (a - b).abs())).collect()
}
