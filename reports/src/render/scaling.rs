//! Time for a token and head against the number of tokens and against the number of heads, all candidates in one plot.

use std::collections::{BTreeMap, BTreeSet};

use super::Error;
use super::curves::Chart;
use crate::record::Run;
use crate::speed::median;

/// Extents of a case that is neither packed, nor a step of generation, nor of particular inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    tokens: usize,
    heads: usize,
    rows: usize,
}

/// What one pair of plots shows: op, pass, device, width of a head.
type Key<'a> = (&'a str, &'a str, &'a str, usize);

/// By candidate the nanoseconds for a token and head at each place.
type Lines<'a> = BTreeMap<&'a str, BTreeMap<Place, f64>>;

/// SVGs, two for each op, pass, device and width that were timed at several places.
pub(super) fn plots(runs: &[Run]) -> Result<Vec<String>, Error> {
    let mut groups: BTreeMap<Key<'_>, Lines<'_>> = BTreeMap::new();
    for run in runs {
        for timed in &run.timed {
            let Some((place, width)) = place(&timed.case) else { continue };
            let Some(ns) = median(timed) else { continue };
            let key = (timed.op.as_str(), timed.pass.as_str(), run.candidate.device.as_str(), width);
            let line = groups.entry(key).or_default().entry(&run.candidate.name).or_default();
            line.insert(place, ns / (place.rows * place.tokens * place.heads) as f64);
        }
    }
    let mut plots = Vec::new();
    for (key, lines) in &groups {
        let places: BTreeSet<Place> = lines.values().flat_map(BTreeMap::keys).copied().collect();
        if places.len() > 1 {
            let mut places: Vec<Place> = places.into_iter().collect();
            plots.push(chart(key, "tokens", &places, lines).svg()?);
            places.sort_by_key(|p| (p.heads, p.tokens, p.rows));
            plots.push(chart(key, "heads", &places, lines).svg()?);
        }
    }
    Ok(plots)
}

fn chart((op, pass, device, width): &Key<'_>, by: &str, places: &[Place], lines: &Lines<'_>) -> Chart {
    let tick = |p: &Place| match by {
        "tokens" => format!("T={} H={} B={}", p.tokens, p.heads, p.rows),
        _ => format!("H={} T={} B={}", p.heads, p.tokens, p.rows),
    };
    let points = |line: &BTreeMap<Place, f64>| {
        places.iter().enumerate().filter_map(|(i, p)| Some((i as f64, *line.get(p)?))).collect()
    };
    Chart {
        title: format!("{op}, {pass}, heads of {width}, by {by} ({device})"),
        y: "ns for a token and head".to_owned(),
        ticks: places.iter().map(tick).collect(),
        log: true,
        lines: lines.iter().map(|(name, line)| ((*name).to_owned(), points(line))).collect(),
        ..Chart::default()
    }
}

/// Where a case stands, and the width of its heads; channels without heads count as heads of 128.
fn place(case: &str) -> Option<(Place, usize)> {
    let inside = case.split_once('(')?.1.trim_end_matches(')');
    let fields: BTreeMap<&str, &str> = inside.split(',').filter_map(|field| field.split_once('=')).collect();
    let number = |name: &str| fields.get(name).and_then(|text| text.parse::<usize>().ok());
    let ordinary = fields.get("profile").is_none_or(|p| *p == "typical") && !fields.contains_key("seqs");
    let heads = number("HV").or_else(|| number("HQ")).or_else(|| number("H"));
    let heads = heads.or_else(|| number("D").map(|d| d.div_ceil(128)))?;
    let place = Place { tokens: number("T")?, heads, rows: number("B")? };
    (ordinary && place.tokens > 1).then(|| (place, number("V").or_else(|| number("K")).unwrap_or(128)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Identity, Timed};

    fn run(name: &str, cases: &[&str]) -> Run {
        let timed = |case: &&str| Timed {
            op: "gla".into(),
            case: (*case).into(),
            pass: "forward".into(),
            times_ns: vec![1e6],
            checked: true,
            ..Timed::default()
        };
        let candidate = Identity { name: name.into(), device: "H100".into(), ..Identity::default() };
        Run { candidate, timed: cases.iter().map(timed).collect(), ..Run::default() }
    }

    #[test]
    fn places_are_read_from_cases() {
        let of = |tokens, heads, rows| Place { tokens, heads, rows };
        assert_eq!(place("gla(B=2,T=16,H=3,K=64,V=32,profile=typical)"), Some((of(16, 3, 2), 32)));
        assert_eq!(place("gated_delta_rule(B=1,T=16,H=2,HV=8,V=128)"), Some((of(16, 8, 1), 128)));
        assert_eq!(place("hgrn(B=1,T=16,D=256)"), Some((of(16, 2, 1), 128)));
        for other in ["gla(B=1,T=1,H=3,V=8)", "gla(B=1,T=9,H=3,V=8,seqs=4+5)", "gla(B=1,T=9,H=1,profile=slow_decay)"] {
            assert_eq!(place(other), None, "{other}");
        }
    }

    #[test]
    fn several_places_make_a_plot_by_tokens_and_one_by_heads() {
        let cases = ["gla(B=1,T=64,H=8,V=128)", "gla(B=8,T=8,H=8,V=128)"];
        let drawn = plots(&[run("cuda", &cases), run("jla", &cases[..1])]).expect("drawable");
        assert_eq!(drawn.len(), 2);
        assert!(drawn[0].contains("by tokens") && drawn[1].contains("by heads"));
        assert!(drawn.iter().all(|svg| svg.contains("cuda") && svg.contains("jla") && svg.contains("T=64")));
        assert!(plots(&[run("cuda", &cases[..1])]).expect("drawable").is_empty(), "one place is no line");
        let mut wrong = run("cuda", &cases);
        wrong.timed.iter_mut().for_each(|t| t.checked = false);
        assert!(plots(&[wrong]).expect("drawable").is_empty(), "what is wrong has no time");
    }
}
