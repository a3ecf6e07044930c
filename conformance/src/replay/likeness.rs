//! Which planted faults break the same outputs and gradients as a failure does: a first guess at what is wrong.

use std::collections::{BTreeMap, BTreeSet};

use crate::zoo::record::{Hunted, Line, read};

/// The committed hunts.
const RECORDS: [&str; 3] = [
    include_str!("../../../reports/records/zoo-chunk.jsonl"),
    include_str!("../../../reports/records/zoo-delta.jsonl"),
    include_str!("../../../reports/records/zoo-scan.jsonl"),
];

/// Share of what either breaks that both break, at least.
const ALIKE: f64 = 0.6;

/// Classes of faults that are named.
const NAMED: usize = 3;

/// What faults of `op`'s kernels that break nearly the same look like, in a line.
pub(super) fn likeness(op: &str, wrong: &BTreeSet<String>) -> Option<String> {
    // a record that does not parse is a matter for the test below, not for whoever looks for a fault
    let lines = RECORDS.iter().flat_map(|text| read(text.as_bytes()).unwrap_or_default());
    let hunted = lines.filter_map(|line| if let Line::Hunted(h) = line { Some(h) } else { None });
    // of a campaign that went on, what was said last
    let last: BTreeMap<String, Hunted> = hunted.filter(|h| h.op == op).map(|h| (h.name.clone(), h)).collect();
    nearest(last.into_values(), wrong)
}

fn nearest(hunted: impl Iterator<Item = Hunted>, wrong: &BTreeSet<String>) -> Option<String> {
    let known: Vec<(f64, Hunted)> = hunted.map(|h| (overlap(&h.wrong, wrong), h)).collect();
    let best = known.iter().map(|(share, _)| *share).fold(ALIKE, f64::max);
    let mut classes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (_, h) in known.iter().filter(|(share, _)| *share >= best) {
        classes.entry(&h.class).or_default().push(&h.name);
    }
    let mut classes: Vec<(&str, Vec<&str>)> = classes.into_iter().collect();
    // the sort is stable, so classes of one size stay in the order of their names
    classes.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
    let count: usize = classes.iter().map(|(_, names)| names.len()).sum();
    let class = |(class, names): &(&str, Vec<&str>)| format!("{class} ({})", names[0]);
    let named = classes.iter().take(NAMED).map(class).collect::<Vec<_>>().join("; ");
    let ports = wrong.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    (count > 0).then(|| format!("{ports} wrong looks like: {named}; {count} planted faults are most like it"))
}

/// Elements of both sets over elements of either; 0 for two empty ones.
fn overlap(a: &BTreeSet<String>, b: &BTreeSet<String>) -> f64 {
    let (both, either) = (a.intersection(b).count(), a.union(b).count());
    if either == 0 { 0.0 } else { both as f64 / either as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_records_parse_and_know_a_forgotten_cotangent() {
        for text in RECORDS {
            assert!(read(text.as_bytes()).expect("a record of ours").len() > 40);
        }
        let only = BTreeSet::from(["d_g".to_owned()]);
        let said = likeness("simple_gla", &only).expect("several faults break d_g alone");
        assert!(said.starts_with("d_g wrong looks like: "), "{said}");
        assert!(likeness("simple_gla", &BTreeSet::new()).is_none());
        assert!(likeness("gla", &only).is_none());
    }
}
