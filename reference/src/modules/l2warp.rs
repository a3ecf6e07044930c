//! A loss that passes as it is, and pulls the largest logit of every token towards 0 on the way back.
//!
//! $$ o = \text{loss}, \qquad \frac{\partial o}{\partial x_{t j}} = \frac{\lambda}{T} \max_i x_{t i} \quad
//! \text{where } j \text{ is the largest} $$
//!
//! and 0 elsewhere, λ = `l2_penalty_factor`, T the tokens of the sequence. That is the derivative of
//! $\frac{\lambda}{2T} \sum_t \max_i x_{ti}^2$, whose value is left out: the function adds $(m_t - \bar m_t)\,
//! \frac{\lambda}{T} \bar m_t$ for every token, with $\bar m_t$ the value of its largest logit without a derivative:
//! nothing, with that slope. Hence the derivative is no limit of differences. Of several largest logits the first is
//! pulled. The mean goes over all tokens, those without a target too. Well conditioned.
//!
//! Source: the training code of RWKV, where it keeps logits from growing.
//! Upstream: `l2_warp` of `fla/modules/l2warp.py` in 0.6.0, of a scalar loss and the logits of a whole batch; here
//! every sequence has its loss. The same pull is an option of [`super::fused_linear_cross_entropy`].

use ndarray::{ArrayBase, ArrayView1, Data, Ix2, arr0};

use crate::algebra::detached;
use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// What the largest logit is pulled with, unless told otherwise.
pub const FACTOR: f64 = 1e-4;

/// `loss`, with the gradient of the logits' own beside its own.
pub fn warped<F: Real, S: Data<Elem = F>>(loss: F, logits: &ArrayBase<S, Ix2>, factor: f64) -> F {
    let share = factor / logits.nrows() as f64;
    logits.rows().into_iter().filter_map(largest).fold(loss, |loss, top| {
        let pull = F::from_f64(share * top.value());
        loss + (top - detached(top)) * pull
    })
}

/// The first of the largest; what is not a number is larger than any.
fn largest<F: Real>(row: ArrayView1<'_, F>) -> Option<F> {
    row.iter().copied().reduce(|top, x| if x.value() > top.value() || x.value().is_nan() { x } else { top })
}

fn l2warp<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let factor = x.problem.number("l2_penalty_factor").unwrap_or(FACTOR);
    vec![arr0(warped(x.scalar("loss"), &x.matrix("logits"), factor)).into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "l2warp",
    level: Level::Module,
    summary: "o = loss;  d_logits += d_o l2_penalty_factor / T max(logits), at the largest",
    source: "the training code of RWKV",
    upstream: &["fla.modules.l2warp.l2_warp"],
    sizes: dims![B, T, S],
    inputs: &[
        Port::new("loss", dims![N], Domain::Normal).single(),
        Port::new("logits", dims![B, T, S], Domain::Normal),
    ],
    outputs: &[Port::new("o", dims![N], Domain::Normal).single()],
    attrs: &[Attr::number("l2_penalty_factor", FACTOR, 0.5, "what the largest logit is pulled with")],
    constraints: &[],
    independent: dims![B],
    states: &[],
    function: function!(l2warp),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn the_largest_is_pulled_and_nothing_else() {
        let inputs = "loss=7 logits=1,4,-2,-3";
        let back = "d_loss=3 d_logits=0,3,-1.5,0";
        check(&SPEC, "B=1 T=2 S=2 l2_penalty_factor=0.5", inputs, "d_o=3", &format!("o=7 {back}"));
    }

    #[test]
    fn every_sequence_has_its_own_loss_and_its_own_mean() {
        let inputs = "loss=7,8,9 logits=8,1,8,8,1,8";
        let back = "d_loss=1,2,4 d_logits=4,0,8,0,0,8";
        check(&SPEC, "B=1 T=3 S=2 seqs=1+0+2 l2_penalty_factor=0.5", inputs, "d_o=1,2,4", &format!("o=7,8,9 {back}"));
    }
}
