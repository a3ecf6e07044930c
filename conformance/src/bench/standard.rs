//! The cases that are timed unless others are asked for, and the small ones that must be right first.

use reference::problem::Problem;
use reference::spec::{Dim, OpSpec, Port, Value};
use reference::specs;
use reference::tensor::DType;

use crate::case::Case;
use crate::cli::Shapes;
use crate::sample::{Key, Profile};

/// Extents of one standard case; an op takes those it has.
#[derive(Debug, Clone, Copy)]
struct Extents {
    rows: usize,
    tokens: usize,
    heads: usize,
    value_heads: usize,
    width: usize,
}

const fn extents(rows: usize, tokens: usize, heads: usize, width: usize) -> Extents {
    Extents { rows, tokens, heads, value_heads: heads, width }
}

const fn grouped(tokens: usize, heads: usize, value_heads: usize) -> Extents {
    Extents { rows: 1, tokens, heads, value_heads, width: 128 }
}

/// The sizes of published comparisons.
const HEADLINE: [Extents; 1] = [extents(1, 8192, 96, 128)];

/// Few heads and long rows, many heads and short rows, and between.
const GRIDS: [Extents; 6] = [
    extents(8, 1024, 96, 128),
    extents(1, 32_768, 8, 128),
    extents(1, 131_072, 4, 128),
    extents(2, 16_384, 16, 128),
    extents(8, 2048, 32, 128),
    extents(32, 512, 16, 128),
];

/// As many channels as the headline has, in narrower and in wider heads.
const WIDTHS: [Extents; 2] = [extents(1, 8192, 192, 64), extents(1, 8192, 48, 256)];

/// Two, four and eight value heads for each key head.
const GROUPED: [Extents; 4] =
    [grouped(8192, 48, 96), grouped(8192, 24, 96), grouped(8192, 12, 96), grouped(32_768, 16, 64)];

/// Packed: a batch's tokens in sequences of log-normal lengths.
const PACKED: Extents = extents(1, 32_768, 32, 128);

/// Rows of a step of generation.
const DECODE: [usize; 5] = [1, 4, 16, 64, 256];

/// Norms, which go over one head.
const BY_HEAD: [&str; 3] = ["l2_norm", "rms_norm", "rms_norm_gated"];

