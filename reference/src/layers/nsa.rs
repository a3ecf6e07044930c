//! Three softmax attentions side by side, of which one looks at the blocks of tokens that another finds important.
//!
//! $$ q, k = R\,(W_{q,k} x + b_{q,k}), \quad v = W_v x + b_v, \quad [g^{\mathrm{cmp}}, g^{\mathrm{slc}},
//! g^{\mathrm{swa}}] = \sigma(W_g x), \quad y = W_o \operatorname{NSA}(q, k, v; g, \mathcal{I}) $$
//!
//! with R the turn of [`crate::modules::rotary`] in halves, of base `rope_theta`, and three gates for each query head.
//! The attention is that of [`crate::ops::nsa`] with blocks of `block_size` tokens and a window of `window_size`. A
//! token's blocks $\mathcal{I}$ are `block_counts` of those up to its own, for every key head: the first, its own and
//! the one before always; then those to which the query heads of that key head give the most weight on average when
//! they attend to the mean keys of the blocks that are over; of equal ones the earlier. Where there are fewer, all are
//! taken. A key head serves HQ/H query heads.
//!
//! Well conditioned but for the choice, which jumps where two blocks weigh the same. Between these places the
//! derivative is that of a fixed choice; nothing is derived through it.
//!
//! # Errors
//! C1: HQ is a multiple of H. C2: K is even. C3: C = 3, the gates. C4: blocks have a token. C5: at least the three
//! blocks that are always taken have a place. C6: the window is a whole number.
//!
//! Paper: Yuan et al., *Native Sparse Attention*, 2025, §3, whose compression is learned and not an average.
//! Upstream: `NativeSparseAttention` of `fla/layers/nsa.py` in 0.6.0: `num_heads` is HQ, `num_kv_heads` H, `head_dim`
//! K. `max_position_embeddings` and `layer_idx` do not change values. Its kernel wants 16 or more query heads for a key
//! head, a power of two, rounds `block_counts` up to a power of two, of which blocks have room for two, and chooses by
//! means that are rounded to the storage type.

use ndarray::{Array2, Array3, ArrayView2, Axis, Slice};

use crate::attention::{affine, out, pairs, turned};
use crate::call::Call;
use crate::mixer::project;
use crate::modules::rotary::BASE;
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn nsa_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let [q, k] = ["q", "k"].map(|name| turned(x, &affine(x, name)));
    let gates = project(x, x.matrix("x"), "g_proj.weight").mapv(F::sigmoid);
    let gate = |i| gates.index_axis(Axis(2), i);
    let number = |name, default| x.problem.number(name).unwrap_or(default);
    let size = number("block_size", BLOCK);
    let mut answers = Call::of(&ops::nsa::SPEC)
        .with("block_indices", choice(&q, &k, size as usize, number("block_counts", COUNT) as usize))
        .with("q", q)
        .with("k", k)
        .with("v", affine(x, "v"))
        .with("g_cmp", gate(0))
        .with("g_slc", gate(1))
        .with("g_swa", gate(2))
        .number("block_size", size)
        .number("window_size", number("window_size", WINDOW))
        .run();
    out(x, &answers.cube("o"))
}

/// The blocks of every token and key head in ascending order, behind −1 where there are fewer than others have.
fn choice<F: Real>(q: &Array3<F>, k: &Array3<F>, size: usize, count: usize) -> Array3<F> {
    let (tokens, heads, _) = k.dim();
    let each = q.len_of(Axis(1)) / heads;
    let room = count.min(tokens.div_ceil(size)).max(1);
    let mut indices = Array3::from_elem((tokens, heads, room), -F::one());
    for h in 0..heads {
        let means = means(&k.index_axis(Axis(1), h), size);
        for t in 0..tokens {
            let (queries, over) = (q.index_axis(Axis(0), t), means.slice_axis(Axis(0), Slice::from(..(t + 1) / size)));
            let weights = weights(&queries.slice_axis(Axis(0), Slice::from(h * each..(h + 1) * each)), &over);
            let chosen = chosen(&weights, t / size, count);
            let skipped = room - chosen.len();
            for (i, c) in chosen.into_iter().enumerate() {
                indices[[t, h, skipped + i]] = F::from_f64(c as f64);
            }
        }
    }
    indices
}

/// The blocks of a token whose own is `own`: three always, the others by weight.
fn chosen(weights: &[f64], own: usize, count: usize) -> Vec<usize> {
    let always = |c: &usize| *c == 0 || c + 1 >= own;
    let (mut blocks, mut others): (Vec<usize>, Vec<usize>) = (0..=own).partition(always);
    // stable: of equal ones the earlier
    others.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]));
    blocks.extend(others.into_iter().take(count - blocks.len().min(count)));
    blocks.sort_unstable();
    blocks
}

