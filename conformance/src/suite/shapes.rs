//! Cases of shapes that the walk meets nowhere, or not together.

use reference::rounded::CHUNK;
use reference::spec::{Dim, Level, OpSpec};
use reference::tensor::DType;

use super::{Recipe, plain};
use crate::case::{Case, products};
use crate::sample::Profile;

/// Several key heads, each with several value heads: with one of either, a wrong group is the right one.
pub(super) fn grouped<'a>(spec: &'static OpSpec, recipe: &'a Recipe) -> impl Iterator<Item = Case> + 'a {
    let has = Dim::GROUPED.iter().any(|d| spec.sizes.contains(d)) && spec.sizes.contains(&Dim::H);
    let make = move |(i, &(h, group)): (usize, &(usize, usize))| {
        let mut case = plain(spec, recipe, recipe.walk + i);
        let heads = Dim::GROUPED.into_iter().filter(|d| spec.sizes.contains(d)).map(|d| (d, h * group));
        case.problem.sizes.extend(heads.chain([(Dim::H, h), (Dim::T, recipe.lengths[0])]));
        shorten(&mut case, recipe, CHUNK);
        case.problem.mend();
        case
    };
    recipe.grouped.iter().enumerate().filter(move |_| has).map(make)
}

/// Widths that tiles do not like, of one head.
pub(super) fn awkward<'a>(spec: &'static OpSpec, recipe: &'a Recipe) -> impl Iterator<Item = Case> + 'a {
    let has = [Dim::K, Dim::V, Dim::D].iter().any(|d| spec.sizes.contains(d));
    let make = move |(i, &(k, v)): (usize, &(usize, usize))| {
        let mut case = plain(spec, recipe, recipe.walk + i);
        let extent = |&dim: &Dim| match dim {
            Dim::K => Some(k),
            Dim::V | Dim::D => Some(v),
            Dim::H | Dim::HV | Dim::HQ | Dim::B => Some(1),
            Dim::T => Some(recipe.lengths[1]),
            _ => None,
        };
        case.problem.sizes.extend(spec.sizes.iter().filter_map(|d| Some((*d, extent(d)?))));
        case.problem.mend();
        case
    };
    recipe.awkward.iter().enumerate().filter(move |_| has).map(make)
}

/// Many tokens, few of everything else: a state that remembers them all and, where there are gates, one that forgets,
/// in 32 bits and in 16, for which kernels have different plans.
/// Of that there are several heads, but fewer than a device has multiprocessors for.
pub(super) fn long<'a>(spec: &'static OpSpec, recipe: &'a Recipe) -> impl Iterator<Item = Case> + 'a {
    let has = spec.level == Level::Op && spec.sizes.contains(&Dim::T);
    let gated = Profile::SlowDecay.concerns(spec);
    let make = move |i: usize| {
        let (profile, dtype, heads) = match i {
            0 if gated => (Profile::SlowDecay, DType::Bf16, &[(1, 8)]),
            0 => (Profile::Typical, DType::Bf16, &[(1, 8)]),
            1 => (Profile::Typical, DType::F32, &[(3, 1)]),
            _ => (Profile::Typical, DType::Bf16, &[(3, 1)]),
        };
        let narrow = Recipe { lengths: recipe.long, widths: &[(16, 8)], heads, ..*recipe };
        Case { profile, dtype, ..plain(spec, &narrow, i) }
    };
    (0..recipe.long.len()).filter(move |i| has && (*i == 0 || gated)).map(make)
}

/// The case of a recurrence, made cheaper until its products are no more than a recipe's: one row, fewer tokens, fewer
/// heads, at last fewer tokens than a chunk has. What is packed keeps its sequences and has fewer columns of values.
pub(super) fn lightened(mut case: Case, recipe: &Recipe) -> Case {
    if !is_heavy(&case, recipe) {
        return case;
    }
    shorten(&mut case, recipe, CHUNK);
    for most in [2, 1] {
        let sizes = case.problem.spec.sizes;
        if is_heavy(&case, recipe) && sizes.contains(&Dim::H) {
            let group = |dim| case.problem.size(dim) / case.problem.size(Dim::H).max(1);
            let grouped = Dim::GROUPED.into_iter().filter(|d| sizes.contains(d));
            let fewer: Vec<_> = grouped.map(|d| (d, group(d).min(most))).chain([(Dim::H, 1)]).collect();
            case.problem.sizes.extend(fewer);
        }
    }
    shorten(&mut case, recipe, 0);
    while case.problem.sequences.is_some() && is_heavy(&case, recipe) && case.problem.size(Dim::V) > NARROW {
        let narrower = case.problem.size(Dim::V) / 2;
        case.problem.sizes.insert(Dim::V, narrower);
    }
    case.problem.mend();
    case
}

