//! Suites: cases derived from the specs. Nothing here names an op.
//!
//! A suite walks lists of lengths, widths, heads, types, profiles and presences at strides that share no factor, so
//! that few cases meet many combinations; then it adds each attribute, each absent input and each packing by itself.
//! Smoke is contained in full, and full in soak.

mod options;
mod own;
mod shapes;

use clap::ValueEnum;
use reference::problem::Problem;
use reference::spec::{Dim, Level, OpSpec, Value};
use reference::tensor::DType;

use crate::case::Case;
use crate::sample::Profile;
use options::{attributes, presences};

/// How much to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Size {
    /// A minute on a laptop.
    Smoke,
    /// Minutes on a GPU machine.
    Full,
    /// An hour.
    Soak,
}

impl Size {
    /// Lower-case name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Full => "full",
            Self::Soak => "soak",
        }
    }
}

/// Storage types that kernels have.
const DTYPES: [DType; 3] = [DType::Bf16, DType::F32, DType::F16];

/// What a suite is made of.
#[derive(Clone, Copy)]
struct Recipe {
    /// Lengths on both sides of every tile border.
    lengths: &'static [usize],
    /// Widths of keys and values; powers of two, others, and unequal ones.
    widths: &'static [(usize, usize)],
    /// Key heads, and value heads for each of them.
    heads: &'static [(usize, usize)],
    /// The same, for cases of their own of specs that have groups.
    grouped: &'static [(usize, usize)],
    /// Widths for cases of their own: next to nothing, no power of two, wider than most kernels.
    awkward: &'static [(usize, usize)],
    /// Batch rows.
    rows: &'static [usize],
    /// Lengths of packed sequences.
    packings: &'static [&'static [usize]],
    /// Cases of the walk.
    walk: usize,
    /// Seeds of the single variations.
    seeds: u64,
    /// Cases whose answers are exact.
    exact: usize,
    /// Such cases without signs.
    counts: usize,
    /// Cases of each profile that is not met with everything else.
    special: usize,
    /// Lengths of narrow cases, one of each: the first remembers, with many value heads to a key head where they share
    /// them, the others forget.
    long: &'static [usize],
    /// Products that a case may take; dearer ones have fewer rows, heads and tokens.
    work: usize,
}

const SMOKE: Recipe = Recipe {
    lengths: &[65, 17, 1, 64, 31, 129, 2, 63, 16, 33, 15, 127],
    widths: &[(16, 8), (32, 32), (15, 60), (64, 16), (8, 100)],
    heads: &[(2, 1), (1, 2), (3, 1)],
    grouped: &[(2, 2)],
    awkward: &[],
    rows: &[1, 2],
    packings: &[&[0, 1, 40, 0], &[65, 3]],
    walk: 8,
    seeds: 1,
    exact: 4,
    counts: 0,
    special: 2,
    long: &[],
    work: usize::MAX,
};

const FULL: Recipe = Recipe {
    lengths: &[100, 65, 17, 1, 64, 257, 31, 129, 2, 63, 16, 128, 33, 15, 127, 500, 3, 200, 32],
    widths: &[(64, 64), (128, 128), (60, 100), (16, 8), (256, 64), (100, 60), (32, 128), (15, 33), (128, 256)],
    heads: &[(2, 1), (1, 4), (4, 1), (2, 2), (3, 1), (1, 1)],
    grouped: &[(2, 3), (1, 8), (3, 4)],
    awkward: &[(1, 72), (72, 1), (192, 8), (8, 192), (320, 15), (60, 320), (192, 256)],
    rows: &[1, 2, 3],
    packings: &[&[0, 1, 150, 0], &[64, 64, 1], &[17, 0, 0, 130, 2], &[1, 1, 1], &[200]],
    walk: 40,
    seeds: 2,
    exact: 12,
    counts: 6,
    special: 6,
    // beyond what kernels have a second way for, and a third
    long: &[2100, 2200, 2300],
    // a head of 128 by 128 for a chunk and one token more
    work: 65 << 14,
};

