//! The divergence of a student's next-token distribution from a teacher's, of their hidden states and heads.
//!
//! $$ \text{loss} = \frac{1}{T} \sum_t \sum_j p_{tj} \,(\ln p_{tj} - \ln q_{tj}), \qquad
//! p_t = \operatorname{softmax}(W^{\text{target}} x^{\text{target}}_t), \quad q_t = \operatorname{softmax}(W x_t) $$
//!
//! for every sequence; without tokens it is 0. The teacher is frozen: `target_x` and `target_weight` have no gradient.
//! Logits are rounded as an operand is (see [`super::fused_linear_cross_entropy`]). Ill conditioned where student and
//! teacher agree: the loss is then a small difference.
//!
//! Paper: Kullback & Leibler, *On Information and Sufficiency*, 1951, eq. 2.3; Hinton, Vinyals & Dean, *Distilling the
//! Knowledge in a Neural Network*, 2015.
//! Upstream: `fused_kl_div_loss` and `FusedKLDivLoss` of `fla/modules/fused_kl_div/ops.py` in 0.6.0, of all tokens at
//! once and with the one `reduction` that the class takes, `batchmean`: of a batch of one sequence they are this. The
//! mean over a batch is the mean of the sequences', weighted by their tokens. `accumulate_grad_in_fp32` does not
//! change values.

use ndarray::{Array1, ArrayView1, arr0};

use super::fused_linear_cross_entropy::projected;
use crate::algebra::log_sum_exp;
use crate::real::Real;
use crate::spec::{Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn kl_div<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let student = projected(x.matrix("x"), x.tensor("weight"), None);
    let teacher = projected(x.matrix("target_x"), x.tensor("target_weight"), None);
    let total: F = teacher.rows().into_iter().zip(student.rows()).map(|(p, q)| divergence(p, q)).sum();
    vec![arr0(total / F::from_f64(x.tokens.max(1) as f64)).into_dyn()]
}

/// Of the softmax of one row of logits from that of another.
fn divergence<F: Real>(p: ArrayView1<'_, F>, q: ArrayView1<'_, F>) -> F {
    let [p, q] = [p, q].map(logarithms);
    p.iter().zip(&q).map(|(&p, &q)| p.exp() * (p - q)).sum()
}

/// The logarithm of the softmax.
fn logarithms<F: Real>(row: ArrayView1<'_, F>) -> Array1<F> {
    let total = log_sum_exp(row);
    row.mapv(|x| x - total)
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "kl_div",
    level: Level::Module,
    summary: "loss = mean of Σ p (ln p − ln q) over a sequence;  p = softmax(W' x'), q = softmax(W x)",
    source: "Hinton, Vinyals & Dean 2015 (arXiv 1503.02531)",
    upstream: &["fla.modules.FusedKLDivLoss", "fla.modules.fused_kl_div.fused_kl_div_loss"],
    sizes: dims![B, T, D, I, S],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("target_x", dims![B, T, I], Domain::Normal).constant(),
        Port::weight("weight", dims![S, D], &[1, 1]),
        Port::weight("target_weight", dims![S, I], &[1, 1]).constant(),
    ],
    outputs: &[Port::new("loss", dims![N], Domain::Normal).single()],
    attrs: &[],
    constraints: &[],
    independent: dims![B],
    states: &[],
    function: function!(kl_div),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    /// ln 3.
    const THREE: f64 = 1.098_612_288_668_109_8;

    #[test]
    fn a_quarter_from_a_half() {
        // the teacher says 1/4 and 3/4, the student 1/2 each: their difference is what the student's logits get
        let inputs = format!("x=2 target_x=1 weight=5,5 target_weight=0,{THREE}");
        let loss = 0.25 * 0.5f64.ln() + 0.75 * 1.5f64.ln();
        let expected = format!("loss={loss} d_x=0 d_weight=0.5,-0.5");
        check(&SPEC, "B=1 T=1 D=1 I=1 S=2", &inputs, "d_loss=1", &expected);
    }

    #[test]
    fn a_student_that_agrees_has_nothing_to_learn() {
        // the second token alone differs; the mean is over both
        let inputs =
            format!("x=1,0 target_x=1,0,0,1 weight=0,{THREE} target_weight=7,7,{},{}", 7.0 + THREE, 7.0 + THREE);
        let loss = 0.5 * (0.25 * 0.5f64.ln() + 0.75 * 1.5f64.ln());
        let expected = format!("loss={loss} d_x=0,{} d_weight=0,0", -0.125 * THREE);
        check(&SPEC, "B=1 T=2 D=1 I=2 S=2", &inputs, "d_loss=1", &expected);
    }
}
