//! Softmax attention whose keys and values come through one bottleneck, and whose positions are in channels of their
//! own.
//!
//! $$ \begin{aligned} [q^N_h, q^R_h] &= W^{uq}_h\, N(W^{dq} x), & [k^N_h, v_h] &= W^{ukv}_h\, N(W^{dkv} x), & k^R &=
//! W^{kr} x, \\ q_h &= [q^N_h, R q^R_h], & k_h &= [k^N_h, R k^R], & y &= W_o \operatorname{Attn}(q, k, v) \end{aligned}
//! $$
//!
//! with N a division by the root mean square (ε = 10⁻⁵) and a weight, and R the turn of [`crate::modules::rotary`] in
//! halves, of base `rope_theta`, which all heads of k share. Without `q_lora`, q is one projection of x. The attention
//! is that of [`crate::ops::attn`] at scale $K^{-1/2}$, with a window of `window_size` tokens where there is one.
//! Extents: K channels of q and k in a head, of which R turn; E and I the ranks of the bottlenecks; C = K − R + V. Well
//! conditioned unless a bottleneck is as small as √ε.
//!
//! # Errors
//! C1: R is even and not above K. C2: C = K − R + V. C3: a window has a token.
//!
//! Paper: DeepSeek-AI, *DeepSeek-V2*, 2024, §2.1, eq. 9–13 and 14–19.
//! Upstream: `MultiheadLatentAttention` of `fla/layers/mla.py` in 0.6.0: `q_lora_rank` is E (`None` without `q_lora`),
//! `kv_lora_rank` I, `qk_head_dim` K, `qk_rope_head_dim` R, `qk_nope_head_dim` K − R, `v_head_dim` V. What
//! `rope_scaling` says is read and never used; `max_position_embeddings` and `layer_idx` do not change values. It needs
//! flash-attn, and with it 16-bit inputs and V ≤ K.

use ndarray::{Array3, ArrayView3, Axis, Ix2, Slice, concatenate};

use crate::algebra::{linear, rank};
use crate::attention::{EPS, out, turned, window, windowed};
use crate::call::Call;
use crate::mixer::{project, repeat};
use crate::modules::rms_norm::normalise;
use crate::modules::rotary::BASE;
use crate::ops;
use crate::problem::Problem;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn mla_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let [heads, turning] = [Dim::H, Dim::R].map(|d| x.problem.size(d));
    let still = x.problem.size(Dim::K) - turning;
    let q = if x.problem.flag("q_lora") { compressed(x, "q_proj") } else { project(x, x.matrix("x"), "q_proj.weight") };
    let [q_still, q_turning] = parted(&q, still);
    let kv = compressed(x, "kv_proj");
    let [k_still, v] = parted(&kv, still);
    let k_turning = rank(linear(&x.matrix("x"), x.tensor("k_rope.weight")).insert_axis(Axis(1)));
    let call = Call::of(&ops::attn::SPEC)
        .with("q", joined(&q_still, &turned(x, &q_turning.to_owned())))
        .with("k", joined(&k_still, &repeat(&turned(x, &k_turning), heads)))
        .with("v", v);
    out(x, &windowed(x, call).run().cube("o"))
}

/// Heads through the bottleneck of the layers `<name>.0`, `<name>.1` and `<name>.2`: down, norm, up.
fn compressed<F: Real>(x: &Unit<'_, F>, name: &str) -> Array3<F> {
    let part = |i| x.tensor(&format!("{name}.{i}.weight"));
    let narrow = rank::<F, Ix2>(linear(&x.matrix("x"), part(0)));
    rank(linear(&normalise(&narrow, Some(part(1)), EPS), part(2)))
}

/// The first `width` channels of every head, and the others.
fn parted<F: Real>(heads: &Array3<F>, width: usize) -> [ArrayView3<'_, F>; 2] {
    [Slice::from(..width), Slice::from(width..)].map(|channels| heads.slice_axis(Axis(2), channels))
}

fn joined<F: Real>(left: &ArrayView3<'_, F>, right: &Array3<F>) -> Array3<F> {
    concatenate(Axis(2), &[left.view(), right.view()]).expect("the same tokens and heads")
}

/// Channels of keys that do not turn, and of values.
fn keys_and_values(p: &Problem) -> usize {
    p.size(Dim::K).saturating_sub(p.size(Dim::R)).saturating_add(p.size(Dim::V))
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "mla_layer",
    level: Level::Layer,
    summary: "o_proj(attn([q, rotary(q')], [k, rotary(k')], v)) with q, k and v up from normed bottlenecks",
    source: "DeepSeek-AI 2024 (arXiv 2405.04434), §2.1",
    upstream: &["fla.layers.MultiheadLatentAttention"],
    sizes: dims![B, T, D, H, K, V, R, C, E, I],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("q_proj.0.weight", dims![E, D], &[1, 1]).when("q_lora"),
        Port::new("q_proj.1.weight", dims![E], Domain::Uniform(0.5, 1.5)).single().when("q_lora"),
        Port::weight("q_proj.2.weight", dims![H, K, E], &[2, 1]).when("q_lora"),
        Port::weight("q_proj.weight", dims![H, K, D], &[2, 1]).unless("q_lora"),
        Port::weight("k_rope.weight", dims![R, D], &[1, 1]),
        Port::weight("kv_proj.0.weight", dims![I, D], &[1, 1]),
        Port::new("kv_proj.1.weight", dims![I], Domain::Uniform(0.5, 1.5)).single(),
        Port::weight("kv_proj.2.weight", dims![H, C, I], &[2, 1]),
        Port::weight("o_proj.weight", dims![D, H, V], &[1, 2]),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[
        Attr::flag("q_lora", true, "queries come through a bottleneck"),
        Attr::auto("window_size", 3.0, "how many tokens a query sees, its own included; auto is all"),
        Attr::number("rope_theta", BASE, 100.0, "base of the wavelengths"),
    ],
    constraints: &[
        Constraint {
            label: "C1",
            text: "R is even and at most K",
            holds: |p| p.size(Dim::R).is_multiple_of(2) && p.size(Dim::R) <= p.size(Dim::K),
            break_it: |p| _ = p.sizes.insert(Dim::R, 1),
            mend: |p| {
                let turning = p.size(Dim::R).next_multiple_of(2);
                p.sizes.extend([(Dim::R, turning), (Dim::K, p.size(Dim::K).max(turning))]);
            },
        },
        Constraint {
            label: "C2",
            text: "C equals K - R + V",
            holds: |p| p.size(Dim::C) == keys_and_values(p),
            break_it: |p| _ = p.sizes.insert(Dim::C, keys_and_values(p).saturating_add(1)),
            mend: |p| _ = p.sizes.insert(Dim::C, keys_and_values(p)),
        },
        window("C3"),
    ],
    independent: dims![B],
    states: &[],
    function: function!(mla_layer),
};