const SOAK: Recipe = Recipe {
    lengths: &[1000, 65, 4, 255, 64, 511, 31, 129, 7, 63, 2048, 128, 33, 8, 127, 700, 3, 320, 48, 96, 1025],
    walk: 160,
    seeds: 8,
    exact: 20,
    counts: 9,
    special: 10,
    work: usize::MAX,
    ..FULL
};

/// For what is built from ops, which asks all its ops at once.
const SMOKE_BUILT: Recipe = Recipe { widths: &[(16, 8), (8, 16), (15, 20), (32, 32)], grouped: &[], walk: 4, ..SMOKE };

const FULL_BUILT: Recipe = Recipe {
    widths: &[(32, 32), (16, 64), (64, 64), (12, 20)],
    grouped: &[],
    awkward: &[],
    walk: 10,
    seeds: 1,
    work: usize::MAX,
    ..FULL
};

const SOAK_BUILT: Recipe = Recipe { widths: FULL_BUILT.widths, grouped: &[], awkward: &[], walk: 40, seeds: 2, ..SOAK };

/// How a suite extends the next smaller one.
const fn recipe(size: Size, level: Level) -> &'static Recipe {
    match (size, level) {
        (Size::Smoke, Level::Op | Level::Module) => &SMOKE,
        (Size::Full, Level::Op | Level::Module) => &FULL,
        (Size::Soak, Level::Op | Level::Module) => &SOAK,
        (Size::Smoke, Level::Layer | Level::Model) => &SMOKE_BUILT,
        (Size::Full, Level::Layer | Level::Model) => &FULL_BUILT,
        (Size::Soak, Level::Layer | Level::Model) => &SOAK_BUILT,
    }
}

/// The cases of a suite, in a fixed order, without repetition.
#[must_use]
pub fn cases(size: Size) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for part in parts(size) {
        for spec in reference::specs() {
            extend(&mut cases, spec, part);
        }
    }
    cases
}

/// Those of one spec.
#[must_use]
pub fn cases_of(spec: &'static OpSpec, size: Size) -> Vec<Case> {
    let mut cases = Vec::new();
    parts(size).for_each(|part| extend(&mut cases, spec, part));
    cases
}

/// The suites that a suite contains, the smallest first.
fn parts(size: Size) -> impl Iterator<Item = Size> {
    [Size::Smoke, Size::Full, Size::Soak].into_iter().filter(move |&part| part <= size)
}

/// What one suite adds to the cases of a spec.
fn extend(cases: &mut Vec<Case>, spec: &'static OpSpec, part: Size) {
    let recipe = recipe(part, spec.level);
    let [sweep, steady] = [Profile::GateSweep, Profile::Steady].map(|profile| own::special(spec, recipe, profile));
    let varied = walk(spec, recipe).chain(single(spec, recipe)).chain(sweep).chain(own::exact(spec, recipe));
    // what was varied may have become dearer than the plain case was
    let varied = varied.map(|case| shapes::lightened(case, recipe));
    let shapes = shapes::grouped(spec, recipe).chain(shapes::awkward(spec, recipe)).chain(shapes::long(spec, recipe));
    for case in varied.chain(shapes).chain(steady).chain(own::short(spec, recipe)) {
        if case.problem.validate().is_ok() && !cases.contains(&case) {
            cases.push(case);
        }
    }
}

/// The smallest suite that a case belongs to, if any does.
#[must_use]
pub fn of(case: &Case) -> Option<Size> {
    [Size::Smoke, Size::Full, Size::Soak].into_iter().find(|&size| cases(size).contains(case))
}

