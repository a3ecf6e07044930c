//! The WKV average of RWKV-4: in each channel by itself, a softmax over the past that fades at a constant rate, with a
//! bonus for the token itself.
//!
//! $$ o_t = \frac{a_{t-1} + e^{u + k_t} v_t}{b_{t-1} + e^{u + k_t}}, \qquad
//! a_t = e^{-r} a_{t-1} + e^{k_t} v_t, \qquad b_t = e^{-r} b_{t-1} + e^{k_t}, \qquad r = e^w $$
//!
//! The states are the sums $a = e^{\varepsilon} \alpha$ and $b = e^{\varepsilon} \beta$, where the running maximum
//! $\varepsilon_t = \max(\varepsilon_{t-1} - r,\ k_t)$ keeps all exponentials at most 1. So it is well conditioned for
//! any k, as long as $\beta \ge 0$.
//!
//! An absent `eps0` is minus infinity: then `alpha0` and `beta0` have no weight. The arithmetic holds the least `f32`
//! in its place, which is also `epst` of a sequence that has neither eps0 nor tokens.
//!
//! The maximum has the derivative of the larger of the two, and that of $k_t$ where they are equal. There `alphat`,
//! `betat` and `epst` have kinks; o does not depend on the choice and has none.
//!
//! Paper: Peng et al., *RWKV: Reinventing RNNs for the Transformer Era*, 2023, the numerically stable form of the
//! recurrence in the appendix.
//! Upstream: `fla/ops/rwkv4` of 0.6.0, where the states are one tensor `[B, 3, 1, D]` that must be given and is
//! returned in the storage type of k; there are no packed sequences.

use ndarray::{Array1, arr0};

use crate::real::Real;
use crate::spec::{Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// What stands for minus infinity, so that no difference of infinities arises.
const LEAST: f64 = f32::MIN as f64;

fn rwkv4<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (k, v) = (x.vector("k"), x.vector("v"));
    let (rate, u) = (x.scalar("w").exp(), x.scalar("u"));
    let [mut alpha, mut beta, mut eps] = ["alpha0", "beta0", "eps0"].map(|name| x.scalar(name));
    if eps.value() < LEAST {
        eps = F::from_f64(LEAST);
    }
    let mut o = Array1::from_elem(x.tokens, F::zero());
    for t in 0..x.tokens {
        let favoured = u + k[t];
        let (_, old, new) = weights(eps, favoured);
        o[t] = (old * alpha + new * v[t]) / (old * beta + new);
        let (larger, old, new) = weights(eps - rate, k[t]);
        (alpha, beta, eps) = (old * alpha + new * v[t], old * beta + new, larger);
    }
    [o.into_dyn(), arr0(alpha).into_dyn(), arr0(beta).into_dyn(), arr0(eps).into_dyn()].into()
}

/// The larger of two logarithms, and both exponentials over that of the larger.
fn weights<F: Real>(old: F, new: F) -> (F, F, F) {
    let larger = if old.value() > new.value() { old } else { new };
    (larger, (old - larger).exp(), (new - larger).exp())
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "rwkv4",
    level: Level::Op,
    summary: "o = (a + exp(u + k) v) / (b + exp(u + k));  a = exp(−exp(w)) a + exp(k) v;  b alike with 1 for v",
    source: "Peng et al. 2023 (arXiv 2305.13048)",
    upstream: &["fla.ops.rwkv4.fused_recurrent_rwkv4"],
    sizes: dims![B, T, D],
    inputs: &[
        Port::new("w", dims![D], Domain::Uniform(-5.0, 2.0)).single(),
        Port::new("u", dims![D], Domain::Normal).single(),
        Port::new("k", dims![B, T, D], Domain::Normal),
        Port::new("v", dims![B, T, D], Domain::Normal),
        Port::new("alpha0", dims![N, D], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("beta0", dims![N, D], Domain::Uniform(1.0, 4.0)).single().presence(Presence::OrZero),
        Port::new("eps0", dims![N, D], Domain::Normal).single().presence(Presence::OrMinusInfinity),
    ],
    outputs: &[
        Port::new("o", dims![B, T, D], Domain::Normal),
        Port::new("alphat", dims![N, D], Domain::Normal).single(),
        Port::new("betat", dims![N, D], Domain::Normal).single(),
        Port::new("epst", dims![N, D], Domain::Normal).single(),
    ],
    attrs: &[],
    constraints: &[],
    independent: dims![B, D],
    states: &[
        State::elementwise("alpha0", "alphat"),
        State::elementwise("beta0", "betat"),
        State::elementwise("eps0", "epst"),
    ],
    function: function!(rwkv4),
};

#[cfg(test)]
mod tests {
    use std::f64::consts::LN_2;

    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn one_token_beside_a_history_and_its_gradients() {
        // the history of average 2 weighs 1, the token of value 5 weighs 2: o = 12/3; then the history weighs 1/2
        check(
            &SPEC,
            "B=1 T=1 D=1",
            &format!("w={} u={LN_2} k=0 v=5 alpha0=2 beta0=1 eps0=0", LN_2.ln()),
            "d_o=3",
            "o=4 alphat=6 betat=1.5 epst=0 d_w=0 d_u=2 d_k=2 d_v=2 d_alpha0=1 d_beta0=-4 d_eps0=-2",
        );
    }

    #[test]
    fn the_rate_counts_from_the_third_token() {
        // weights 1/2, 1 and 2 of 4, 3 and 1
        check(
            &SPEC,
            "B=1 T=3 D=1 absent=alpha0+beta0+eps0",
            &format!("w={} u={LN_2} k=0,0,0 v=4,3,1", LN_2.ln()),
            "d_o=0,0,7",
            &format!(
                "o=4,{},2 alphat=3.5 betat=1.75 epst=0 d_k=2,2,-4 d_v=1,2,4 d_u=-4 d_w={}",
                10.0 / 3.0,
                -2.0 * LN_2
            ),
        );
    }

    #[test]
    fn nothing_overflows_where_exponentials_would() {
        let inputs = "w=0 u=0 k=900,-900,1800 v=3,5,7 alpha0=1 beta0=1 eps0=-inf";
        check(&SPEC, "B=1 T=3 D=1", inputs, "", "o=3,3,7 alphat=7 betat=1 epst=1800");
    }
}
