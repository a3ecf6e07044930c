//! Group relative policy optimisation on the policy that made the completions: the loss of each token.
//!
//! $$ \ell = \ln \operatorname{softmax}(x_t)_{y_t}, \qquad r = e^{\ell - \bar\ell}, \qquad
//! \text{kl} = e^{\ell^{\text{ref}} - \ell} - (\ell^{\text{ref}} - \ell) - 1, \qquad
//! \text{loss} = \beta\, \text{kl} - A\, r $$
//!
//! $\bar\ell$ is ℓ without its derivative: r is 1 and has the slope of ℓ, so that the derivative of the loss is no
//! limit of differences. A is the advantage of the completion, a sequence here; y its tokens, of which −100 stands for
//! one that the mask leaves out: no loss, no kl, no gradient. Reference log-probabilities, those of another model, and
//! advantages have no gradient. With `save_kl` kl is an output too, with a cotangent. For old log-probabilities and
//! clipping see [`super::grpo_clipped`]. Ill conditioned where the reference is far more confident than the policy:
//! $e^{\ell^{\text{ref}} - \ell}$.
//!
//! Paper: Shao et al., *DeepSeekMath*, 2024, eq. 3 and 4.
//! Upstream: `fused_grpo_loss` of `fla/modules/grpo/ops.py` in 0.6.0, and in PyTorch `grpo_loss_torch`. There logits
//! are `[B, L + 1, V]`, of which the last token's are not read and get zeros: T = L, V = S; `input_ids` ends with the
//! tokens of the completion, and `completion_mask` says which count. `inplace`, which puts the gradient where the
//! logits were, does not change values.

use ndarray::{Array2, ArrayView1};

use crate::algebra::{detached, log_sum_exp};
use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, ignored};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// `eᵈ − d − 1` of `d` = reference − policy: what a token costs that the reference finds as likely as that.
pub fn penalty<F: Real>(reference: F, policy: F) -> F {
    let apart = reference - policy;
    apart.exp() - apart - F::one()
}

fn grpo<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (beta, advantage) = (F::from_f64(x.problem.number("beta").unwrap_or(BETA)), x.scalar("advantages"));
    let token = |(t, logits): (usize, ArrayView1<'_, F>)| {
        let target = x.vector("targets")[t].value();
        if ignored(target) {
            return [F::zero(); 2];
        }
        let policy = logits[target as usize] - log_sum_exp(logits);
        let kl = penalty(x.vector("ref_logp")[t], policy);
        let ratio = (policy - detached(policy)).exp();
        [beta * kl - advantage * ratio, kl]
    };
    let both: Vec<_> = x.matrix("logits").rows().into_iter().enumerate().map(token).collect();
    let both = Array2::from(both);
    vec![both.column(0).to_owned().into_dyn(), both.column(1).to_owned().into_dyn()]
}

const BETA: f64 = 0.1;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "grpo",
    level: Level::Module,
    summary: "loss = beta kl − advantages ratio;  kl = exp(d) − d − 1, d = ref_logp − ln softmax(logits) of the target",
    source: "Shao et al. 2024 (arXiv 2402.03300), eq. 3 and 4",
    upstream: &["fla.modules.grpo.fused_grpo_loss", "fla.modules.grpo.ops.grpo_loss_torch"],
    sizes: dims![B, T, S],
    inputs: &[
        Port::new("logits", dims![B, T, S], Domain::Normal),
        Port::new("ref_logp", dims![B, T], Domain::Uniform(-4.0, -1.0)).single().constant(),
        Port::new("targets", dims![B, T], Domain::Symbols(true)).index(),
        Port::new("advantages", dims![N], Domain::Normal).single().constant(),
    ],
    outputs: &[
        Port::new("loss", dims![B, T], Domain::Normal).single(),
        Port::new("kl", dims![B, T], Domain::Normal).single().when("save_kl"),
    ],
    attrs: &[Attr::number("beta", BETA, 0.75, "weight of kl"), Attr::flag("save_kl", false, "give kl by itself")],
    constraints: &[],
    independent: dims![B],
    states: &[],
    function: function!(grpo),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn an_advantage_makes_the_token_likelier() {
        // both symbols are as likely, and so the reference says: no kl, and no slope of it
        let inputs = format!("logits=1,1,1,1 ref_logp={0},{0} targets=1,-100 advantages=3", 0.5f64.ln());
        let expected = "loss=-3,0 d_logits=3,-3,0,0";
        check(&SPEC, "B=1 T=2 S=2", &inputs, "d_loss=2,7", expected);
    }

    #[test]
    fn the_reference_pulls_back() {
        // the reference finds the token twice as likely: kl = 2 − ln 2 − 1, with slope 1 − 2
        let inputs = "logits=1,1 ref_logp=0 targets=0 advantages=0";
        let kl = 1.0 - std::f64::consts::LN_2;
        let expected = format!("loss={} kl={kl} d_logits=-0.625,0.625", 0.25 * kl);
        check(&SPEC, "B=1 T=1 S=2 beta=0.25 save_kl=true", inputs, "d_loss=1 d_kl=1", &expected);
    }
}