/// Every list at a stride of its own.
fn walk<'a>(spec: &'static OpSpec, recipe: &'a Recipe) -> impl Iterator<Item = Case> + 'a {
    let profiles: Vec<Profile> = Profile::ALL.into_iter().filter(|p| p.varies() && p.concerns(spec)).collect();
    let presences = presences(spec);
    (0..recipe.walk).map(move |i| {
        let mut case = given(&presences, i, plain(spec, recipe, i));
        case.profile = profiles[(i / 2) % profiles.len()];
        case
    })
}

/// The case with the `i`-th choice of optional inputs.
fn given(presences: &[Problem], i: usize, mut case: Case) -> Case {
    case.problem.absent = presences[i % presences.len()].absent.clone();
    case
}

/// A case with every optional input that may be given.
fn plain(spec: &'static OpSpec, recipe: &Recipe, i: usize) -> Case {
    let (k, v) = recipe.widths[i % recipe.widths.len()];
    let (h, group) = recipe.heads[(i / 3) % recipe.heads.len()];
    let size = |&dim: &Dim| {
        let extent = match dim {
            Dim::B | Dim::N => recipe.rows[(i / 2) % recipe.rows.len()],
            Dim::T => recipe.lengths[i % recipe.lengths.len()],
            Dim::H => h,
            Dim::HV | Dim::HQ => h * group,
            Dim::K => k,
            Dim::V => v,
            // as many channels as the heads of another op have together
            Dim::D => h * group * v,
            Dim::M => [8, 5, 16][i % 3],
            Dim::C => [3, 5, 9][i % 3],
            Dim::L => [2, 4, 3, 1][i % 4],
            Dim::R => 1 + i % 3,
            Dim::W => [4, 3, 2][i % 3],
            Dim::I => [48, 20, 33][i % 3],
            Dim::F => [20, 33, 48][i % 3],
            Dim::E => [8, 3, 16][i % 3],
            Dim::G => [2, 4, 1][i % 3],
            Dim::S => [50, 37, 64][i % 3],
            Dim::AQ => 2 * (1 + i % 2),
            Dim::AH => 1 + i % 2,
            Dim::AK => [8, 16, 12][i % 3],
        };
        (dim, extent)
    };
    let sizes: Vec<_> = spec.sizes.iter().map(size).collect();
    let mut problem = Problem::new(spec, &sizes);
    problem.mend();
    // where both lists share a factor, every round of widths begins with another type, or each would have one only
    let rounds = if recipe.widths.len().is_multiple_of(DTYPES.len()) { i / recipe.widths.len() } else { 0 };
    let case = Case { problem, dtype: DTYPES[(i + rounds) % DTYPES.len()], profile: Profile::Typical, seed: i as u64 };
    shapes::lightened(case, recipe)
}

/// One variation of a case.
type Change<'a> = Box<dyn Fn(&mut Case) + 'a>;

/// One thing at a time: each attribute, each absent input, each packing, each profile.
fn single<'a>(spec: &'static OpSpec, recipe: &'a Recipe) -> impl Iterator<Item = Case> + 'a {
    let profiles = Profile::ALL.into_iter().filter(|p| p.varies() && p.concerns(spec));
    let mut changes: Vec<Change<'a>> = Vec::new();
    for profile in profiles {
        changes.push(Box::new(move |case| case.profile = profile));
    }
    for presence in presences(spec) {
        changes.push(Box::new(move |case| case.problem.absent = presence.absent.clone()));
    }
    for attrs in attributes(spec) {
        let packed = attrs.clone();
        changes.push(Box::new(move |case| set(case, &attrs)));
        // a model hands its options on to its layers, which are asked so themselves
        let packing = recipe.packings.first().filter(|_| spec.level != Level::Model);
        if let Some(&packing) = packing {
            changes.push(Box::new(move |case| {
                set(case, &packed);
                pack(case, packing);
            }));
        }
    }
    for packing in recipe.packings {
        changes.push(Box::new(move |case| pack(case, packing)));
    }
    // neither started from a state nor asked for one: what training does, and all that some kernels can
    changes.push(Box::new(|case| case.problem.absent.extend(spec.states.iter().flat_map(|s| [s.initial, s.last]))));
    let count = changes.len();
    (0..recipe.seeds as usize).flat_map(move |seed| {
        let offset = recipe.walk + seed * count;
        let cases: Vec<Case> = changes
            .iter()
            .enumerate()
            .map(|(i, change)| {
                let mut case = plain(spec, recipe, offset + i);
                if case.problem.size(Dim::T) < 2 {
                    case.problem.sizes.insert(Dim::T, recipe.lengths[0]);
                }
                change(&mut case);
                case
            })
            .collect();
        cases
    })
}

