//! Timings side by side: medians, fractions of the floor, ratios to the first candidate of the same case.

use serde::Serialize;

use crate::record::{Run, Timed};

/// One timed case of one candidate.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    pub(super) case: String,
    pub(super) pass: String,
    pub(super) candidate: String,
    pub(super) device: String,
    pub(super) median_ms: Option<f64>,
    pub(super) low_ms: Option<f64>,
    pub(super) high_ms: Option<f64>,
    pub(super) of_floor: Option<f64>,
    pub(super) of_first: Option<f64>,
    pub(super) peak_mib: Option<f64>,
    pub(super) workspace_mib: Option<f64>,
    pub(super) problem: Option<String>,
    pub(super) ran: String,
}

/// The timings, cases together, candidates in the order of the runs.
pub(super) fn rows(runs: &[Run]) -> Vec<Row> {
    let mut keys: Vec<(&str, &str)> = Vec::new();
    for timed in runs.iter().flat_map(|r| &r.timed) {
        if !keys.contains(&(&timed.case, &timed.pass)) {
            keys.push((&timed.case, &timed.pass));
        }
    }
    let mut rows = Vec::new();
    for (case, pass) in keys {
        let mut first = None;
        for run in runs {
            for timed in run.timed.iter().filter(|t| t.case == case && t.pass == pass) {
                let row = row(run, timed, first);
                first = first.or(row.median_ms);
                rows.push(row);
            }
        }
    }
    rows
}

fn row(run: &Run, timed: &Timed, first: Option<f64>) -> Row {
    let mut times: Vec<f64> = timed.times_ns.iter().map(|t| t / 1e6).collect();
    times.sort_by(f64::total_cmp);
    // a time counts only when what was timed is right
    let counts = timed.checked && timed.problem.is_none();
    let at = |q: f64| times.get(((times.len().max(1) - 1) as f64 * q).round() as usize).copied().filter(|_| counts);
    let median_ms = at(0.5);
    let unchecked = (!timed.checked && timed.problem.is_none()).then(|| "its outputs were not found right".to_owned());
    let mib = |bytes: Option<u64>| bytes.map(|b| b as f64 / f64::from(1 << 20));
    Row {
        case: timed.case.clone(),
        pass: timed.pass.clone(),
        candidate: run.candidate.name.clone(),
        device: run.candidate.device.clone(),
        median_ms,
        low_ms: at(0.1),
        high_ms: at(0.9),
        of_floor: median_ms.zip(timed.floor_ns).map(|(t, floor)| t * 1e6 / floor),
        of_first: median_ms.zip(first.or(median_ms)).map(|(t, first)| t / first),
        peak_mib: mib(timed.peak_bytes),
        workspace_mib: mib(timed.workspace_bytes),
        problem: timed.problem.clone().or(unchecked),
        ran: timed.ran.clone(),
    }
}
