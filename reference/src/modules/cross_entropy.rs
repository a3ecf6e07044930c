//! The negative logarithm of what a softmax gives to the target, for each token.
//!
//! $$ z = c \tanh(s\, x / c), \qquad \ell = \ln \sum_j e^{z_j}, \qquad
//! \text{loss} = \ell - (1 - \epsilon)\, z_y - \frac{\epsilon}{S} \sum_j z_j + \lambda\, \ell^2 $$
//!
//! s = `logit_scale`, c = `logit_softcapping` (none unless it is given: then $z = s x$), ε = `label_smoothing`, λ =
//! `lse_square_scale`. A target of −100 is none: its loss and every gradient from it are 0. Output: `loss`, which has
//! the term with λ in it, and with `return_z_loss` that term by itself, `z_loss`, which upstream gives for the log and
//! of which it takes no cotangent. Well conditioned, where the loss is not small beside ℓ.
//!
//! Upstream's `reduction` of `sum` is the sum of `loss` over all tokens of all rows, and `mean` that sum over the
//! number of targets that are not −100 (0/0 where there is none). Neither is an option here: a number that all rows
//! share can be neither packed nor be asked of one row. Its gradient is that of `loss` with the same cotangent for
//! every token, or with it over that number.
//!
//! Paper: Szegedy et al., *Rethinking the Inception Architecture*, 2016, §7 (smoothing); Chowdhery et al., *PaLM*,
//! 2022, §5 (the square); Gemma Team, *Gemma 2*, 2024, §2 (soft caps).
//! Upstream: `cross_entropy_loss` and `FusedCrossEntropyLoss` of `fla/modules/fused_cross_entropy/ops.py` in 0.6.0,
//! where logits are `[N, V]`: N = B·T and V = S. `inplace_backward`, which puts the gradient where the logits were,
//! and `process_group`, over which the vocabulary may be spread, do not change values; `ignore_index` is −100.

use ndarray::{Array1, Array2, ArrayBase, ArrayView1, Data, Ix2};

use crate::algebra::{log_sum_exp, tanh};
use crate::problem::Problem;
use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, ignored};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// The options of the loss; without any, it is the plain one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    smoothing: Option<f64>,
    scale: Option<f64>,
    cap: Option<f64>,
    square: Option<f64>,
}

impl Options {
    /// What a problem's attributes say; those that it lacks are left out.
    #[must_use]
    pub fn of(problem: &Problem) -> Self {
        let term = |name| problem.number(name).filter(|&x| x > 0.0);
        Self {
            smoothing: term("label_smoothing"),
            scale: problem.number("logit_scale"),
            cap: problem.number("logit_softcapping"),
            square: term("lse_square_scale"),
        }
    }

    fn shaped<F: Real>(&self, x: F) -> F {
        let z = self.scale.map_or(x, |scale| F::from_f64(scale) * x);
        self.cap.map(F::from_f64).map_or(z, |cap| cap * tanh(z / cap))
    }

    /// The loss of one token, and the term of it that is the square.
    fn token<F: Real>(&self, logits: ArrayView1<'_, F>, target: F) -> [F; 2] {
        if ignored(target.value()) {
            return [F::zero(); 2];
        }
        let z: Array1<F> = logits.mapv(|x| self.shaped(x));
        let (total, mut likely) = (log_sum_exp(z.view()), z[target.value() as usize]);
        if let Some(share) = self.smoothing {
            let mean = z.iter().copied().sum::<F>() / F::from_f64(z.len() as f64);
            likely = F::from_f64(1.0 - share) * likely + F::from_f64(share) * mean;
        }
        let loss = total - likely;
        match self.square {
            None => [loss, F::zero()],
            Some(square) => {
                let square = F::from_f64(square) * total * total;
                [loss + square, square]
            }
        }
    }
}

/// The loss of every token.
pub fn losses<F: Real, S: Data<Elem = F>>(
    logits: &ArrayBase<S, Ix2>,
    targets: ArrayView1<'_, F>,
    options: &Options,
) -> Array1<F> {
    logits.rows().into_iter().zip(targets).map(|(row, &y)| options.token(row, y)[0]).collect()
}

