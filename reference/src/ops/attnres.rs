//! Attention over the depth of a network: each token mixes the residuals of several layers.
//!
//! $$ o_t = \sum_l p_{tl} r_{lt}, \qquad
//!    p_t = \operatorname{softmax}_l\, s\, q \cdot (\gamma \odot \operatorname{rms}(r_{lt})),
//!    \qquad \operatorname{rms}(x) = \frac{x}{\sqrt{\overline{x^2} + \varepsilon}} $$
//!
//! with $s$ = `scale`, $\gamma$ = `rms_weight` and $\varepsilon$ = `eps`. The query belongs to the layer and is the
//! same for every token, and tokens never meet. `output_norm` replaces o by
//! `output_weight` $\odot \operatorname{rms}(o)$.
//! Well conditioned where no residual is small beside $\sqrt{\varepsilon}$, and no mixture with `output_norm`.
//!
//! Paper: *Attention Residuals*, 2026.
//! Upstream: `fla/ops/attnres` of 0.6.0, where the residuals are a sequence of tensors, `rms_weight` must be given, and
//! p is returned on demand, with a gradient in the naive form alone.

use ndarray::{Array1, Array2, ArrayView1, Axis, aview1};

use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, Presence};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

const EPSILON: f64 = 1e-6;

fn attnres<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (q, residuals, rms_weight) = (x.vector("q"), x.cube("residuals"), x.vector("rms_weight"));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or(1.0));
    let eps = F::from_f64(x.problem.number("eps").unwrap_or(EPSILON));
    let mut o = Array2::from_elem((x.tokens, q.len()), F::zero());
    for t in x.asked() {
        let sources = residuals.index_axis(Axis(1), t);
        let score = |source| scale * F::dot(q, normalised(&source, &rms_weight, eps).view());
        let p = softmax(&sources.rows().into_iter().map(score).collect::<Vec<F>>());
        let mut mixed: Array1<F> = sources.columns().into_iter().map(|column| F::dot(aview1(&p), column)).collect();
        if x.problem.flag("output_norm") {
            mixed = normalised(&mixed.view(), &x.vector("output_weight"), eps);
        }
        o.row_mut(t).assign(&mixed);
    }
    vec![o.into_dyn()]
}

/// A vector over its root mean square, times weights.
fn normalised<F: Real>(x: &ArrayView1<'_, F>, weight: &ArrayView1<'_, F>, eps: F) -> Array1<F> {
    let mean = x.iter().map(|&x_i| x_i * x_i).sum::<F>() / F::from_f64(x.len() as f64);
    let norm = (mean + eps).sqrt();
    x.iter().zip(weight).map(|(&x_i, &w_i)| w_i * (x_i / norm)).collect()
}

fn softmax<F: Real>(scores: &[F]) -> Vec<F> {
    let top = F::from_f64(scores.iter().map(|s| s.value()).fold(f64::NEG_INFINITY, f64::max));
    let weights: Vec<F> = scores.iter().map(|&s| (s - top).exp()).collect();
    let sum: F = weights.iter().copied().sum();
    weights.into_iter().map(|w| w / sum).collect()
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "attnres",
    level: Level::Op,
    summary: "o = Σ softmax(scale q·rms(rₗ) over the sources l) rₗ",
    source: "Attention Residuals, 2026 (arXiv 2603.15031)",
    upstream: &["fla.ops.attnres.fused_attnres", "fla.ops.attnres.naive_attnres"],
    sizes: dims![B, T, D, L],
    inputs: &[
        Port::new("q", dims![D], Domain::UnitKey),
        Port::new("residuals", dims![L, B, T, D], Domain::Normal),
        Port::new("rms_weight", dims![D], Domain::Uniform(0.5, 1.5)).presence(Presence::OrOne),
        Port::new("output_weight", dims![D], Domain::Uniform(0.5, 1.5)).when("output_norm"),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[
        Attr::number("scale", 1.0, 0.375, "factor on scores"),
        Attr::number("eps", EPSILON, 0.3, "added to the mean of the squares"),
        Attr::flag("output_norm", false, "normalise the mixture, and multiply it by output_weight"),
    ],
    constraints: &[],
    independent: dims![B],
    states: &[],
    function: function!(attnres),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn a_single_source_is_kept_and_may_be_normalised() {
        let inputs = "q=1,2 residuals=3,4 rms_weight=1,1";
        check(&SPEC, "B=1 T=1 D=2 L=1", inputs, "d_o=1,5", "o=3,4 d_residuals=1,5 d_q=0,0 d_rms_weight=0,0");
        // the mean square of 1 and 7 is 25
        let normalised = "q=1,2 residuals=1,7 rms_weight=1,1 output_weight=5,10";
        check(&SPEC, "B=1 T=1 D=2 L=1 eps=0 output_norm=true", normalised, "d_o=1,1", "o=1,14 d_output_weight=0.2,1.4");
    }

    #[test]
    fn a_query_of_zero_averages() {
        let inputs = "q=0,0 residuals=1,7,3,5";
        let expected = "o=2,6 d_residuals=0.5,1,0.5,1";
        check(&SPEC, "B=1 T=1 D=2 L=2 absent=rms_weight", inputs, "d_o=1,2", expected);
    }

    #[test]
    fn scores_of_two_signs_and_their_gradients() {
        // both are 1 once normalised: scores ln 3 and −ln 3, weights 9 to 1; the derivative of a score is 0.09 (2 + 6)
        let inputs = format!("q={} residuals=2,-6 rms_weight=0.5", 2.0 * 3f64.ln());
        let expected = format!("o=1.2 d_residuals=0.9,0.1 d_q=0.72 d_rms_weight={}", 0.72 * 4.0 * 3f64.ln());
        check(&SPEC, "B=1 T=1 D=1 L=2 eps=0", &inputs, "d_o=1", &expected);
    }
}
