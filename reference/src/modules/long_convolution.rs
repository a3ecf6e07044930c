//! A causal convolution as long as the sequence, of every channel by itself, added to its input.
//!
//! $$ o_t = x_t + \sum_{s \le t} f_{t-s}\, x_s + \sum_{s \ge t} r_{s-t}\, x_s $$
//!
//! Taps that the filter f `[D, L]` does not have are zeros; `k_rev` is r, zeros if absent. Well conditioned.
//!
//! Paper: Poli et al., *Hyena Hierarchy*, 2023; Fu et al., *Hungry Hungry Hippos*, 2023 (by Fourier transform).
//! Upstream: `LongConvolution` and `fft_conv` of `fla/modules/long_conv.py` in 0.6.0, by a transform of 2T points. Taps
//! from the T-th on, which a causal convolution cannot reach, wrap around there: with a filter longer than the
//! sequence, as `max_len` allows, a token sees later ones, through taps T + 1 to 2T - 1. The `gelu` and `dropout_mask`
//! of `fft_conv` are no part of this. It knows no packing.

use ndarray::{Array2, ArrayView2};

use crate::real::Real;
use crate::spec::{Domain, Level, OpSpec, Port, Presence};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// The first two terms, of `x` `[T, D]` and a filter `[D, L]`.
pub fn convolve<F: Real>(x: ArrayView2<'_, F>, filter: ArrayView2<'_, F>) -> Array2<F> {
    let taps = filter.ncols();
    Array2::from_shape_fn(x.raw_dim(), |(t, c)| {
        let seen = (t + 1).saturating_sub(taps)..=t;
        x[[t, c]] + seen.map(|s| filter[[c, t - s]] * x[[s, c]]).sum::<F>()
    })
}

/// The last term.
fn reversed<F: Real>(x: ArrayView2<'_, F>, filter: ArrayView2<'_, F>) -> Array2<F> {
    let (tokens, taps) = (x.nrows(), filter.ncols());
    Array2::from_shape_fn(x.raw_dim(), |(t, c)| (t..tokens.min(t + taps)).map(|s| filter[[c, s - t]] * x[[s, c]]).sum())
}

fn long_convolution<F: Real>(u: &Unit<'_, F>) -> Outputs<F> {
    let x = u.matrix("x");
    let mut o = convolve(x, u.matrix("filter"));
    if u.given("k_rev") {
        o = o + reversed(x, u.matrix("k_rev"));
    }
    vec![o.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "long_convolution",
    level: Level::Module,
    summary: "o_t = x_t + sum_{s <= t} filter_{t-s} x_s + sum_{s >= t} k_rev_{s-t} x_s",
    source: "Poli et al. 2023 (arXiv 2302.10866)",
    upstream: &["fla.modules.LongConvolution", "fla.modules.long_conv.fft_conv"],
    sizes: dims![B, T, D, L],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("filter", dims![D, L], Domain::Normal),
        Port::new("k_rev", dims![D, L], Domain::Normal).presence(Presence::OrZero).looks_ahead(),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[],
    constraints: &[],
    independent: dims![B],
    states: &[],
    function: function!(long_convolution),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn a_filter_of_two_taps() {
        let back = "d_x=14,14,4 d_filter=6,3";
        check(&SPEC, "B=1 T=3 D=1 L=2 absent=k_rev", "x=1,2,3 filter=3,10", "", "o=4,18,32");
        check(&SPEC, "B=1 T=3 D=1 L=2 absent=k_rev", "x=1,2,3 filter=3,10", "d_o=1,1,1", back);
    }

    #[test]
    fn a_filter_longer_than_the_sequence_has_taps_without_a_use() {
        let (inputs, back) = ("x=1,2 filter=3,10,7,8", "o=4,18 d_filter=3,1,0,0");
        check(&SPEC, "B=1 T=2 D=1 L=4 absent=k_rev", inputs, "d_o=1,1", back);
    }

    #[test]
    fn backwards_too() {
        check(&SPEC, "B=1 T=2 D=1 L=2", "x=1,2 filter=0,0 k_rev=5,100", "d_o=1,0", "o=206,12 d_k_rev=1,2 d_x=6,100");
    }
}
