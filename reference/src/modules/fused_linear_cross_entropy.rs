//! The head of a language model and its loss at once, so that nobody has to hold the logits of all tokens.
//!
//! $$ x_t \mapsto z_t = W x_t + b, \qquad \text{loss} = \frac{1}{n} \sum_t \operatorname{cross\_entropy}(z_t, y_t) $$
//!
//! for every sequence, with the loss of [`super::cross_entropy`] and its options, and n the targets of the sequence
//! that are not −100; without one the loss is 0. With `reduction` = `sum`, n is 1. With `use_l2warp` the largest logit
//! of every token is pulled towards 0 as [`super::l2warp`] says, of the logits before scale and cap, and as a mean
//! over all tokens. Well conditioned.
//!
//! Kernels write the logits of a chunk to memory before they reduce them, and read them as an operand of the products
//! that give the gradients of x and W: so the logits are rounded as an operand is. The gradients of W and b are sums
//! over the chunks, which stay in the accumulator.
//!
//! Paper: none; after the kernels of Liger, Hsu et al. 2024, §3.2.
//! Upstream: `fused_linear_cross_entropy_loss` and `FusedLinearCrossEntropyLoss` of
//! `fla/modules/fused_linear_cross_entropy/ops.py` in 0.6.0, of all tokens at once: of a batch of one sequence they
//! are this. The mean over a batch is the mean of the sequences', weighted by their n. `num_chunks`,
//! `accumulate_grad_in_fp32` and `process_group` do not change values; `ignore_index` is −100.

use ndarray::{Array2, ArrayView2, ArrayViewD, Ix2, arr0};

use super::cross_entropy::{Options, losses};
use super::l2warp::{FACTOR, warped};
use crate::algebra::{linear, plus, rank, stored};
use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, ignored};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// Logits `[T, S]` as one kernel leaves them for another.
pub fn projected<F: Real>(
    x: ArrayView2<'_, F>,
    weight: ArrayViewD<'_, F>,
    bias: Option<ArrayViewD<'_, F>>,
) -> Array2<F> {
    let logits = rank::<F, Ix2>(linear(&x, weight));
    let logits = match bias {
        Some(bias) => plus(logits, bias),
        None => logits,
    };
    stored(logits)
}

fn fused_linear_cross_entropy<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let bias = x.given("bias").then(|| x.tensor("bias"));
    let (logits, targets) = (projected(x.matrix("x"), x.tensor("weight"), bias), x.vector("targets"));
    let total: F = losses(&logits, targets, &Options::of(x.problem)).iter().copied().sum();
    let counted = targets.iter().filter(|y| !ignored(y.value())).count().max(1);
    let mut loss = match x.problem.word("reduction") {
        "sum" => total,
        _ => total / F::from_f64(counted as f64),
    };
    if x.problem.flag("use_l2warp") {
        loss = warped(loss, &logits, x.problem.number("l2_penalty_factor").unwrap_or(FACTOR));
    }
    vec![arr0(loss).into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "fused_linear_cross_entropy",
    level: Level::Module,
    summary: "loss = mean of cross_entropy(W x + bias) over a sequence's targets",
    source: "Hsu et al. 2024 (arXiv 2410.10989), §3.2",
    upstream: &[
        "fla.modules.FusedLinearCrossEntropyLoss",
        "fla.modules.fused_linear_cross_entropy.fused_linear_cross_entropy_loss",
    ],
    sizes: dims![B, T, D, S],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("targets", dims![B, T], Domain::Symbols(true)).index(),
        Port::weight("weight", dims![S, D], &[1, 1]),
        Port::bias("bias", dims![S], &[1]),
    ],
    outputs: &[Port::new("loss", dims![N], Domain::Normal).single()],
    attrs: &[
        Attr::word("reduction", &["mean", "sum"], "over the targets of a sequence"),
        Attr::number("label_smoothing", 0.0, 0.125, "share of the target that all symbols have alike"),
        Attr::number("logit_scale", 1.0, 0.375, "factor on the logits"),
        Attr::auto("logit_softcapping", 1.5, "what the logits are kept below; none unless given"),
        Attr::flag("use_l2warp", false, "pull the largest logits towards 0"),
        Attr::number("l2_penalty_factor", FACTOR, 0.5, "what they are pulled with"),
    ],
    constraints: &[],
    independent: dims![B],
    states: &[],
    function: function!(fused_linear_cross_entropy),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    /// ln 3.
    const THREE: f64 = 1.098_612_288_668_109_8;

    #[test]
    fn a_mean_over_the_targets_that_count() {
        // the logits of each token are 0 and ln 3, of which the softmax is 1/4 and 3/4
        let inputs = format!("x=1,1,1 targets=1,-100,0 weight=0,{THREE}");
        let loss = (4f64.ln() - THREE + 4f64.ln()) / 2.0;
        let slopes = [0.25 - 0.75, 0.75 - 0.25].map(|both| both / 2.0);
        let back = format!("d_x={},0,{} d_weight={},{}", -0.125 * THREE, 0.375 * THREE, slopes[0], slopes[1]);
        check(&SPEC, "B=1 T=3 D=1 S=2 absent=bias", &inputs, "d_loss=1", &format!("loss={loss} {back}"));
        let sum = format!("loss={} d_weight={},{}", 2.0 * loss, 2.0 * slopes[0], 2.0 * slopes[1]);
        check(&SPEC, "B=1 T=3 D=1 S=2 absent=bias reduction=sum", &inputs, "d_loss=1", &sum);
    }

    #[test]
    fn without_targets_there_is_nothing_but_the_pull() {
        let fields = "B=1 T=2 D=1 S=2 label_smoothing=0.5";
        let inputs = "x=1,2 targets=-100,-100 weight=3,5 bias=0,1";
        check(&SPEC, fields, inputs, "d_loss=1", "loss=0 d_x=0,0 d_weight=0,0 d_bias=0,0");
        // the largest logits are 6 and 11, and the scale is not theirs
        let fields = format!("{fields} logit_scale=0.25 use_l2warp=true l2_penalty_factor=0.5");
        let back = "d_x=7.5,13.75 d_weight=0,7 d_bias=0,4.25";
        check(&SPEC, &fields, inputs, "d_loss=1", &format!("loss=0 {back}"));
    }
}
