//! A loss of the first tokens has gradients that know nothing of the later ones: other values there leave those of the
//! first tokens as they are, to the bit, and those of the later tokens are zero.

use reference::error::Error;
use reference::spec::{Dim, Level, OpSpec};
use reference::tensor::{Tensor, Tensors};
use reports::verdict::{Fault, Verdict};

use super::causality::{earlier, replaced};
use super::{Call, Check, Trial, anyone, cut, verdicts};
use crate::case::Case;
use crate::measure::index;
use crate::truth::{Truth, port};

const PROMISE: &str = "gradients of a loss of the first tokens do not depend on later ones";

pub(super) static CHECK: Check = Check {
    name: "prefix",
    summary: "a loss of the first tokens has the same gradients there whatever comes later, and none later",
    applies: |case| {
        let p = &case.problem;
        let told =
            p.differentiable().any(OpSpec::per_token) && p.outputs().any(|o| o.differentiable && OpSpec::per_token(o));
        p.spec.level <= Level::Module && p.causal() && told && earlier(case).iter().any(|r| !r.is_empty())
    },
    needs: anyone,
    plan: |case, truth| {
        let inputs = truth.inputs.iter().map(|(name, t)| (name.clone(), replaced(case, truth, name, t))).collect();
        let cotangents = first(case, truth);
        [&truth.inputs, &inputs].map(|i| Call::backward(&case.problem, i, &cotangents)).to_vec()
    },
    judge,
};

/// Cotangents of the earlier tokens alone.
fn first(case: &Case, truth: &Truth) -> Tensors {
    let part = |(name, tensor): (&String, &Tensor)| {
        let axis = cut::axis(case.problem.spec.output(name.strip_prefix("d_")?)?, Dim::T)?;
        let zeros = Tensor::filled(tensor.dtype(), tensor.shape(), 0.0);
        Some((name.clone(), mixed(case, axis, tensor, &zeros)))
    };
    truth.cotangents.iter().filter_map(part).collect()
}

/// One tensor at the earlier tokens, the other one at the later.
fn mixed(case: &Case, axis: usize, early: &Tensor, late: &Tensor) -> Tensor {
    let (mut parts, mut at) = (Vec::new(), 0);
    for range in earlier(case).into_iter().filter(|r| !r.is_empty()) {
        parts.push(late.narrow(axis, at..range.start));
        at = range.end;
        parts.push(early.narrow(axis, range));
    }
    parts.push(late.narrow(axis, at..late.shape()[axis]));
    Tensor::concat(axis, &parts.iter().collect::<Vec<_>>()).unwrap_or_else(|| late.clone())
}

fn judge(trial: &Trial<'_>) -> Result<Verdict, Error> {
    let [a, b] = trial.answers else { return Ok(verdicts::malformed("two answers".into(), 0)) };
    for (name, before) in a {
        let axis = port(&trial.case.problem, name).and_then(|p| cut::axis(p, Dim::T));
        let (Some(axis), Some(after)) = (axis, b.get(name)) else { continue };
        let zeros = Tensor::filled(before.dtype(), before.shape(), 0.0);
        let [x, y] = [before, after].map(|t| mixed(trial.case, axis, t, &zeros));
        if let Some(failure) = verdicts::same(name, &x, &y, PROMISE, 1) {
            return Ok(failure);
        }
        let late = mixed(trial.case, axis, &zeros, after);
        if let Some(i) = late.values().position(|d| d.abs().partial_cmp(&0.0) != Some(std::cmp::Ordering::Equal)) {
            let promise = "tokens after the last of a loss have no gradient".to_owned();
            let fault = Fault::Different { port: name.clone(), at: index(late.shape(), i), promise };
            return Ok(Verdict::Fail { fault, call: 1 });
        }
    }
    Ok(verdicts::pass())
}
