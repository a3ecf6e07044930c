//! A short causal convolution of every channel by itself, with an activation.
//!
//! $$ y_t = \phi\Big(\sum_{j=0}^{W-1} w_j\, x_{t-W+1+j} + b\Big) + r_t $$
//!
//! Before the first token of a sequence come the last tokens of what was before it, `x0` (the oldest first), and `xt`
//! are the last tokens of this sequence, for the next. Both have `W` columns, as upstream's caches; no tap reads the
//! first one any more, so nothing depends on it, and it is 0 in `xt`. With `swish`, $\phi(x) = x\,\sigma(x)$. Well
//! conditioned.
//!
//! Paper: Poli et al., *Hyena Hierarchy*, 2023, §3 (the short explicit filter).
//! Upstream: `causal_conv1d` and `ShortConvolution` of `fla/modules/causal_conv1d` in 0.6.0, where the weight of the
//! latter is `[D, 1, W]`.

use ndarray::{Array2, ArrayView2};

use crate::algebra::swish;
use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// The convolution of `x` `[T, D]` with `weight` `[D, W]` after `x0` `[D, W]`, without bias or activation; and what the
/// next piece starts from.
pub fn convolve<F: Real>(x: ArrayView2<'_, F>, weight: ArrayView2<'_, F>, x0: ArrayView2<'_, F>) -> [Array2<F>; 2] {
    let (tokens, channels) = x.dim();
    let mut y = Array2::from_elem(x.raw_dim(), F::zero());
    let mut xt = Array2::from_elem(x0.raw_dim(), F::zero());
    for c in 0..channels {
        let line: Vec<F> = x0.row(c).iter().chain(x.column(c)).copied().collect();
        for t in 0..tokens {
            y[[t, c]] = line[t + 1..].iter().zip(weight.row(c)).map(|(&x, &w)| x * w).sum();
        }
        xt.row_mut(c).iter_mut().zip(&line[tokens..]).skip(1).for_each(|(last, &x)| *last = x);
    }
    [y, xt]
}

fn short_convolution<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let [y, xt] = convolve(x.matrix("x"), x.matrix("weight"), x.matrix("x0"));
    let mut o = y + x.vector("bias");
    if x.problem.flag("swish") {
        o.mapv_inplace(swish);
    }
    vec![(o + x.matrix("residual")).into_dyn(), xt.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "short_convolution",
    level: Level::Module,
    summary: "o = act(sum_j weight_j x_{t-W+1+j} + bias) + residual",
    source: "Poli et al. 2023 (arXiv 2302.10866), §3",
    upstream: &[
        "fla.modules.ShortConvolution",
        "fla.modules.causal_conv1d.causal_conv1d",
        "fla.modules.causal_conv1d.causal_conv1d_update",
        "fla.modules.causal_conv1d.causal_conv1d_update_states",
    ],
    sizes: dims![B, T, D, W],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("weight", dims![D, W], &[1, 0, 1]),
        Port::new("bias", dims![D], Domain::Normal).presence(Presence::OrZero),
        Port::new("residual", dims![B, T, D], Domain::Normal).presence(Presence::OrZero),
        Port::new("x0", dims![N, D, W], Domain::Normal).presence(Presence::OrZero),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal), Port::new("xt", dims![N, D, W], Domain::Normal)],
    attrs: &[Attr::flag("swish", false, "apply x σ(x) to the convolution")],
    constraints: &[],
    independent: dims![B],
    states: &[State::new("x0", "xt")],
    function: function!(short_convolution),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn the_newest_token_has_the_last_tap() {
        // before the sequence: 1, 2; of these the last one is seen once
        let inputs = "x=3,4,5 weight=10,1 x0=1,2 bias=1";
        check(&SPEC, "B=1 T=3 D=1 W=2 absent=residual", inputs, "", "o=24,35,46 xt=0,5");
        let back = "d_x=11,11,1 d_weight=9,12 d_x0=0,10 d_bias=3";
        check(&SPEC, "B=1 T=3 D=1 W=2 absent=residual", inputs, "d_o=1,1,1", back);
    }

    #[test]
    fn no_token_hands_on_what_came() {
        check(&SPEC, "B=1 T=0 D=1 W=2 absent=residual+bias", "x= weight=1,1 x0=1,2", "d_xt=3,4", "xt=0,2 d_x0=0,4");
    }
}
