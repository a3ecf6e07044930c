//! Rows that lie behind 2³¹ elements are answered like the first.
//!
//! Three rows come over and over, until an input or output has more elements than 32 bits count. Three is no power of
//! two, so that an offset which has lost its upper bits finds the numbers of another row. Windows of three rows, from
//! the first to the last, are measured against the truth about these three. Rows are what a batch has most of; what a
//! state, a token and a head take is wide instead. Gradients need memory several times over and are not asked for.

use reference::problem::Problem;
use reference::spec::{Dim, Level, Port};
use reference::tensor::Tensors;

use super::{Call, Check, Source, anyone, verdicts};
use crate::case::Case;
use crate::sample;
use crate::truth::Truth;

/// Elements of the largest tensor, at least.
const ELEMENTS: usize = 1 << 31;

/// Rows that differ.
const ROWS: usize = 3;

/// Windows that are looked at.
const WINDOWS: usize = 64;

/// The cases that stand for their op, of the largest suite alone: one of 16 bits and one of `f32`.
const SEEDS: [u64; 2] = [160, 161];

/// Width of keys and values. Many ops have kernels of their own for 16 bits and up to 128 channels.
fn width_of(case: &Case) -> usize {
    if case.dtype.size() == 2 { 128 } else { 256 }
}

pub(super) static CHECK: Check = Check {
    name: "wide",
    summary: "where tensors pass 2^31 elements, every row is as close to the truth as the first",
    applies: |case| {
        let size = |dim| case.problem.size(dim);
        let stands =
            SEEDS.contains(&case.seed) && size(Dim::B) == ROWS && size(Dim::HV).max(size(Dim::HQ)) <= size(Dim::H);
        stands && case.problem.spec.level <= Level::Module && small(case, width_of(case)).problem.validate().is_ok()
    },
    needs: anyone,
    plan: |case, _| vec![repeated(&small(case, width_of(case)), ELEMENTS)],
    judge: |trial| judged(&small(trial.case, width_of(trial.case)), &trial.answers[0]),
};

/// The width of keys that the check asks for instead of the case's.
#[must_use]
pub(crate) fn width(case: &Case) -> Option<usize> {
    let keys = case.problem.spec.sizes.contains(&Dim::K);
    (keys && super::applies(case, &CHECK)).then(|| width_of(case))
}

/// Three rows of a few wide tokens of the case's op.
fn small(case: &Case, width: usize) -> Case {
    let mut case = case.clone();
    case.problem.sequences = None;
    for &dim in case.problem.spec.sizes {
        let extent = match dim {
            Dim::B => ROWS,
            Dim::T => 6,
            Dim::K | Dim::V => width,
            Dim::D => 16 * width,
            Dim::H | Dim::HV | Dim::HQ => 1,
            _ => continue,
        };
        case.problem.sizes.insert(dim, extent);
    }
    for state in case.problem.spec.states {
        case.problem.absent.retain(|&name| name != state.initial && name != state.last);
    }
    case.problem.mend();
    case
}

/// Whether a port has a part for each row.
fn by_row(port: &Port) -> bool {
    matches!(port.dims.first(), Some(Dim::B | Dim::N))
}

/// The call of so many rows that a tensor has that many elements.
fn repeated(small: &Case, elements: usize) -> Call {
    let problem = &small.problem;
    let row = |p: &Port| problem.shape(p).iter().skip(1).product::<usize>();
    let largest = problem.inputs().chain(problem.outputs()).filter(|p| by_row(p)).map(row).max().unwrap_or(1);
    // the last row begins where the elements end
    let rows = (elements / largest.max(1) + ROWS).next_multiple_of(ROWS);
    let source = |port: &Port| match (sample::input(small, port), by_row(port)) {
        (rows_of_it, true) => Source::Repeated(rows_of_it, rows),
        (whole, false) => Source::Value(whole),
    };
    let inputs = problem.inputs().map(|port| (port.name.to_owned(), source(port))).collect();
    let mut wide: Problem = problem.clone();
    wide.sizes.insert(Dim::B, rows);
    Call { inputs, ..Call::forward(&wide, &Tensors::new()) }
}

fn judged(small: &Case, answers: &Tensors) -> Result<reports::verdict::Verdict, reference::error::Error> {
    let mut standards = (*Truth::of(small).outputs()?).clone();
    standards.retain(|name, _| small.problem.spec.output(name).is_some_and(by_row));
    let rows = answers.values().filter_map(|t| t.shape().first()).copied().max().unwrap_or(0);
    let start = |i: usize| rows.saturating_sub(ROWS) * i / (WINDOWS - 1) / ROWS * ROWS;
    let window = |i: usize| -> Tensors {
        let part = |name: &String| Some((name.clone(), answers.get(name)?.narrow(0, start(i)..start(i) + ROWS)));
        standards.keys().filter_map(part).collect()
    };
    Ok(verdicts::worst((0..WINDOWS).map(|i| verdicts::accurate(&standards, &window(i), 0))))
}

#[cfg(test)]
mod tests {
    use reference::tensor::Tensor;
    use reports::verdict::Verdict;

    use super::*;
    use crate::candidate::local::Reference;
    use crate::candidate::{Candidate, Reply};
    use crate::check::tests::case;

    #[test]
    fn a_row_that_is_looked_up_with_too_few_bits_is_found() {
        let small = small(&case("simple_gla(absent=g_gamma+h0,seed=161)"), 8);
        let call = repeated(&small, 1 << 12);
        assert!(call.is_large() && !call.problem.absent.contains("h0"));
        let (rows, state) = (call.problem.size(Dim::B), 8 * 8);
        assert_eq!(rows, (1 << 12) / state + 5);
        let request = call.request(small.dtype, &[]).expect("no answer is needed");
        let Reply::Done { tensors, .. } = Reference::default().call(&request) else { panic!("the oracle answers") };
        assert!(matches!(judged(&small, &tensors), Ok(Verdict::Pass { .. })));
        // offsets of states lose what is beyond the limit
        let wrapped = |t: &Tensor| {
            let parts: Vec<Tensor> =
                (0..rows).map(|r| r * state % (1 << 12) / state).map(|r| t.narrow(0, r..r + 1)).collect();
            Tensor::concat(0, &parts.iter().collect::<Vec<_>>()).expect("rows of one tensor")
        };
        for row in [0, rows / 2, rows - 1] {
            let mut values = tensors["o"].to_array();
            values.index_axis_mut(ndarray::Axis(0), row).fill(0.0);
            let mut one = tensors.clone();
            one.insert("o".into(), Tensor::from_array(&values, tensors["o"].dtype()));
            assert!(matches!(judged(&small, &one), Ok(Verdict::Fail { .. })), "row {row} is looked at");
        }
        let mut wrong = tensors.clone();
        wrong.insert("ht".into(), wrapped(&tensors["ht"]));
        assert!(matches!(judged(&small, &wrong), Ok(Verdict::Fail { .. })));
    }

    #[test]
    fn few_wide_tokens_stand_for_the_op() {
        let small = |text: &str| small(&case(text), 8);
        assert_eq!(small("hgrn()").problem.size(Dim::D), 128);
        assert!(small("simple_gla(absent=g_gamma+h0+ht)").problem.absent.iter().eq(["g_gamma"].iter()));
        let spec = small("simple_gla()").problem.spec;
        let row = |port: &str| spec.input(port).is_some_and(by_row);
        assert!(row("q") && row("h0") && !row("g_gamma"));
    }
}