/// The mean of the rows of every block that is full.
fn means<F: Real>(rows: &ArrayView2<'_, F>, size: usize) -> Array2<F> {
    let full = rows.nrows() / size;
    Array2::from_shape_fn((full, rows.ncols()), |(c, i)| {
        let block = rows.slice_axis(Axis(0), Slice::from(c * size..(c + 1) * size));
        block.column(i).iter().copied().sum::<F>() / F::from_f64(size as f64)
    })
}

/// The weight of every mean key, averaged over the softmaxes of these queries.
fn weights<F: Real>(queries: &ArrayView2<'_, F>, means: &ArrayView2<'_, F>) -> Vec<f64> {
    let mut total = vec![0.0; means.nrows()];
    let scale = (queries.ncols() as f64).powf(-0.5);
    for q in queries.rows() {
        let scores: Vec<f64> = means.rows().into_iter().map(|mean| scale * F::dot(q, mean).value()).collect();
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.iter().map(|s| (s - largest).exp()).sum();
        total.iter_mut().zip(&scores).for_each(|(w, s)| *w += (s - largest).exp() / sum);
    }
    total
}

const BLOCK: f64 = 64.0;
const COUNT: f64 = 16.0;
const WINDOW: f64 = 512.0;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "nsa_layer",
    level: Level::Layer,
    summary: "o_proj(nsa(rotary(q), rotary(k), v, sigmoid(g_proj x))), the blocks chosen by compressed attention",
    source: "Yuan et al. 2025 (arXiv 2502.11089), §3",
    upstream: &["fla.layers.NativeSparseAttention"],
    sizes: dims![B, T, D, HQ, H, K, C],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("q_proj.weight", dims![HQ, K, D], &[2, 1]),
        Port::new("q_proj.bias", dims![HQ, K], Domain::Normal).merged(&[2]).when("qkv_bias"),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::new("k_proj.bias", dims![H, K], Domain::Normal).merged(&[2]).when("qkv_bias"),
        Port::weight("v_proj.weight", dims![H, K, D], &[2, 1]),
        Port::new("v_proj.bias", dims![H, K], Domain::Normal).merged(&[2]).when("qkv_bias"),
        Port::weight("g_proj.weight", dims![HQ, C, D], &[2, 1]),
        Port::weight("o_proj.weight", dims![D, HQ, K], &[1, 2]),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[
        Attr::flag("qkv_bias", false, "add biases"),
        Attr::number("block_size", BLOCK, 1.0, "tokens of a block"),
        Attr::number("block_counts", COUNT, 4.0, "blocks that a token looks at"),
        Attr::number("window_size", WINDOW, 3.0, "tokens of the window, the last one included"),
        Attr::number("rope_theta", BASE, 100.0, "base of the wavelengths"),
    ],
    constraints: &[
        Constraint::grouped_queries("C1"),
        pairs("C2"),
        Constraint {
            label: "C3",
            text: "C is 3",
            holds: |p| p.size(Dim::C) == 3,
            break_it: |p| _ = p.sizes.insert(Dim::C, 2),
            mend: |p| _ = p.sizes.insert(Dim::C, 3),
        },
        Constraint {
            label: "C4",
            text: "block_size is a whole number from 1",
            holds: |p| p.number("block_size").is_some_and(|n| n >= 1.0 && n.fract() <= 0.0),
            break_it: |p| _ = p.attrs.insert("block_size", Value::Number(0.0)),
            mend: |p| _ = p.attrs.remove("block_size"),
        },
        Constraint {
            label: "C5",
            text: "block_counts is a whole number from 3",
            holds: |p| p.number("block_counts").is_some_and(|n| n >= 3.0 && n.fract() <= 0.0),
            break_it: |p| _ = p.attrs.insert("block_counts", Value::Number(2.0)),
            mend: |p| _ = p.attrs.remove("block_counts"),
        },
        Constraint {
            label: "C6",
            text: "window_size is a whole number from 0",
            holds: |p| p.number("window_size").is_some_and(|n| n >= 0.0 && n.fract() <= 0.0),
            break_it: |p| _ = p.attrs.insert("window_size", Value::Number(1.5)),
            mend: |p| _ = p.attrs.remove("window_size"),
        },
    ],
    independent: dims![B],
    states: &[],
    function: function!(nsa_layer),
};
