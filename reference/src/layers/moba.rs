//! Softmax attention to the own chunk and to the earlier chunks that meet the query best, with rotary positions.
//!
//! $$ q, k = R\, N(W_{q,k} x + b_{q,k}), \quad v = W_v x + b_v, \quad o = \operatorname{MoBA}(q, k, v), \quad y = W_o
//! \big( N_o(o) \odot \sigma(W_2 W_1 x) \big) $$
//!
//! with R the turn of [`crate::modules::rotary`] in halves, of base `rope_theta`; N, with `qk_norm`, a division of each
//! head by its root mean square (ε = 10⁻⁵) and a weight; $N_o$ the same always, with ε = 10⁻⁶; and the gate only with
//! `use_output_gate`. The attention is that of [`crate::ops::moba`] with chunks of `moba_chunk_size` tokens, of which
//! `moba_topk` are seen; a key head serves HQ/H query heads. The choice of chunks jumps, as the op says, and has no
//! derivative; the norm of o loses what is as small as its √ε.
//!
//! # Errors
//! C1: HQ is a multiple of H. C2: K is even. C3: D = HQ·K. C4: a chunk has a token. C5: at least one chunk is seen.
//!
//! Paper: Lu et al., *MoBA: Mixture of Block Attention for Long-Context LLMs*, 2025, §2.
//! Upstream: `MoBA` of `fla/layers/moba.py` in 0.6.0, which refuses H < HQ once there is a choice, although it has
//! `num_kv_heads`, and decodes by attention to everything in the cache, without a choice, where `window_size` cuts the
//! cache. `max_position_embeddings`, `use_flash_moba` and `layer_idx` do not change values. It needs flash-attn, and
//! with it 16-bit inputs.

use ndarray::Ix3;

use crate::algebra::{bottleneck, rank};
use crate::attention::{affine, as_wide_as_the_model, out, pairs, positioned};
use crate::call::Call;
use crate::mixer::repeat;
use crate::modules::rms_norm::normalise;
use crate::modules::rotary::BASE;
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn moba_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let each = x.problem.size(Dim::HQ) / x.problem.size(Dim::H);
    let mut answers = Call::of(&ops::moba::SPEC)
        .with("q", positioned(x, "q"))
        .with("k", repeat(&positioned(x, "k"), each))
        .with("v", repeat(&affine(x, "v"), each))
        .number("chunk_size", x.problem.number("moba_chunk_size").unwrap_or(CHUNK))
        .number("topk", x.problem.number("moba_topk").unwrap_or(TOPK))
        .run();
    let mut o = normalise(&answers.cube("o"), Some(x.tensor("o_norm.weight")), OUTPUT_EPS);
    if x.problem.flag("use_output_gate") {
        let gate = bottleneck(&x.matrix("x"), x.tensor("g_proj.0.weight"), x.tensor("g_proj.1.weight"));
        o = o * rank::<F, Ix3>(gate).mapv(F::sigmoid);
    }
    out(x, &o)
}

const CHUNK: f64 = 256.0;
const TOPK: f64 = 4.0;
const OUTPUT_EPS: f64 = 1e-6;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "moba_layer",
    level: Level::Layer,
    summary: "o_proj(rms_norm(moba(rotary(norm(q)), rotary(norm(k)), v)) * sigmoid(bottleneck x))",
    source: "Lu et al. 2025 (arXiv 2502.13189), §2",
    upstream: &["fla.layers.MoBA"],
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
        Port::new("q_norm.weight", dims![K], Domain::Uniform(0.5, 1.5)).when("qk_norm"),
        Port::new("k_norm.weight", dims![K], Domain::Uniform(0.5, 1.5)).when("qk_norm"),
        Port::weight("g_proj.0.weight", dims![K, D], &[1, 1]).when("use_output_gate"),
        Port::weight("g_proj.1.weight", dims![HQ, K, K], &[2, 1]).when("use_output_gate"),
        Port::new("o_norm.weight", dims![K], Domain::Uniform(0.5, 1.5)),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[
        Attr::flag("qkv_bias", false, "add biases"),
        Attr::flag("qk_norm", false, "norm each head of q and k"),
        Attr::flag("use_output_gate", false, "gate the normed outputs"),
        Attr::number("moba_chunk_size", CHUNK, 2.0, "tokens of a chunk"),
        Attr::number("moba_topk", TOPK, 2.0, "chunks that a token sees, its own included; 1 is all of them"),
        Attr::number("rope_theta", BASE, 100.0, "base of the wavelengths"),
    ],
    constraints: &[
        Constraint::grouped_queries("C1"),
        pairs("C2"),
        as_wide_as_the_model("C3"),
        Constraint {
            label: "C4",
            text: "moba_chunk_size is a whole number from 1",
            holds: |p| positive(p.number("moba_chunk_size")),
            break_it: |p| _ = p.attrs.insert("moba_chunk_size", Value::Number(0.0)),
            mend: |p| _ = p.attrs.remove("moba_chunk_size"),
        },
        Constraint {
            label: "C5",
            text: "moba_topk is a whole number from 1",
            holds: |p| positive(p.number("moba_topk")),
            break_it: |p| _ = p.attrs.insert("moba_topk", Value::Number(1.5)),
            mend: |p| _ = p.attrs.remove("moba_topk"),
        },
    ],
    independent: dims![B],
    states: &[],
    function: function!(moba_layer),
};

fn positive(number: Option<f64>) -> bool {
    number.is_some_and(|n| n >= 1.0 && n.fract() <= 0.0)
}
