//! Group relative policy optimisation on completions of an older policy: clipped, and averaged over a group.
//!
//! $$ r = e^{\ell - \ell^{\text{old}}}, \qquad A_g = \frac{R_g - \bar R}{\sigma(R) + 10^{-8}}, \qquad
//! \text{loss} = \frac{1}{n} \sum \big( \beta\, \text{kl} -
//! \min(A_g\, r,\; A_g \operatorname{clip}(r, 1 - \epsilon, 1 + \epsilon)) \big) $$
//!
//! over the tokens that `pad_mask` lets count, n of them (without any the loss is 0, upstream's 0/0), of G completions
//! of one prompt, a sequence here. kl is [`super::grpo`]'s, of the log-probabilities `logps` and `ref_logps`; σ is the
//! deviation of G − 1 degrees of freedom.
//!
//! The derivative goes through all three log-probabilities, as in upstream's code, of which a trainer asks for that of
//! `logps`; rewards come from outside and have none. Where clipping gives the smaller gain, the gain has no
//! derivative; it has kinks at $r = 1 \pm \epsilon$. Ill conditioned where rewards are nearly alike, or one policy is
//! far from another.
//!
//! # Errors
//! C1: G is at least 2.
//!
//! Paper: Shao et al., *DeepSeekMath*, 2024, eq. 3 and 4; Schulman et al., *Proximal Policy Optimization*, 2017,
//! eq. 7.
//! Upstream: `grpo_loss_with_old_logps` of `fla/modules/grpo/ops.py` in 0.6.0, where log-probabilities are `[B, T]`:
//! of one prompt, B = G. `logits_to_keep` is T.

use ndarray::{Array1, ArrayView1, arr0};

use super::grpo::penalty;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn grpo_clipped<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let number = |name, default| x.problem.number(name).unwrap_or(default);
    let (beta, range) = (F::from_f64(number("beta", BETA)), number("epsilon", RANGE));
    let advantages = standardised(x.vector("rewards"));
    let [policy, reference, old] = ["logps", "ref_logps", "old_logps"].map(|name| x.matrix(name));
    let counted: Vec<_> =
        x.matrix("pad_mask").indexed_iter().filter(|(_, m)| m.value() > 0.0).map(|(at, _)| at).collect();
    let token = |&at: &(usize, usize)| {
        let ratio = (policy[at] - old[at]).exp();
        let gain = least(advantages[at.1] * ratio, advantages[at.1] * clip(ratio, 1.0 - range, 1.0 + range));
        beta * penalty(reference[at], policy[at]) - gain
    };
    let total: F = counted.iter().map(token).sum();
    vec![arr0(total / F::from_f64(counted.len().max(1) as f64)).into_dyn()]
}

/// Less their mean, over their deviation.
fn standardised<F: Real>(rewards: ArrayView1<'_, F>) -> Array1<F> {
    let count = rewards.len() as f64;
    let mean = rewards.iter().copied().sum::<F>() / F::from_f64(count);
    let apart: Array1<F> = rewards.mapv(|r| r - mean);
    let variance = apart.iter().map(|&a| a * a).sum::<F>() / F::from_f64(count - 1.0);
    let deviation = variance.sqrt() + F::from_f64(LEAST);
    apart.mapv(|a| a / deviation)
}

fn clip<F: Real>(x: F, low: f64, high: f64) -> F {
    match x.value() {
        v if v < low => F::from_f64(low),
        v if v > high => F::from_f64(high),
        _ => x,
    }
}

/// The smaller of two, the first of two that are alike; what is not a number is smaller than any.
fn least<F: Real>(a: F, b: F) -> F {
    if b.value() < a.value() { b } else { a }
}

const BETA: f64 = 0.2;
const RANGE: f64 = 0.2;
/// What upstream adds to the deviation.
const LEAST: f64 = 1e-8;
/// Log-probabilities of one token by policies that are not far apart.
const LIKELY: Domain = Domain::Uniform(-1.25, -0.75);

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "grpo_clipped",
    level: Level::Module,
    summary: "loss = mean of beta kl − min(A r, A clip(r)) over a prompt's tokens;  r = exp(logps − old_logps)",
    source: "Shao et al. 2024 (arXiv 2402.03300), eq. 3 and 4; Schulman et al. 2017 (arXiv 1707.06347), eq. 7",
    upstream: &["fla.modules.grpo.grpo_loss_with_old_logps"],
    sizes: dims![B, T, G],
    inputs: &[
        Port::new("logps", dims![B, T, G], LIKELY),
        Port::new("ref_logps", dims![B, T, G], LIKELY),
        Port::new("old_logps", dims![B, T, G], LIKELY),
        Port::new("pad_mask", dims![B, T, G], Domain::Mask).index(),
        Port::new("rewards", dims![N, G], Domain::Normal).single().constant(),
    ],
    outputs: &[Port::new("loss", dims![N], Domain::Normal).single()],
    attrs: &[
        Attr::number("beta", BETA, 0.75, "weight of kl"),
        Attr::number("epsilon", RANGE, 0.4, "how far from 1 the ratio pays"),
    ],
    constraints: &[Constraint {
        label: "C1",
        text: "G is at least 2",
        holds: |p| p.size(Dim::G) >= 2,
        break_it: |p| _ = p.sizes.insert(Dim::G, 1),
        mend: |p| _ = p.sizes.insert(Dim::G, 2),
    }],
    independent: dims![B],
    states: &[],
    function: function!(grpo_clipped),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    /// Advantages of two completions are 1/√2 and −1/√2, but for the 1e-8.
    fn advantage() -> f64 {
        1.0 / (2f64.sqrt() + 1e-8)
    }

    #[test]
    fn a_better_completion_pays_until_it_is_much_likelier() {
        // ratios 1, 2 of the better one, 1/2, 1 of the worse; those of 2 and 1/2 are clipped, and have no derivative
        let (a, two) = (advantage(), std::f64::consts::LN_2);
        let inputs =
            format!("logps=0,-{two},{two},0 ref_logps=0,-{two},{two},0 old_logps=0,0,0,0 pad_mask=1,1,1,1 rewards=3,1");
        let loss = -(a - 0.8 * a + 1.2 * a - a) / 4.0;
        let quarter = a / 4.0;
        let back = format!("d_logps=-{quarter},0,0,{quarter} d_old_logps={quarter},0,0,-{quarter}");
        check(&SPEC, "B=1 T=2 G=2", &inputs, "d_loss=1", &format!("loss={loss} {back}"));
    }

    #[test]
    fn padding_does_not_count_and_the_reference_pulls_back() {
        // one token counts, of which the reference finds likelier by a factor of two
        let (a, two) = (advantage(), std::f64::consts::LN_2);
        let inputs = format!("logps=0,5 ref_logps={two},7 old_logps=0,-3 pad_mask=1,0 rewards=3,1");
        let loss = 0.5 * (1.0 - two) - a;
        let back = format!("d_logps={},0 d_ref_logps=0.5,0", -0.5 - a);
        check(&SPEC, "B=1 T=1 G=2 beta=0.5", &inputs, "d_loss=1", &format!("loss={loss} {back}"));
        let none = inputs.replace("pad_mask=1,0", "pad_mask=0,0");
        check(&SPEC, "B=1 T=1 G=2 beta=0.5", &none, "d_loss=1", "loss=0 d_logps=0,0");
    }
}