fn set(case: &mut Case, attrs: &[(&'static str, Value)]) {
    case.problem.attrs.extend(attrs.iter().copied());
    case.problem.mend();
}

fn pack(case: &mut Case, lengths: &[usize]) {
    case.problem.sequences = Some(lengths.to_vec());
    case.problem.sizes.insert(Dim::B, 1);
    case.problem.sizes.insert(Dim::T, lengths.iter().sum());
    case.problem.mend();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_nested_and_valid() {
        let (smoke, full, soak) = (cases(Size::Smoke), cases(Size::Full), cases(Size::Soak));
        assert!(smoke.iter().all(|c| full.contains(c)) && full.iter().all(|c| soak.contains(c)));
        assert!(smoke.len() < full.len() && full.len() < soak.len());
        for case in &soak {
            assert_eq!(case.to_string().parse().as_ref(), Ok(case));
        }
        let spec = reference::spec("hgrn").expect("an op of the table");
        let own: Vec<Case> = full.into_iter().filter(|c| c.problem.spec.name == spec.name).collect();
        assert_eq!(cases_of(spec, Size::Full), own);
    }

    #[test]
    fn the_widths_of_published_comparisons_are_met_in_every_type() {
        let full = cases(Size::Full);
        for spec in reference::specs().filter(|s| s.level == Level::Op && s.sizes.contains(&Dim::V)) {
            let of_width = |c: &&Case| {
                c.problem.spec.name == spec.name && [Dim::K, Dim::V].iter().all(|&dim| c.problem.size(dim) == 128)
            };
            let met: Vec<DType> = full.iter().filter(of_width).map(|c| c.dtype).collect();
            assert!(met.is_empty() || DTYPES.iter().all(|dtype| met.contains(dtype)), "{}: {met:?}", spec.name);
        }
    }

    #[test]
    fn even_smoke_meets_every_attribute_input_type_and_profile() {
        let smoke = cases(Size::Smoke);
        for spec in reference::specs() {
            let own: Vec<&Case> = smoke.iter().filter(|c| c.problem.spec.name == spec.name).collect();
            let meets = |what: &str, test: &dyn Fn(&Case) -> bool| {
                assert!(own.iter().any(|c| test(c)), "{}: {what}", spec.name);
            };
            for attr in spec.attrs {
                meets(attr.name, &|c| c.problem.attrs.contains_key(attr.name));
            }
            for port in spec.inputs {
                meets(port.name, &|c| c.problem.has(port));
                if port.free() {
                    meets(port.name, &|c| !c.problem.has(port));
                }
            }
            for dtype in DTYPES {
                meets(dtype.name(), &|c| c.dtype == dtype);
            }
            for profile in Profile::ALL.into_iter().filter(|p| p.concerns(spec)) {
                meets(profile.name(), &|c| c.profile == profile);
            }
            meets("no state", &|c| spec.states.iter().all(|s| c.problem.absent.contains(s.last)));
            meets("an empty sequence", &|c| c.problem.sequences.as_ref().is_some_and(|s| s.contains(&0)));
            meets("several rows", &|c| c.problem.size(Dim::B) > 1);
            meets("a ragged length", &|c| c.problem.size(Dim::T) > 64 && !c.problem.size(Dim::T).is_multiple_of(16));
        }
    }
}
