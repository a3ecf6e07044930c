//! What moves a token to the one before it.
//!
//! $$ o_t = x_{t-1} - x_t $$
//!
//! Before the first token of a sequence comes `x0`, and `xt` is the last token of this one, for the next; without a
//! token it is `x0`. Well conditioned but for the cancellation that it is.
//!
//! Paper: Peng et al., *RWKV: Reinventing RNNs for the Transformer Era*, 2023 (token shift).
//! Upstream: `token_shift` of `fla/modules/token_shift.py` in 0.6.0, whose cache is x0 and xt; `token_shift_cp` is the
//! same over ranks that pass it on.

use ndarray::{Array2, ArrayView1, ArrayView2};

use crate::real::Real;
use crate::spec::{Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// `x` `[T, D]` one token later, after `before`, less `x`.
pub fn shift<F: Real>(x: ArrayView2<'_, F>, before: ArrayView1<'_, F>) -> Array2<F> {
    Array2::from_shape_fn(x.raw_dim(), |(t, i)| if t > 0 { x[[t - 1, i]] } else { before[i] } - x[[t, i]])
}

/// The last token, or what was before the first.
pub fn last<'a, F: Real>(x: &'a ArrayView2<'a, F>, before: ArrayView1<'a, F>) -> ArrayView1<'a, F> {
    if x.nrows() > 0 { x.row(x.nrows() - 1) } else { before }
}

fn token_shift<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (tokens, before) = (x.matrix("x"), x.vector("x0"));
    vec![shift(tokens, before).into_dyn(), last(&tokens, before).to_owned().into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "token_shift",
    level: Level::Module,
    summary: "o_t = x_{t-1} - x_t",
    source: "Peng et al. 2023 (arXiv 2305.13048)",
    upstream: &[
        "fla.modules.TokenShift",
        "fla.modules.token_shift.token_shift",
        "fla.modules.token_shift.token_shift_ref",
    ],
    sizes: dims![B, T, D],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("x0", dims![N, D], Domain::Normal).presence(Presence::OrZero),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal), Port::new("xt", dims![N, D], Domain::Normal)],
    attrs: &[],
    constraints: &[],
    independent: dims![B],
    states: &[State::elementwise("x0", "xt")],
    function: function!(token_shift),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn each_token_is_taken_from_the_one_before() {
        let expected = "o=3,-3,5 xt=2 d_x=9,90,-93 d_x0=1";
        check(&SPEC, "B=1 T=3 D=1", "x=4,7,2 x0=7", "d_o=1,10,100 d_xt=7", expected);
    }

    #[test]
    fn no_token_hands_on_what_came() {
        check(&SPEC, "B=1 T=0 D=2", "x= x0=1,2", "d_xt=3,4", "xt=1,2 d_x0=3,4");
    }
}
