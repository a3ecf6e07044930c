//! A long convolution whose filter a small network makes of the distance.
//!
//! $$ f_l = W_2 \max(0, W_1 z_l + b_1) + b_2, \qquad o_t = x_t + \sum_{s \le t} f_{t-s} \odot x_s $$
//!
//! with the embedding of a distance $z_l = (l/(L-1),\ \cos \omega_j l,\ -\sin \omega_j l)$, the frequencies
//! $\omega_j = 2\pi \phi_j / L$ where φ runs evenly from 1e-4 to the number of frequencies less one, and L = `max_len`.
//! Well conditioned; a kink where an inner unit is 0.
//!
//! # Errors
//! C1: E is odd and at least 3. C2: `max_len` is at least 1 and no sequence is longer.
//!
//! Paper: Poli et al., *Hyena Hierarchy*, 2023: its implicit filters, without their window.
//! Upstream: `ImplicitLongConvolution` and `PositionalEmbedding` of `fla/modules/long_conv.py` in 0.6.0: `d_emb` is E,
//! `d_hidden` is I. Its parameter `pos_emb.z` is the embedding, which nothing trains. It knows no packing.

use std::f64::consts::TAU;

use ndarray::{Array2, Ix2};

use super::long_convolution::convolve;
use crate::algebra::{affine, rank, relu};
use crate::problem::Problem;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// The embeddings `[T, E]` of the first distances of `longest`.
pub fn embedding(tokens: usize, width: usize, longest: usize) -> Array2<f64> {
    let bands = (width - 1) / 2;
    Array2::from_shape_fn((tokens, width), |(l, i)| {
        if i == 0 {
            return fraction(l, longest);
        }
        let band = (i - 1) % bands;
        let frequency = LEAST + (bands as f64 - 1.0 - LEAST) * fraction(band, bands);
        let angle = TAU * frequency * l as f64 / longest as f64;
        if i <= bands { angle.cos() } else { -angle.sin() }
    })
}

/// Where the `i`-th of `count` even steps from 0 to 1 lies.
fn fraction(i: usize, count: usize) -> f64 {
    if count > 1 { i as f64 / (count - 1) as f64 } else { 0.0 }
}

fn implicit_long_convolution<F: Real>(u: &Unit<'_, F>) -> Outputs<F> {
    let z = embedding(u.tokens, u.problem.size(Dim::E), longest(u.problem)).mapv(F::from_f64);
    let inner = rank::<F, Ix2>(affine(&z, u.tensor("mlp.0.weight"), u.tensor("mlp.0.bias"))).mapv(relu);
    let filter = rank::<F, Ix2>(affine(&inner, u.tensor("mlp.2.weight"), u.tensor("mlp.2.bias")));
    vec![convolve(u.matrix("x"), filter.t()).into_dyn()]
}

fn longest(problem: &Problem) -> usize {
    problem.number("max_len").map_or(0, |n| n as usize)
}

/// The lowest frequency.
const LEAST: f64 = 1e-4;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "implicit_long_convolution",
    level: Level::Module,
    summary: "o_t = x_t + sum_{s <= t} mlp(embedding(t - s)) * x_s",
    source: "Poli et al. 2023 (arXiv 2302.10866)",
    upstream: &["fla.modules.ImplicitLongConvolution", "fla.modules.long_conv.PositionalEmbedding"],
    sizes: dims![B, T, D, E, I],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("mlp.0.weight", dims![I, E], &[1, 1]),
        Port::new("mlp.0.bias", dims![I], Domain::Normal),
        Port::weight("mlp.2.weight", dims![D, I], &[1, 1]),
        Port::new("mlp.2.bias", dims![D], Domain::Normal),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[Attr::number("max_len", 1024.0, 128.0, "the length that distances are measured by")],
    constraints: &[
        Constraint {
            label: "C1",
            text: "E is odd and at least 3",
            holds: |p| p.size(Dim::E) >= 3 && !p.size(Dim::E).is_multiple_of(2),
            break_it: |p| _ = p.sizes.insert(Dim::E, 4),
            mend: |p| _ = p.sizes.insert(Dim::E, p.size(Dim::E).max(2) / 2 * 2 + 1),
        },
        Constraint {
            label: "C2",
            text: "max_len is at least 1 and no sequence is longer",
            holds: |p| longest(p) >= 1 && p.longest() <= longest(p),
            break_it: |p| _ = p.attrs.insert("max_len", Value::Number(0.0)),
            mend: |p| {
                p.attrs.remove("max_len");
                if p.longest() > longest(p) {
                    p.attrs.insert("max_len", Value::Number(p.longest().next_power_of_two() as f64));
                }
            },
        },
    ],
    independent: dims![B],
    states: &[],
    function: function!(implicit_long_convolution),
};

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::{SPEC, embedding};
    use crate::by_hand::check;

    #[test]
    fn distances_go_from_0_to_1_and_their_angles_once_around() {
        // five channels: two frequencies, of which the second is 1
        let z = embedding(5, 5, 5);
        let angle = std::f64::consts::TAU / 5.0;
        assert_relative_eq!(z.row(0).to_vec()[..], [0.0, 1.0, 1.0, 0.0, 0.0][..]);
        let slow = angle * 1e-4;
        let first = [0.25, slow.cos(), angle.cos(), -slow.sin(), -angle.sin()];
        assert_relative_eq!(z.row(1).to_vec()[..], first[..], max_relative = 1e-14);
        assert_relative_eq!(z[[4, 0]], 1.0);
    }

    #[test]
    fn a_filter_of_biases_sums() {
        let inputs = "x=1,2 mlp.0.weight=0,0,0 mlp.0.bias=3 mlp.2.weight=2 mlp.2.bias=4";
        let back = "d_mlp.2.bias=4 d_mlp.2.weight=12 d_mlp.0.bias=8 d_x=21,11";
        check(&SPEC, "B=1 T=2 D=1 E=3 I=1", inputs, "", "o=11,32");
        check(&SPEC, "B=1 T=2 D=1 E=3 I=1", inputs, "d_o=1,1", back);
    }
}
