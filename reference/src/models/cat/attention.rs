//! Softmax attention within blocks of tokens, and to the first tokens of earlier ones.
//!
//! $$ q, k = R\, N(W_{q,k} x + b_{q,k}), \quad v = W_v x + b_v, \quad
//! o_i = \sum_{j \in S_i} \operatorname{softmax}_j(K^{-1/2} q_i \cdot k_j)\, v_j, \quad y = W_o o $$
//!
//! with R the turn of [`crate::modules::rotary`] in halves, of base `rope_theta`, by the place within the block, and N,
//! with `qk_norm`, a division of each head by its root mean square (ε = 10⁻⁵) and a weight. $S_i$ is the block of i; if
//! `compressed`, what of it is not later than i, and the first token of each block before it.
//!
//! Upstream: `CATDecoderAttention` and, without `compressed`, the attention of `CATCompressorBlock` of
//! `fla/models/cat/modeling_cat.py` in 0.6.0.

use ndarray::{Array2, Array3, Axis, concatenate};

use crate::algebra::softmax;
use crate::attention::{EPS, affine, normed, out, turned};
use crate::mixer::repeat;
use crate::modules::rotary::BASE;
use crate::real::Real;
use crate::spec::{Attr, Dim, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn cat_attention<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let block = x.problem.number("block").map_or(usize::MAX, |b| b as usize);
    let each = x.problem.size(Dim::HQ) / x.problem.size(Dim::H);
    let q = turned_anew(x, &normed(x, "q", EPS), block);
    let k = repeat(&turned_anew(x, &normed(x, "k", EPS), block), each);
    let v = repeat(&affine(x, "v"), each);
    let compressed = x.problem.flag("compressed");
    let seen = |i: usize, j: usize| match compressed {
        true => j <= i && (i / block == j / block || j.is_multiple_of(block)),
        false => i / block == j / block,
    };
    out(x, &attended(&q, &k, &v, seen))
}

/// Turned by the place within the block.
fn turned_anew<F: Real>(x: &Unit<'_, F>, heads: &Array3<F>, block: usize) -> Array3<F> {
    let blocks: Vec<_> = heads.axis_chunks_iter(Axis(0), block).map(|b| turned(x, &b.to_owned())).collect();
    let views: Vec<_> = blocks.iter().map(|b| b.view()).collect();
    if views.is_empty() { heads.clone() } else { concatenate(Axis(0), &views).expect("blocks of one sequence") }
}

/// Each head's mixture of the values of what a token sees.
fn attended<F: Real>(q: &Array3<F>, k: &Array3<F>, v: &Array3<F>, seen: impl Fn(usize, usize) -> bool) -> Array3<F> {
    let (tokens, heads, width) = q.dim();
    let scale = F::from_f64((width as f64).sqrt().recip());
    let mut o = Array3::from_elem((tokens, heads, width), F::zero());
    for (i, queries) in q.outer_iter().enumerate() {
        let places: Vec<usize> = (0..tokens).filter(|&j| seen(i, j)).collect();
        for h in 0..heads {
            let [keys, values]: [Array2<F>; 2] = [k, v].map(|x| x.index_axis(Axis(1), h).select(Axis(0), &places));
            let query = queries.row(h);
            let weights = softmax(F::rows(query.insert_axis(Axis(0)), keys.view()).mapv(|s| scale * s));
            o.index_axis_mut(Axis(1), h).row_mut(i).assign(&F::rows(weights.view(), values.t()).row(0));
        }
    }
    o
}

/// See the module documentation.
pub(super) static SPEC: OpSpec = OpSpec {
    name: "cat_attention",
    level: Level::Layer,
    summary: "o_proj(softmax(rotary(norm(q)) rotary(norm(k))) v) within blocks, and to the first token of earlier ones",
    source: "Prakash et al. 2025 (arXiv 2511.05313)",
    upstream: &[],
    sizes: dims![B, T, D, HQ, H, K],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("q_proj.weight", dims![HQ, K, D], &[2, 1]),
        Port::new("q_proj.bias", dims![HQ, K], Domain::Normal).merged(&[2]).when("qkv_bias"),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::new("k_proj.bias", dims![H, K], Domain::Normal).merged(&[2]).when("qkv_bias"),
        Port::weight("v_proj.weight", dims![H, K, D], &[2, 1]),
        Port::new("v_proj.bias", dims![H, K], Domain::Normal).merged(&[2]).when("qkv_bias"),
        Port::weight("o_proj.weight", dims![D, HQ, K], &[1, 2]),
        Port::new("q_norm.weight", dims![K], Domain::Uniform(0.5, 1.5)).single().when("qk_norm"),
        Port::new("k_norm.weight", dims![K], Domain::Uniform(0.5, 1.5)).single().when("qk_norm"),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[
        Attr::flag("qkv_bias", false, "add biases"),
        Attr::flag("qk_norm", false, "norm each head of q and k"),
        Attr::number("rope_theta", BASE, 100.0, "base of the wavelengths"),
        Attr::auto("block", 3.0, "tokens of a block; auto is all"),
        Attr::flag("compressed", false, "look back, at the block and at the first tokens of earlier ones"),
    ],
    constraints: &[],
    independent: dims![B],
    states: &[],
    function: function!(cat_attention),
};
