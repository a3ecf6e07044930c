//! Rotary position embedding: pairs of channels turn with the position.
//!
//! $$ \begin{pmatrix} y_i \\ y_{i'} \end{pmatrix} = \begin{pmatrix} \cos p\theta_i & -\sin p\theta_i \\
//! \sin p\theta_i & \cos p\theta_i \end{pmatrix} \begin{pmatrix} x_i \\ x_{i'} \end{pmatrix}, \qquad
//! \theta_i = \text{base}^{-2i/R}, \quad i < R/2 $$
//!
//! of the first R = `dim` channels, all K unless given; the others stay. $i' = i + R/2$, or the neighbour ($2i$ and
//! $2i + 1$) when `interleaved`; $p$ is the token's place in its sequence plus `offset`. Orthogonal, so well
//! conditioned; large positions lose the angle in low precision.
//!
//! # Errors
//! C1: `dim`, or K without it, is even and at most K.
//!
//! Paper: Su et al., *RoFormer*, 2021, eq. 15 (interleaved).
//! Upstream: `RotaryEmbedding` and `rotary_embedding` of `fla/modules/rotary/ops.py` in 0.6.0. Its `scale_base`
//! (XPos, whose scale depends on the longest sequence ever seen) is no part of this; `pos_idx_in_fp32` does not change
//! values.

use ndarray::{Array3, ArrayBase, Axis, Data, Ix3, Slice};

use crate::problem::Problem;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// Turns `x` `[T, H, K]`, whose first token is at position `offset`.
pub fn rotate<F: Real, S: Data<Elem = F>>(
    x: &ArrayBase<S, Ix3>,
    base: f64,
    offset: f64,
    interleaved: bool,
) -> Array3<F> {
    let width = x.len_of(Axis(2)) as f64;
    rotate_by(x, |i| frequency(base, 2.0 * i as f64 / width), offset, interleaved)
}

/// `1 / base^exponent`.
pub fn frequency<F: Real>(base: f64, exponent: f64) -> F {
    (-F::from_f64(exponent) * F::from_f64(base).ln()).exp()
}

/// The same where pair `i` turns by the angle `frequency(i)` from token to token.
pub fn rotate_by<F: Real, S: Data<Elem = F>>(
    x: &ArrayBase<S, Ix3>,
    frequency: impl Fn(usize) -> F,
    offset: f64,
    interleaved: bool,
) -> Array3<F> {
    let (tokens, heads, width) = x.dim();
    let half = width / 2;
    let mut y = x.to_owned();
    for t in 0..tokens {
        for i in 0..half {
            // rounded as all arithmetic is: what a large angle loses, its sine and cosine lose
            let angle = (F::from_f64(t as f64 + offset) * frequency(i)).value();
            let (sin, cos) = (F::from_f64(angle.sin()), F::from_f64(angle.cos()));
            let (a, b) = if interleaved { (2 * i, 2 * i + 1) } else { (i, i + half) };
            for h in 0..heads {
                let (left, right) = (x[[t, h, a]], x[[t, h, b]]);
                y[[t, h, a]] = left * cos - right * sin;
                y[[t, h, b]] = left * sin + right * cos;
            }
        }
    }
    y
}

fn rotary<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let number = |name, default| x.problem.number(name).unwrap_or(default);
    let (base, offset) = (number("base", BASE), number("offset", 0.0));
    let mut o = x.cube("x").to_owned();
    let mut first = o.slice_axis_mut(Axis(2), Slice::from(..turning(x.problem)));
    let turned = rotate(&first, base, offset, x.problem.flag("interleaved"));
    first.assign(&turned);
    vec![o.into_dyn()]
}

/// How many channels turn.
fn turning(problem: &Problem) -> usize {
    problem.number("dim").map_or(problem.size(Dim::K), |n| n as usize)
}

/// The base that models use unless they say otherwise.
pub const BASE: f64 = 10_000.0;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "rotary",
    level: Level::Module,
    summary: "pairs of channels turn by position times base^(-2i/K)",
    source: "Su et al. 2021 (arXiv 2104.09864), eq. 15",
    upstream: &[
        "fla.modules.RotaryEmbedding",
        "fla.modules.rotary.rotary_embedding",
        "fla.modules.rotary.ops.rotary_embedding_ref",
        "fla.modules.rotary.ops.rotate_half",
    ],
    sizes: dims![B, T, H, K],
    inputs: &[Port::new("x", dims![B, T, H, K], Domain::Normal)],
    outputs: &[Port::new("o", dims![B, T, H, K], Domain::Normal)],
    attrs: &[
        Attr::number("base", BASE, 100.0, "of the wavelengths"),
        Attr::number("offset", 0.0, 3.0, "position of the first token"),
        Attr::flag("interleaved", false, "pair neighbours instead of halves"),
        Attr::auto("dim", 2.0, "how many channels turn; auto is K"),
    ],
    constraints: &[Constraint {
        label: "C1",
        text: "dim, or K without it, is even and at most K",
        holds: |p| turning(p).is_multiple_of(2) && turning(p) <= p.size(Dim::K),
        break_it: |p| {
            p.attrs.remove("dim");
            p.sizes.insert(Dim::K, 3);
        },
        mend: |p| _ = p.sizes.insert(Dim::K, p.size(Dim::K).max(turning(p)).next_multiple_of(2)),
    }],
    independent: dims![B],
    states: &[],
    function: function!(rotary),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn one_pair_turns_by_its_position() {
        let (sin, cos) = 1f64.sin_cos();
        let expected = format!("o=1,0,{cos},{sin} d_x=1,1,{},{}", cos + sin, cos - sin);
        check(&SPEC, "B=1 T=2 H=1 K=2", "x=1,0,1,0", "d_o=1,1,1,1", &expected);
    }

    #[test]
    fn halves_or_neighbours() {
        let (sin, cos) = 1f64.sin_cos();
        let fields = "B=1 T=1 H=1 K=4 base=1 offset=1";
        check(&SPEC, fields, "x=1,0,0,0", "", &format!("o={cos},0,{sin},0"));
        check(&SPEC, &format!("{fields} interleaved=true"), "x=1,0,0,0", "", &format!("o={cos},{sin},0,0"));
        check(&SPEC, &format!("{fields} dim=2"), "x=1,0,5,7", "", &format!("o={cos},{sin},5,7"));
    }
}
