//! The smallest case that still fails.

use reference::problem::Problem;
use reference::spec::Dim;

use crate::case::Case;
use crate::sample::Profile;

/// Most cases that are tried.
const BUDGET: usize = 400;

/// Walks from `case` to simpler ones as long as one `fails`; gives the last and how many were tried.
pub fn shrink(case: &Case, mut fails: impl FnMut(&Case) -> bool) -> (Case, usize) {
    let (mut best, mut tried) = (case.clone(), 0);
    'simpler: loop {
        for candidate in simpler(&best) {
            if tried == BUDGET {
                break 'simpler;
            }
            tried += 1;
            if fails(&candidate) {
                best = candidate;
                continue 'simpler;
            }
        }
        break;
    }
    (best, tried)
}

/// Valid cases that are one step simpler, the boldest steps first.
#[must_use]
pub fn simpler(case: &Case) -> Vec<Case> {
    let mut found = Vec::new();
    let mut offer = |change: &dyn Fn(&mut Problem)| {
        let mut next = case.clone();
        change(&mut next.problem);
        if next != *case && next.problem.validate().is_ok() {
            found.push(next);
        }
    };
    if let Some(lengths) = &case.problem.sequences {
        packings(lengths, &mut offer);
    }
    for &dim in case.problem.spec.sizes {
        let packed = case.problem.sequences.is_some() && matches!(dim, Dim::T | Dim::B);
        for extent in smaller(case.problem.size(dim)).into_iter().filter(|_| !packed) {
            offer(&|p| resize(p, dim, extent));
        }
    }
    for name in case.problem.attrs.keys() {
        offer(&|p| _ = p.attrs.remove(name));
    }
    for port in case.problem.spec.inputs.iter().filter(|p| p.free()) {
        offer(&|p| _ = p.absent.insert(port.name));
    }
    if case.profile != Profile::Typical {
        found.push(Case { profile: Profile::Typical, ..case.clone() });
    }
    if case.seed > 2 {
        found.push(Case { seed: case.seed % 3, ..case.clone() });
    }
    found
}

/// Smaller extents, the smallest first.
fn smaller(extent: usize) -> Vec<usize> {
    let mut sizes: Vec<usize> = [1, 2, extent / 4, extent / 2, 3 * extent / 4, extent.saturating_sub(1)].to_vec();
    sizes.retain(|&s| 0 < s && s < extent);
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Key heads and those that share them go together, so that their ratio stays.
fn resize(p: &mut Problem, dim: Dim, extent: usize) {
    let heads = p.size(Dim::H).max(1);
    p.sizes.insert(dim, extent);
    for grouped in Dim::GROUPED.into_iter().filter(|_| dim == Dim::H) {
        if let Some(count) = p.sizes.get_mut(&grouped) {
            *count = extent * (*count / heads).max(1);
        }
    }
}

/// Without the packing, without one sequence, with one sequence shorter.
fn packings(lengths: &[usize], offer: &mut impl FnMut(&dyn Fn(&mut Problem))) {
    offer(&|p| p.sequences = None);
    let mut set = |lengths: Vec<usize>| {
        offer(&|p| {
            p.sizes.insert(Dim::T, lengths.iter().sum());
            p.sequences = Some(lengths.clone());
        });
    };
    for i in 0..lengths.len() {
        if lengths.len() > 1 {
            set([&lengths[..i], &lengths[i + 1..]].concat());
        }
        for length in smaller(lengths[i]) {
            let mut shorter = lengths.to_vec();
            shorter[i] = length;
            set(shorter);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shrinking_finds_the_corner() {
        let start: Case =
            "gated_delta_rule(B=2,T=129,H=2,HV=4,K=60,V=100,qk_l2norm=true,seed=7)".parse().expect("valid");
        let fails = |c: &Case| c.problem.size(Dim::T) > 64 && c.problem.size(Dim::V) >= 3;
        let (smallest, _) = shrink(&start, fails);
        let text = "gated_delta_rule(B=1,T=65,H=1,HV=1,K=1,V=3,absent=h0,dtype=f32,profile=typical,seed=1)";
        assert_eq!(smallest.to_string(), text);
    }

    #[test]
    fn packings_shrink_too() {
        let start: Case = "hgrn(D=4,seqs=0+17+1+9)".parse().expect("valid");
        let fails = |c: &Case| c.problem.sequences.as_ref().is_some_and(|s| s.len() > 1 && s.iter().any(|&n| n > 8));
        let (smallest, _) = shrink(&start, fails);
        assert_eq!(smallest.problem.sequences.as_ref().map(Vec::len), Some(2));
        assert!(smallest.problem.size(Dim::T) <= 10, "{smallest}");
    }
}
