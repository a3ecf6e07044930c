//! Test-time training of a linear map: a gradient step on a normalised reconstruction loss for each mini-batch.
//!
//! With $\operatorname{LN}(y) = (y - \bar y) / \sqrt{\operatorname{var} y + \epsilon}$, and with h, b̂ as the mini-batch
//! finds them, each token of it has the loss
//! $\ell_j = \tfrac12 \lVert w \operatorname{LN}(y_j) + b - (v_j - k_j) \rVert^2$ at $y_j = h^\top k_j + \hat b$ and
//! $d_j = \partial \ell_j / \partial y_j$. Tokens read what the steps up to them would make of the map, under a step
//! size of their own, and the last of the mini-batch says how far it really goes:
//!
//! $$ r_i = s\, h^\top q_i + \hat b - \eta_i \sum_{j \le i} (s\, q_i^\top k_j + 1)\, d_j, \qquad
//!    o_i = r_i + w \operatorname{LN}(r_i) + b $$
//! $$ h \leftarrow h - \eta_{\text{last}} \sum_j k_j d_j^\top, \qquad
//!    \hat b \leftarrow \hat b - \eta_{\text{last}} \sum_j d_j $$
//!
//! Mini-batches are of `chunk_size` tokens from the start of each sequence, and the last may have fewer. d grows as a
//! row of y loses its spread: ill-conditioned where $\operatorname{var} y$ comes near ε.
//!
//! `h0`, `hb0` and `ht`, `hbt` are ordinary inputs and outputs, not states: what a mini-batch has read is no part of
//! them, so that a run may be resumed from them at the borders of mini-batches alone.
//!
//! # Errors
//! C1: values are as wide as keys, which are subtracted from them. C2: at least 3 channels: LN makes signs of two, which
//! leaves no slope but what ε does. C3: a mini-batch has a whole number of tokens, at least 1.
//!
//! Paper: Sun et al., *Learning to (Learn at Test Time): RNNs with Expressive Hidden States*, 2024, TTT-Linear.
//! Upstream: `fla/ops/ttt` of 0.6.0, where `eta` has an axis of 1 more, and `hb0` too. Where the last mini-batch is not
//! full, the padded tokens there have a loss of their own, which moves `hbt`.

use ndarray::{Array1, Array2, ArrayView1};

use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Presence, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn ttt<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (q, k, eta) = (x.matrix("q"), x.matrix("k"), x.vector("eta"));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let size = x.problem.number("chunk_size").map_or(1, |size| size as usize);
    let (mut h, mut bias) = (x.matrix("h0").to_owned(), x.vector("hb0").to_owned());
    let mut o = Array2::from_elem(q.dim(), F::zero());
    for start in (0..x.tokens).step_by(size) {
        let end = x.tokens.min(start.saturating_add(size));
        let d: Vec<Array1<F>> = (start..end).map(|j| slope(x, j, &read(&h, &k.row(j), &bias))).collect();
        for i in start..end {
            let q_i = q.row(i).mapv(|q_a| scale * q_a);
            let mut step = Array1::from_elem(bias.len(), F::zero());
            for (j, d_j) in (start..=i).zip(&d) {
                let weight = F::dot(q_i.view(), k.row(j)) + F::one();
                step.zip_mut_with(d_j, |sum, &d_c| *sum = sum.mac(weight, d_c));
            }
            let r: Array1<F> = read(&h, &q_i.view(), &bias).iter().zip(&step).map(|(&r, &s)| r - eta[i] * s).collect();
            let (normal, _) = normalised(x, &r);
            for (c, o_c) in o.row_mut(i).iter_mut().enumerate() {
                *o_c = r[c] + normal[c] * x.vector("w")[c] + x.vector("b")[c];
            }
        }
        for (j, d_j) in (start..end).zip(&d) {
            for (mut h_row, &k_a) in h.rows_mut().into_iter().zip(k.row(j)) {
                let step = -eta[end - 1] * k_a;
                h_row.zip_mut_with(d_j, |h_ac, &d_c| *h_ac = h_ac.mac(step, d_c));
            }
            bias.zip_mut_with(d_j, |b_c, &d_c| *b_c = *b_c - eta[end - 1] * d_c);
        }
    }
    vec![o.into_dyn(), h.into_dyn(), bias.into_dyn()]
}

/// `hᵀ k + bias`.
fn read<F: Real>(h: &Array2<F>, k: &ArrayView1<'_, F>, bias: &Array1<F>) -> Array1<F> {
    h.columns().into_iter().zip(bias).map(|(h_col, &b_c)| F::dot(k.view(), h_col) + b_c).collect()
}

/// `LN(y)`, and the root that divides.
fn normalised<F: Real>(x: &Unit<'_, F>, y: &Array1<F>) -> (Array1<F>, F) {
    let width = F::from_f64(y.len() as f64);
    let mean = y.iter().copied().sum::<F>() / width;
    let centred = y.mapv(|y_c| y_c - mean);
    let variance = centred.iter().map(|&c| c * c).sum::<F>() / width;
    let root = (variance + F::from_f64(x.problem.number("eps").unwrap_or(0.0))).sqrt();
    (centred.mapv(|c| c / root), root)
}

