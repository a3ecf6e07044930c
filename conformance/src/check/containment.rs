//! What is no number stays where it is: NaN at the tokens of later chunks leaves earlier ones as they are, to the bit.
//!
//! Within a chunk a product with a mask makes NaN of NaN, in any kernel; the border is at [`CHUNKS`] tokens.

use reference::error::Error;
use reference::spec::{Dim, OpSpec};
use reference::tensor::{DType, Tensor, Tensors};
use reports::verdict::Verdict;

use super::{Call, Check, Trial, anyone, cut, verdicts};
use crate::case::Case;

const PROMISE: &str = "NaN at later chunks does not reach earlier tokens";

/// The longest chunk or block of queries that kernels treat at once.
const CHUNKS: usize = 128;

pub(super) static CHECK: Check = Check {
    name: "containment",
    summary: "NaN at the tokens of later chunks leaves the outputs of earlier ones as they are, to the bit",
    applies: |case| case.problem.causal() && case.problem.sequences.is_none() && border(case) > 0,
    needs: anyone,
    plan: |case, truth| {
        let poisoned = truth.inputs.iter().map(|(name, t)| (name.clone(), poisoned(case, name, t))).collect();
        vec![Call::forward(&case.problem, &truth.inputs), Call::forward(&case.problem, &poisoned)]
    },
    judge,
};

/// Tokens, in the order of time, that stay as they are.
fn border(case: &Case) -> usize {
    case.problem.size(Dim::T).saturating_sub(1) / CHUNKS * CHUNKS
}

/// The same where they lie.
fn kept(case: &Case) -> std::ops::Range<usize> {
    let tokens = case.problem.size(Dim::T);
    if case.problem.reversed() { tokens - border(case)..tokens } else { 0..border(case) }
}

fn poisoned(case: &Case, name: &str, tensor: &Tensor) -> Tensor {
    let port = case.problem.spec.input(name).filter(|p| OpSpec::per_token(p));
    let Some(axis) = port.and_then(|p| cut::axis(p, Dim::T)).filter(|_| tensor.dtype() != DType::I64) else {
        return tensor.clone();
    };
    let (kept, end) = (kept(case), tensor.shape()[axis]);
    let nan = Tensor::filled(tensor.dtype(), tensor.shape(), f64::NAN);
    let parts = [nan.narrow(axis, 0..kept.start), tensor.narrow(axis, kept.clone()), nan.narrow(axis, kept.end..end)];
    Tensor::concat(axis, &parts.iter().collect::<Vec<_>>()).unwrap_or(nan)
}

fn judge(trial: &Trial<'_>) -> Result<Verdict, Error> {
    let [a, b] = trial.answers else { return Ok(verdicts::malformed("two answers".into(), 0)) };
    let pick = |tensors: &Tensors| -> Tensors {
        let part = |(name, t): (&String, &Tensor)| {
            let axis = cut::axis(trial.case.problem.spec.output(name)?, Dim::T)?;
            Some((name.clone(), t.narrow(axis, kept(trial.case))))
        };
        tensors.iter().filter_map(part).collect()
    };
    Ok(verdicts::all_same(&pick(a), &pick(b), PROMISE, 1).unwrap_or_else(verdicts::pass))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::case;

    #[test]
    fn whole_chunks_before_the_last_token_stay() {
        let kept = |text: &str| kept(&case(text));
        assert_eq!((kept("simple_gla(T=128)"), kept("simple_gla(T=129)")), (0..0, 0..128));
        assert_eq!((kept("simple_gla(T=257)"), kept("simple_gla(T=300,reverse=true)")), (0..256, 44..300));
    }

    #[test]
    fn nan_lies_where_later_chunks_are_and_no_integer_is_nan() {
        let case = case("simple_gla(B=1,T=130,H=1,K=1,V=1)");
        let ones = |dtype| Tensor::filled(dtype, &[1, 130, 1, 1], 1.0);
        let values: Vec<f64> = poisoned(&case, "q", &ones(DType::F32)).values().collect();
        assert!(values[..128] == [1.0; 128] && values[128..].iter().all(|x| x.is_nan()));
        assert_eq!(poisoned(&case, "q", &ones(DType::I64)), ones(DType::I64));
        assert_eq!(poisoned(&case, "h0", &ones(DType::F32)), ones(DType::F32), "a state has no tokens");
    }
}
