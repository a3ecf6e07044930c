//! What people read of a bench.

use std::fmt::Write;
use std::path::Path;

use reports::record::Identity;

use super::Row;
use crate::candidate::Reply;
use crate::case::Case;

/// `forward` or `forward+backward`.
pub(super) const fn pass(backward: bool) -> &'static str {
    if backward { "forward+backward" } else { "forward" }
}

/// One case: a line for each candidate, the first being what the others are compared with.
pub(super) fn render(case: &Case, backward: bool, identities: &[Identity], rows: &[Row]) -> String {
    let mut text = format!("{case}  {}\n", pass(backward));
    let width = identities.iter().map(|i| i.name.chars().count()).max().unwrap_or(0).max(9);
    text.push_str(&line(
        width,
        ["candidate", "median", "p10 .. p90", "× floor", "peak", "workspace", "host", "first", "error", "× the first"],
    ));
    for (identity, row) in identities.iter().zip(rows) {
        let timed = &row.timed;
        let Some(middle) = median(&timed.times_ns) else {
            let problem = timed.problem.as_deref().unwrap_or("no time");
            _ = writeln!(text, "  {:<width$}  {problem}", identity.name);
            continue;
        };
        let (low, high) = (quantile(&timed.times_ns, 0.1), quantile(&timed.times_ns, 0.9));
        let floors = timed.floor_ns.map_or("-".into(), |floor| format!("{:.2}", middle / floor));
        let time = |ns: Option<f64>| ns.map_or("-".into(), duration);
        let error = timed.errors.iter().map(|m| m.error).reduce(f64::max);
        text.push_str(&line(
            width,
            [
                &identity.name,
                &duration(middle),
                &format!("{} .. {}", duration(low), duration(high)),
                &floors,
                &bytes(timed.peak_bytes),
                &bytes(timed.workspace_bytes),
                &time(timed.host_ns),
                &time(timed.first_call_ns),
                &error.map_or("-".into(), |e| format!("{e:.2}")),
                &ratio(rows.first(), row),
            ],
        ));
    }
    text.push('\n');
    text
}

fn line(width: usize, cells: [&str; 10]) -> String {
    let [name, middle, spread, floors, peak, workspace, host, first, error, ratio] = cells;
    let line = format!(
        "  {name:<width$}  {middle:>10}  {spread:>24}  {floors:>7}  {peak:>10}  {workspace:>10}  {host:>9}  \
         {first:>9}  {error:>5}  {ratio}"
    );
    format!("{}\n", line.trim_end())
}

/// The last lines.
pub(super) fn closing(cpu: bool, records: &Path) -> String {
    let columns = "host: what it takes to queue a call; first: the first call at this width, compilation included; \
                   error: the greatest root mean square of an output or gradient of a small case, in floors.\n";
    let caution = if cpu {
        "Wall-clock times of processor candidates compare candidates within this run; they are no claims about speed.\n"
    } else {
        ""
    };
    format!("{columns}{caution}records: {}\n", records.display())
}

/// How many times as long as `first`, and the range over the turns.
fn ratio(first: Option<&Row>, row: &Row) -> String {
    let medians = first.and_then(|f| Some((median(&row.timed.times_ns)?, median(&f.timed.times_ns)?)));
    let (Some((own, base)), Some(first)) = (medians, first) else { return "-".into() };
    if std::ptr::eq(first, row) {
        return "1".into();
    }
    let turns: Vec<f64> = row.turns.iter().zip(&first.turns).map(|(own, base)| own / base).collect();
    format!("{:.2} ({:.2} .. {:.2})", own / base, quantile(&turns, 0.0), quantile(&turns, 1.0))
}

/// The middle value; `None` of nothing.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| quantile(values, 0.5))
}

/// The value below which a share `q` of the values lies, interpolated; NaN of nothing.
fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = q * last as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * place.fract()
}

fn duration(ns: f64) -> String {
    match ns {
        _ if ns < 1e3 => format!("{ns:.0} ns"),
        _ if ns < 1e6 => format!("{:.2} us", ns / 1e3),
        _ if ns < 1e9 => format!("{:.3} ms", ns / 1e6),
        _ => format!("{:.3} s", ns / 1e9),
    }
}

fn bytes(count: Option<u64>) -> String {
    let Some(count) = count else { return "-".into() };
    let (mut size, mut unit) = (count as f64, "B");
    for larger in ["KiB", "MiB", "GiB"] {
        if size >= 1024.0 {
            (size, unit) = (size / 1024.0, larger);
        }
    }
    if unit == "B" { format!("{count} B") } else { format!("{size:.1} {unit}") }
}

/// Why there is no time.
pub(super) fn sentence(reply: &Reply) -> String {
    match reply {
        Reply::Done { .. } => "answered".to_owned(),
        Reply::Declined(reason) => format!("declined: {reason}"),
        Reply::Failed(message) => format!("failed: {message}"),
        Reply::Trespassed(message) => format!("trespassed: {message}"),
        Reply::OutOfMemory(message) => format!("out of memory: {message}"),
        Reply::Malformed(message) => format!("malformed answer: {message}"),
        Reply::Crashed(message) => format!("crashed: {message}"),
        Reply::Hung(after) => format!("no answer in {} s", after.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!([0.0, 0.5, 1.0].map(|q| (quantile(&values, q) * 10.0) as u64), [10, 25, 40]);
        assert_eq!(median(&[]), None);
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn sizes_and_times_have_units() {
        assert_eq!(bytes(Some(1536)), "1.5 KiB");
        assert_eq!(bytes(Some(17)), "17 B");
        assert_eq!(bytes(None), "-");
        assert_eq!(duration(1_234_567.0), "1.235 ms");
    }
}
