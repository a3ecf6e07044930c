//! The cases that are timed unless others are asked for, and the small ones that must be right first.

use reference::problem::Problem;
use reference::spec::{Dim, OpSpec, Port};
use reference::specs;
use reference::tensor::DType;

use crate::case::Case;
use crate::sample::Profile;

/// Extents of one standard case; an op takes those it has.
struct Extents {
    rows: usize,
    tokens: usize,
    heads: usize,
    value_heads: usize,
    width: usize,
}

const fn extents(rows: usize, tokens: usize, heads: usize, value_heads: usize, width: usize) -> Extents {
    Extents { rows, tokens, heads, value_heads, width }
}

/// One long row, many short ones, and grouped value heads at the sizes of published comparisons.
const ON_A_GPU: [Extents; 3] =
    [extents(1, 8192, 96, 96, 128), extents(8, 1024, 96, 96, 128), extents(1, 32768, 16, 64, 128)];

/// The same in small, for processors.
const ON_A_CPU: [Extents; 2] = [extents(1, 1024, 4, 4, 64), extents(4, 128, 2, 4, 64)];

/// Optional inputs that upstream's chunk forms and models do without.
const UNUSUAL: [(&str, &str); 1] = [("gla", "gv")];

/// Tokens of the case that must be right before a time counts: two chunks of 64 and a ragged one.
const TOKENS: usize = 133;

/// The standard cases of every op, for a device of this kind.
pub(super) fn cases(gpu: bool) -> Vec<Case> {
    let (table, dtype): (&[Extents], _) = if gpu { (&ON_A_GPU, DType::Bf16) } else { (&ON_A_CPU, DType::F32) };
    specs().flat_map(|spec| table.iter().filter_map(move |e| case(spec, e, dtype))).collect()
}

fn case(spec: &'static OpSpec, extents: &Extents, dtype: DType) -> Option<Case> {
    let grouped = extents.heads != extents.value_heads;
    if grouped && !Dim::GROUPED.iter().any(|d| spec.sizes.contains(d)) {
        return None;
    }
    let size = |dim: Dim| match dim {
        Dim::B | Dim::N => extents.rows,
        Dim::T => extents.tokens,
        Dim::H => extents.heads,
        Dim::HV | Dim::HQ => extents.value_heads,
        Dim::K | Dim::V => extents.width,
        Dim::D => extents.heads * extents.width,
        Dim::M => 64,
        Dim::C => 15,
        Dim::L => 16,
        Dim::R => 2,
        Dim::W => 4,
        Dim::I | Dim::F => 4 * extents.heads * extents.width,
        Dim::E => 16,
        Dim::G => 8,
        Dim::S => 32_000,
        Dim::AQ | Dim::AH => 16,
        Dim::AK => 128,
    };
    let sizes: Vec<_> = spec.sizes.iter().map(|&d| (d, size(d))).collect();
    let mut problem = Problem::new(spec, &sizes);
    problem.absent = spec.states.iter().flat_map(|s| [s.initial, s.last]).collect();
    problem.absent.extend(UNUSUAL.iter().filter(|(op, _)| *op == spec.name).map(|(_, input)| *input));
    problem.mend();
    Some(Case { problem, dtype, profile: Profile::Typical, seed: 0 })
}

/// A case that runs the same kernels as `case` and that the oracle answers at once: fewer tokens, rows and heads, the
/// same widths, attributes and inputs.
pub(super) fn small(case: &Case) -> Case {
    let mut small = case.clone();
    let heads = case.problem.size(Dim::H).max(1);
    for (dim, extent) in &mut small.problem.sizes {
        *extent = match dim {
            Dim::B | Dim::N => 1,
            Dim::T => (*extent).min(TOKENS),
            Dim::H => 1,
            Dim::HV | Dim::HQ => (*extent / heads).max(1),
            Dim::D | Dim::I | Dim::F | Dim::S => (*extent).min(200),
            _ => *extent,
        };
    }
    small.problem.mend();
    small
}

/// What is timed: the outputs that are no states, and every gradient when `backward`.
pub(super) fn want(problem: &Problem, backward: bool) -> Vec<String> {
    let state = |port: &Port| problem.spec.states.iter().any(|s| s.last == port.name);
    let outputs = problem.produced().filter(|p| !state(p)).map(|p| p.name.to_owned());
    let gradients = problem.differentiable().filter(|_| backward).map(|p| format!("d_{}", p.name));
    outputs.chain(gradients).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_op_has_valid_standard_cases() {
        for gpu in [true, false] {
            for spec in specs() {
                let cases: Vec<_> = cases(gpu).into_iter().filter(|c| c.problem.spec.name == spec.name).collect();
                assert!(!cases.is_empty(), "{}", spec.name);
                for case in cases {
                    case.problem.validate().expect("a standard case is valid");
                    small(&case).problem.validate().expect("and so is its small one");
                    assert!(!want(&case.problem, true).is_empty());
                }
            }
        }
    }
}