/// By op the optional inputs that its usual form goes without, and the flags that it has.
type Usual = (&'static str, &'static [&'static str], &'static [&'static str]);
const USUAL: [Usual; 5] = [
    ("gla", &["gv"], &[]),
    ("attn", &["g", "sink_bias"], &[]),
    ("short_convolution", &["residual"], &["swish"]),
    ("rms_norm", &["bias", "residual"], &[]),
    ("rms_norm_gated", &["bias", "residual"], &[]),
];

/// The same in small, for processors.
const ON_A_CPU: [Extents; 2] =
    [extents(1, 1024, 4, 64), Extents { rows: 4, tokens: 128, heads: 2, value_heads: 4, width: 64 }];

/// Tokens of the case that must be right before a time counts: two chunks of 64 and a ragged one. In wider heads than
/// these, two chunks of 32 and a ragged one: the oracle takes its time for them.
const TOKENS: usize = 133;
const WIDE: usize = 128;
const WIDE_TOKENS: usize = 69;

/// Heads of that case, and value heads of a key head from which on one key head is enough.
const HEADS: usize = 2;
const MANY: usize = 4;

/// Channels of that case where they are cut down, and elements of a tensor from which on they are.
const CHANNELS: usize = 256;
const LARGE: usize = 1 << 21;

/// Sequences of that case when it is packed: ragged, of one token, of a whole chunk, and the rest.
const SEQUENCES: [usize; 4] = [37, 1, 64, 31];

/// The standard cases of every op in these groups, for a device of this kind.
pub(super) fn cases(gpu: bool, groups: &[Shapes]) -> Vec<Case> {
    if !gpu {
        let of = |spec| ON_A_CPU.iter().filter_map(move |e| case(spec, e, DType::F32));
        return specs().flat_map(of).collect();
    }
    let all = groups.contains(&Shapes::All);
    let groups = Shapes::EACH.into_iter().filter(|group| all || groups.contains(group));
    specs().flat_map(|spec| groups.clone().flat_map(move |group| of_group(spec, group))).collect()
}

/// One op's cases of a group, in both regimes of the gates where it has gates.
fn of_group(spec: &'static OpSpec, group: Shapes) -> Vec<Case> {
    let dense = |table: &[Extents]| table.iter().filter_map(|e| case(spec, e, DType::Bf16)).collect::<Vec<_>>();
    let typical = match group {
        Shapes::Headline => dense(&HEADLINE),
        Shapes::Grids => dense(&GRIDS),
        Shapes::Widths => dense(&WIDTHS),
        Shapes::Grouped => dense(&GROUPED),
        Shapes::Packed => packed(spec).into_iter().collect(),
        Shapes::Decode => DECODE.into_iter().filter_map(|rows| decode(spec, rows)).collect(),
        Shapes::All => Vec::new(),
    };
    let long_memory = group.regimes() && Profile::SlowDecay.concerns(spec);
    let both = |case: Case| {
        let slow = long_memory.then(|| Case { profile: Profile::SlowDecay, ..case.clone() });
        std::iter::once(case).chain(slow)
    };
    typical.into_iter().flat_map(both).collect()
}

impl Shapes {
    /// Every group but that of all.
    const EACH: [Self; 6] = [Self::Headline, Self::Grids, Self::Widths, Self::Grouped, Self::Packed, Self::Decode];

    /// Whether its cases are timed with gates of long memory too: one token decays hardly at all.
    const fn regimes(self) -> bool {
        !matches!(self, Self::Decode)
    }
}

fn case(spec: &'static OpSpec, extents: &Extents, dtype: DType) -> Option<Case> {
    let has_groups = Dim::GROUPED.iter().any(|d| spec.sizes.contains(d));
    if extents.heads != extents.value_heads && !has_groups {
        return None;
    }
    let extents = if BY_HEAD.contains(&spec.name) { extents.by_head() } else { *extents };
    let sizes: Vec<_> = spec.sizes.iter().map(|&d| (d, extents.of(d))).collect();
    let mut problem = Problem::new(spec, &sizes);
    problem.absent = spec.states.iter().flat_map(|s| [s.initial, s.last]).collect();
    let usual = USUAL.iter().find(|(op, ..)| *op == spec.name);
    if let Some((_, absent, flags)) = usual {
        problem.absent.extend(*absent);
        problem.attrs.extend(flags.iter().map(|&flag| (flag, Value::Flag(true))));
    }
    problem.mend();
    Some(Case { problem, dtype, profile: Profile::Typical, seed: 0 })
}

impl Extents {
    /// Each head of a token as a row of its own.
    const fn by_head(&self) -> Self {
        Self { tokens: self.tokens * self.heads, heads: 1, value_heads: 1, ..*self }
    }

    const fn of(&self, dim: Dim) -> usize {
        match dim {
            Dim::B | Dim::N => self.rows,
            Dim::T => self.tokens,
            Dim::H => self.heads,
            Dim::HV | Dim::HQ => self.value_heads,
            Dim::K | Dim::V => self.width,
            Dim::D => self.heads * self.width,
            Dim::M => 64,
            Dim::C => 15,
            Dim::L => 16,
            Dim::R => 2,
            Dim::W => 4,
            Dim::I | Dim::F => 4 * self.heads * self.width,
            Dim::E => 16,
            Dim::G => 8,
            Dim::S => 32_000,
            Dim::AQ | Dim::AH => 16,
            Dim::AK => 128,
        }
    }
}

/// Sequences of log-normal lengths; `None` where nothing is carried from token to token.
fn packed(spec: &'static OpSpec) -> Option<Case> {
    let mut case = case(spec, &PACKED, DType::Bf16).filter(|_| !spec.states.is_empty())?;
    case.problem.sequences = Some(log_normal(case.problem.size(Dim::T)));
    Some(case).filter(|case| case.problem.validate().is_ok())
}

/// Lengths that add up to `tokens`: their logarithms have the mean of about 400 tokens and a deviation of one.
fn log_normal(tokens: usize) -> Vec<usize> {
    let key = Key::new("log-normal lengths");
    let normal = |i: u64| (0..12).map(|j| key.uniform(12 * i + j)).sum::<f64>() - 6.0;
    let drawn = (0..).map(|i| ((6.0 + normal(i)).exp() as usize).max(1));
    let mut rest = tokens;
    let cut = |length: usize| {
        let length = length.min(rest);
        rest -= length;
        (length > 0).then_some(length)
    };
    drawn.map_while(cut).collect()
}

/// One token for each row, from a state to a state.
fn decode(spec: &'static OpSpec, rows: usize) -> Option<Case> {
    let mut case = case(spec, &extents(rows, 1, 32, 128), DType::Bf16).filter(|_| !spec.states.is_empty())?;
    let state = |name: &&str| spec.states.iter().any(|s| [s.initial, s.last].contains(name));
    case.problem.absent.retain(|name| !state(name));
    case.problem.mend();
    Some(case).filter(|case| case.problem.validate().is_ok())
}

/// A case that runs the same kernels as `case` and that the oracle answers at once: fewer tokens, rows and heads, the
/// same widths, attributes and inputs. Channels that a norm goes over stay as many as they are; those of a recurrence
/// or of a large weight do not.
pub(super) fn small(case: &Case) -> Case {
    let wide = shrunk(case, usize::MAX);
    let ports = || wide.problem.inputs().chain(wide.problem.outputs());
    let large = ports().any(|p| wide.problem.shape(p).iter().product::<usize>() > LARGE);
    if large || !case.problem.spec.states.is_empty() { shrunk(case, CHANNELS) } else { wide }
}

fn shrunk(case: &Case, channels: usize) -> Case {
    let mut small = case.clone();
    let heads = case.problem.size(Dim::H).max(1);
    let groups = Dim::GROUPED.iter().map(|&d| case.problem.size(d) / heads).max().unwrap_or(1);
    let kept = heads.min(if groups >= MANY { 1 } else { HEADS });
    let tokens = if case.problem.size(Dim::K).max(case.problem.size(Dim::V)) > WIDE { WIDE_TOKENS } else { TOKENS };
    let packed = small.problem.sequences.as_mut().map(|sequences| *sequences = SEQUENCES.to_vec()).is_some();
    for (dim, extent) in &mut small.problem.sizes {
        *extent = match dim {
            Dim::B | Dim::N => 1,
            Dim::T if packed => TOKENS,
            Dim::T => (*extent).min(tokens),
            Dim::H => kept,
            Dim::HV | Dim::HQ => (*extent / heads).max(1) * kept,
            Dim::D | Dim::I | Dim::F | Dim::S => (*extent).min(channels),
            _ => *extent,
        };
    }
    small.problem.mend();
    small
}

/// Whether backward, for each pass that is timed: nobody asks for the gradients of a step of generation.
pub(super) fn passes(case: &Case) -> Vec<bool> {
    if case.problem.longest() == 1 { vec![false] } else { vec![false, true] }
}

/// What is timed: the outputs that the case asks for, and every gradient when `backward`. A norm's sum with a residual
/// is nothing but its input where there is no residual.
pub(super) fn want(problem: &Problem, backward: bool) -> Vec<String> {
    let gradient = |p: &Port| format!("d_{}", p.name);
    let gradients = problem.differentiable().filter(|_| backward).map(gradient);
    let trivial = |p: &&Port| p.name == "s" && problem.absent.contains("residual");
    problem.outputs().filter(|p| !trivial(p)).map(|p| p.name.to_owned()).chain(gradients).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_op_has_valid_standard_cases() {
        for gpu in [true, false] {
            let all = cases(gpu, &[Shapes::All]);
            for spec in specs() {
                let mut own = all.iter().filter(|c| c.problem.spec.name == spec.name).peekable();
                assert!(own.peek().is_some(), "{}", spec.name);
                for case in own {
                    case.problem.validate().expect("a standard case is valid");
                    small(case).problem.validate().expect("and so is its small one");
                    assert!(!want(&case.problem, true).is_empty());
                    let text = case.to_string();
                    assert_eq!(text.parse::<Case>().expect("a case is its text"), *case, "{text}");
                }
            }
        }
    }

    #[test]
    fn lengths_are_log_normal_and_add_up() {
        let lengths = log_normal(1 << 20);
        assert_eq!(lengths.iter().sum::<usize>(), 1 << 20);
        let logs: Vec<f64> = lengths.iter().map(|&n| (n as f64).ln()).collect();
        let mean = logs.iter().sum::<f64>() / logs.len() as f64;
        let variance = logs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / logs.len() as f64;
        assert!((mean - 6.0).abs() < 0.1 && (variance.sqrt() - 1.0).abs() < 0.1, "{mean} {variance}");
    }

    #[test]
    fn the_gates_come_in_two_regimes_and_states_are_carried_by_a_step() {
        let of = |group| cases(true, &[group]).into_iter().filter(|c| c.problem.spec.name == "gla").collect::<Vec<_>>();
        let profiles: Vec<_> = of(Shapes::Headline).iter().map(|c| c.profile).collect();
        assert_eq!(profiles, [Profile::Typical, Profile::SlowDecay]);
        let step = of(Shapes::Decode);
        assert_eq!(want(&step[0].problem, false), ["o", "ht"]);
        assert_eq!(want(&of(Shapes::Headline)[0].problem, false), ["o"]);
    }
}
