//! Cases of profiles that are not met with everything else that a suite varies.

use reference::spec::{Dim, Domain, Level, OpSpec, Value};
use reference::tensor::DType;

use super::options::{attributes, presences};
use super::{Recipe, given, pack, plain, set};
use crate::case::Case;
use crate::lattice;
use crate::sample::Profile;

/// So few tokens that on a lattice zeros may be right.
const FEW: usize = 15;

/// A profile that does not vary with the others. Gates from open to shut not in `f16`, whose range ends before the
/// gradients that so many shut ones leave.
pub(super) fn special<'a>(
    spec: &'static OpSpec,
    recipe: &'a Recipe,
    profile: Profile,
) -> impl Iterator<Item = Case> + 'a {
    let count = if profile.concerns(spec) { recipe.special } else { 0 };
    let make = move |i| Case { profile, ..plain(spec, recipe, i) };
    let fits = move |case: &Case| case.dtype != DType::F16 || profile != Profile::GateSweep;
    (0..count).map(make).filter(move |case| fits(case) && case.problem.size(Dim::T) > 1)
}

/// Short keys, with each set of options that has the op make unit vectors of them.
pub(super) fn short<'a>(spec: &'static OpSpec, recipe: &'a Recipe) -> impl Iterator<Item = Case> + 'a {
    let options = if Profile::ShortKeys.concerns(spec) { attributes(spec) } else { Vec::new() };
    let make = move |(i, attrs): (usize, Vec<(&'static str, Value)>)| {
        let mut case = Case { profile: Profile::ShortKeys, ..plain(spec, recipe, i) };
        set(&mut case, &attrs);
        case
    };
    let is_made = |case: &Case| {
        case.problem.inputs().any(|p| p.domain == Domain::UnitKey && case.problem.domain(p) == Domain::Normal)
    };
    options.into_iter().enumerate().map(make).filter(is_made)
}

/// Cases whose answers are exact, of every set of options that leaves them so: one by one as they lie, then packed.
pub(super) fn exact<'a>(spec: &'static OpSpec, recipe: &'a Recipe) -> impl Iterator<Item = Case> + 'a {
    let presences = presences(spec);
    let options: Vec<_> = std::iter::once(Vec::new()).chain(attributes(spec)).collect();
    let make = move |(o, i): (usize, usize)| {
        let mut case = given(&presences, i, plain(spec, recipe, i));
        set(&mut case, &options[o]);
        if case.problem.size(Dim::T) < FEW {
            case.problem.sizes.insert(Dim::T, recipe.lengths[0]);
        }
        if i % 4 == 3 {
            pack(&mut case, recipe.packings[i / 4 % recipe.packings.len()]);
        }
        lattice::on(case)
    };
    // options get one case each
    let walk = (0..recipe.exact).map(|i| (0, i));
    let others = (1..=attributes(spec).len()).map(|o| (o, o));
    let counted = counted(spec, recipe).map(|case| lattice::on_numbers_of(Profile::Counts, case));
    let all = walk.chain(others).map(make).chain(counted);
    all.filter(|case| case.problem.validate().is_ok() && lattice::admits(case))
}

/// Tokens beyond a chunk and many heads of few channels, so that sums over either grow.
fn counted<'a>(spec: &'static OpSpec, recipe: &'a Recipe) -> impl Iterator<Item = Case> + 'a {
    const WIDTHS: &[(usize, usize)] = &[(32, 32), (16, 64), (15, 33)];
    let narrow = Recipe { lengths: &[129, 100, 65], widths: WIDTHS, heads: recipe.grouped, ..*recipe };
    let count = if spec.level == Level::Op { recipe.counts } else { 0 };
    let presences = presences(spec);
    (0..count).map(move |i| given(&presences, i, plain(spec, &narrow, i)))
}
