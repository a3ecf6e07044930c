//! Cases of shapes that the walk meets nowhere, or not together.

use reference::spec::{Dim, Level, OpSpec};

use super::{Recipe, plain};
use crate::case::Case;
use crate::sample::Profile;

/// Several key heads, each with several value heads: with one of either, a wrong group is the right one.
pub(super) fn grouped<'a>(spec: &'static OpSpec, recipe: &'a Recipe) -> impl Iterator<Item = Case> + 'a {
    let has = Dim::GROUPED.iter().any(|d| spec.sizes.contains(d)) && spec.sizes.contains(&Dim::H);
    let make = move |(i, &(h, group)): (usize, &(usize, usize))| {
        let mut case = plain(spec, recipe, recipe.walk + i);
        let heads = Dim::GROUPED.into_iter().filter(|d| spec.sizes.contains(d)).map(|d| (d, h * group));
        case.problem.sizes.extend(heads.chain([(Dim::H, h), (Dim::T, recipe.lengths[0])]));
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

/// Many tokens whose state remembers them, few of everything else but value heads of a key head.
pub(super) fn long<'a>(spec: &'static OpSpec, recipe: &'a Recipe) -> impl Iterator<Item = Case> + 'a {
    let narrow = Recipe { lengths: recipe.long, widths: &[(16, 8)], heads: &[(1, 8)], ..*recipe };
    let has = spec.level == Level::Op && spec.sizes.contains(&Dim::T);
    let profile = if Profile::SlowDecay.concerns(spec) { Profile::SlowDecay } else { Profile::Typical };
    let make = move |i| Case { profile, ..plain(spec, &narrow, i) };
    (0..recipe.long.len()).filter(move |_| has).map(make)
}

#[cfg(test)]
mod tests {
    use super::super::{Size, cases_of};
    use super::*;

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