fn cross_entropy<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (logits, targets, options) = (x.matrix("logits"), x.vector("targets"), Options::of(x.problem));
    let both: Vec<_> = logits.rows().into_iter().zip(targets).map(|(row, &y)| options.token(row, y)).collect();
    let both = Array2::from(both);
    vec![both.column(0).to_owned().into_dyn(), both.column(1).to_owned().into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "cross_entropy",
    level: Level::Module,
    summary: "loss = ℓ − z of the target, ℓ = ln Σ exp(z), z = logit_scale logits",
    source: "Chowdhery et al. 2022 (arXiv 2204.02311), §5; Szegedy et al. 2016 (arXiv 1512.00567), §7",
    upstream: &["fla.modules.FusedCrossEntropyLoss", "fla.modules.fused_cross_entropy.cross_entropy_loss"],
    sizes: dims![B, T, S],
    inputs: &[
        Port::new("logits", dims![B, T, S], Domain::Normal),
        Port::new("targets", dims![B, T], Domain::Symbols(true)).index(),
    ],
    outputs: &[
        Port::new("loss", dims![B, T], Domain::Normal).single(),
        Port::new("z_loss", dims![B, T], Domain::Normal).single().constant().when("return_z_loss"),
    ],
    attrs: &[
        Attr::number("label_smoothing", 0.0, 0.125, "share of the target that all symbols have alike"),
        Attr::number("logit_scale", 1.0, 0.375, "factor on the logits"),
        Attr::number("lse_square_scale", 0.0, 0.25, "factor on the square of ln Σ exp(z), which is added"),
        Attr::auto("logit_softcapping", 1.5, "what the logits are kept below; none unless given"),
        Attr::flag("return_z_loss", false, "give the square by itself"),
    ],
    constraints: &[],
    independent: dims![B],
    states: &[],
    function: function!(cross_entropy),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    /// ln 3: logits of which the exponentials are 1 and 3.
    const THREE: f64 = 1.098_612_288_668_109_8;

    #[test]
    fn the_softmax_less_the_target() {
        // the second token has no target
        let inputs = format!("logits=0,{THREE},0,{THREE} targets=1,-100");
        let expected = format!("loss={},0 d_logits=0.25,-0.25,0,0", (4f64 / 3.0).ln());
        check(&SPEC, "B=1 T=2 S=2", &inputs, "d_loss=1,5", &expected);
    }

    #[test]
    fn smoothing_and_the_square() {
        let (fields, total) = ("B=1 T=1 S=2 label_smoothing=0.5 lse_square_scale=0.25 return_z_loss=true", 4f64.ln());
        let square = 0.25 * total * total;
        // a quarter of the target is the first symbol
        let (loss, more) = (total - 0.75 * THREE + square, 1.0 + 0.5 * total);
        let slopes = [0.25 * more - 0.25, 0.75 * more - 0.75];
        let expected = format!("loss={loss} z_loss={square} d_logits={},{}", slopes[0], slopes[1]);
        check(&SPEC, fields, &format!("logits=0,{THREE} targets=1"), "d_loss=1", &expected);
    }

    #[test]
    fn a_cap_comes_after_the_scale() {
        // 2 tanh(0.5 · 2 ln 3 / 2) = 2 · (3 − 1) / (3 + 1) = 1, with the slope 0.5 (1 − 0.25)
        let (total, share) = ((1.0 + 1f64.exp()).ln(), 1.0 / (1.0 + 1f64.exp()));
        let inputs = format!("logits=0,{} targets=1", 2.0 * THREE);
        let expected = format!("loss={} d_logits={},{}", total - 1.0, 0.5 * share, -0.375 * share);
        check(&SPEC, "B=1 T=1 S=2 logit_scale=0.5 logit_softcapping=2", &inputs, "d_loss=1", &expected);
    }
}