/// The gradient of token j's loss by `y`.
fn slope<F: Real>(x: &Unit<'_, F>, j: usize, y: &Array1<F>) -> Array1<F> {
    let (v, k, w, b) = (x.matrix("v"), x.matrix("k"), x.vector("w"), x.vector("b"));
    let (normal, root) = normalised(x, y);
    let error = |c: usize| w[c] * (w[c] * normal[c] + b[c] - (v[[j, c]] - k[[j, c]]));
    let d_normal: Array1<F> = (0..y.len()).map(error).collect();
    let width = F::from_f64(y.len() as f64);
    let mean = d_normal.iter().copied().sum::<F>() / width;
    let along = d_normal.iter().zip(&normal).map(|(&d, &n)| d * n).sum::<F>() / width;
    d_normal.iter().zip(&normal).map(|(&d, &n)| (d - mean - n * along) / root).collect()
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "ttt",
    level: Level::Op,
    summary: "h −= η k dᵀ once a mini-batch, d the slope of a normalised loss;  o = r + w LN(r) + b, r = scale hᵀ q",
    source: "Sun et al. 2024 (arXiv 2407.04620), TTT-Linear",
    upstream: &["fla.ops.ttt.chunk_ttt_linear", "fla.ops.ttt.fused_chunk_ttt_linear"],
    sizes: dims![B, T, H, K, V],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::Normal),
        Port::new("k", dims![B, T, H, K], Domain::UnitKey),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
        Port::new("w", dims![H, V], Domain::Normal),
        Port::new("b", dims![H, V], Domain::Normal),
        Port::new("eta", dims![B, T, H], Domain::Uniform(0.005, 0.015)).single(),
        Port::new("h0", dims![N, H, K, V], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("hb0", dims![N, H, V], Domain::Normal).single().presence(Presence::OrZero),
    ],
    outputs: &[
        Port::new("o", dims![B, T, H, V], Domain::Normal),
        Port::new("ht", dims![N, H, K, V], Domain::Normal).single(),
        Port::new("hbt", dims![N, H, V], Domain::Normal).single(),
    ],
    attrs: &[
        Attr::auto("scale", 0.375, "factor on q; auto is K^-1/2"),
        Attr::number("eps", 1e-6, 0.125, "what is added to the variance"),
        Attr::number("chunk_size", 16.0, 8.0, "tokens of a mini-batch"),
    ],
    constraints: &[
        Constraint {
            label: "C1",
            text: "V equals K",
            holds: |p| p.size(Dim::V) == p.size(Dim::K),
            break_it: |p| p.sizes.extend([(Dim::K, 2), (Dim::V, 3)]),
            mend: |p| _ = p.sizes.insert(Dim::V, p.size(Dim::K)),
        },
        Constraint {
            label: "C2",
            text: "V is at least 3",
            holds: |p| p.size(Dim::V) >= 3,
            break_it: |p| p.sizes.extend([(Dim::K, 2), (Dim::V, 2)]),
            mend: |p| p.sizes.extend([(Dim::K, 3), (Dim::V, 3)]),
        },
        Constraint {
            label: "C3",
            text: "chunk_size is a whole number, at least 1",
            holds: |p| p.number("chunk_size").is_some_and(|size| size >= 1.0 && size.fract() == 0.0),
            break_it: |p| _ = p.attrs.insert("chunk_size", Value::Number(0.5)),
            mend: |p| _ = p.attrs.remove("chunk_size"),
        },
    ],
    independent: dims![B, H],
    states: &[],
    function: function!(ttt),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn a_map_of_weight_zero_is_only_read() {
        let inputs =
            "q=1,2,0,3,4,0 k=1,0,0,0,1,0 v=5,6,7,8,9,10 w=0,0,0 b=1,2,3 eta=1,1 h0=1,2,0,3,4,0,0,0,0 hb0=10,20,30";
        let expected = "o=18,32,33,26,44,33 ht=1,2,0,3,4,0,0,0,0 hbt=10,20,30";
        check(&SPEC, "B=1 T=2 H=1 K=3 V=3 scale=1", inputs, "", expected);
    }

    #[test]
    fn a_step_by_hand() {
        // y = 3, −3, 0 has variance 6, hence root 4 and LN = 3/4, −3/4, 0; the errors 3/4, −3/4, 3 have mean 1 and go
        // along LN by 3/8: d = (−17/32, −47/32, 2)/4, twice which is taken from what is read
        let inputs = "q=1,0,0 k=1,0,0 v=1,0,-3 w=1,1,1 b=0,0,0 eta=1 h0=3,-3,0,0,0,0,0,0,0 hb0=0,0,0";
        let r = [3.265625, -2.265625, -1.0];
        let root = (r.iter().map(|r| r * r).sum::<f64>() / 3.0 + 10.0).sqrt();
        let o = r.map(|r| (r + r / root).to_string()).join(",");
        let expected = format!("o={o} ht=3.1328125,-2.6328125,-0.5,0,0,0,0,0,0 hbt=0.1328125,0.3671875,-0.5");
        check(&SPEC, "B=1 T=1 H=1 K=3 V=3 scale=1 eps=10", inputs, "", &expected);
    }
}