/// Columns that a packed case keeps.
const NARROW: usize = 32;

fn is_heavy(case: &Case, recipe: &Recipe) -> bool {
    !case.problem.spec.states.is_empty() && products(&case.problem) > recipe.work
}

/// One row, then the longest of the recipe's lengths beyond `least` that is not too dear.
fn shorten(case: &mut Case, recipe: &Recipe, least: usize) {
    if case.problem.sequences.is_some() {
        return;
    }
    let mut shorter: Vec<usize> = recipe.lengths.iter().copied().filter(|&length| length > least).collect();
    shorter.sort_unstable();
    shorter.retain(|&length| length < case.problem.size(Dim::T));
    if is_heavy(case, recipe) && case.problem.spec.sizes.contains(&Dim::B) {
        case.problem.sizes.insert(Dim::B, 1);
    }
    while is_heavy(case, recipe)
        && let Some(length) = shorter.pop()
    {
        case.problem.sizes.insert(Dim::T, length);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Size, cases_of};
    use super::*;

    /// Products of the full suite of everything that we have kernels for: 20 minutes of two cores at 3 µs each,
    /// gradients, their floors and all checks included.
    const BUDGET: usize = 800_000_000;

    #[test]
    fn full_keeps_its_budget() {
        let ours = reference::specs().filter(|spec| optimized::kernel_hash(spec.name).is_some());
        let all: Vec<Case> = ours.flat_map(|spec| cases_of(spec, Size::Full)).collect();
        let whole: usize = all.iter().map(|case| products(&case.problem)).sum();
        assert!(whole <= BUDGET, "{whole}");
        let wide = |c: &&Case| c.problem.size(Dim::K) >= 128 && c.problem.size(Dim::V) >= 128;
        let crossing = all.iter().filter(wide).filter(|c| c.problem.size(Dim::T) > CHUNK).count();
        assert!(crossing > 50, "{crossing}");
    }

    #[test]
    fn what_is_too_dear_loses_rows_then_tokens_then_heads_and_keeps_its_groups() {
        let light = |text: &str| lightened(text.parse().expect(text), &super::super::FULL).to_string();
        let kept = "gated_delta_rule(B=2,T=65,H=2,HV=2,K=32,V=32,dtype=f32,profile=typical,seed=1)";
        assert_eq!(light(kept), kept);
        let wide = "gated_delta_rule(B=3,T=257,H=2,HV=4,K=64,V=64,dtype=f32,profile=typical,seed=1)";
        assert_eq!(light(wide), "gated_delta_rule(B=1,T=65,H=2,HV=4,K=64,V=64,dtype=f32,profile=typical,seed=1)");
        let wider = "gated_delta_rule(B=3,T=257,H=2,HV=4,K=128,V=64,dtype=f32,profile=typical,seed=1)";
        assert_eq!(light(wider), "gated_delta_rule(B=1,T=65,H=1,HV=2,K=128,V=64,dtype=f32,profile=typical,seed=1)");
        let widest = "gated_delta_rule(B=3,T=257,H=2,HV=4,K=128,V=256,dtype=f32,profile=typical,seed=1)";
        assert_eq!(light(widest), "gated_delta_rule(B=1,T=32,H=1,HV=1,K=128,V=256,dtype=f32,profile=typical,seed=1)");
        let packed = "gla(B=1,T=151,H=2,K=128,V=256,seqs=1+150,dtype=f32,profile=typical,seed=1)";
        assert_eq!(light(packed), "gla(B=1,T=151,H=1,K=128,V=32,seqs=1+150,dtype=f32,profile=typical,seed=1)");
    }

    #[test]
    fn smoke_has_groups_of_several_heads_and_full_has_every_awkward_width() {
        let sizes = |case: &Case, dim| case.problem.size(dim);
        for name in ["gated_delta_rule", "kda"] {
            let spec = reference::spec(name).expect("an op of the table");
            let grouped = |c: &Case| sizes(c, Dim::H) > 1 && sizes(c, Dim::HV) > sizes(c, Dim::H);
            assert!(cases_of(spec, Size::Smoke).iter().any(grouped), "{name}");
            let full = cases_of(spec, Size::Full);
            for ratio in [1, 2, 3, 4, 8] {
                assert!(full.iter().any(|c| sizes(c, Dim::HV) == ratio * sizes(c, Dim::H)), "{name}: {ratio}");
            }
            for width in [1, 8, 15, 60, 72, 100, 192, 256, 320] {
                let meets = |dim| full.iter().any(|c| sizes(c, dim) == width && sizes(c, Dim::K) != sizes(c, Dim::V));
                assert!(meets(Dim::K) && meets(Dim::V), "{name}: {width}");
            }
        }
    }
}
