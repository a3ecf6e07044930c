//! The language model of RWKV-6.
//!
//! Upstream: `RWKV6ForCausalLM` of `fla/models/rwkv6` in 0.6.0. The gate's activation is swish, its norm has weights;
//! `proj_low_rank_dim` is E, `gate_low_rank_dim` G. `attn_mode`, `fuse_norm`, `max_position_embeddings` and the ways to
//! compute the loss do not change values. What `use_l2warp` adds to a gradient is not the gradient of an output.
//!
//! A stack with softmax attention is not resumed; its initial states are inputs like others.

use super::config::{
    Config, MIXER,
    Means::{Depth, Extent, Idle, Inner as Width, Option as Set, Share},
    Own, POSITIONS,
};
use super::part::Part;
use super::rwkv::{INNER, Rwkv};
use crate::spec::{Dim, OpSpec};
use crate::{fields, layers, modules};

/// The spec of a stack; `softmax` says for each block whether it has softmax attention instead of time mixing.
#[must_use]
pub fn spec(softmax: &[bool]) -> OpSpec {
    MODEL.spec(softmax)
}

pub(super) static MODEL: Rwkv = Rwkv {
    model_type: "rwkv6",
    upstream: &["fla.models.RWKV6ForCausalLM", "fla.models.RWKV6Model"],
    source: "Peng et al. 2024 (arXiv 2404.05892)",
    time: |_| Part { omits: &["x", "gate_fn"], renamed: &[(Dim::I, Dim::G)], ..Part::of(&layers::rwkv6::SPEC) },
    channel: Part::of(&modules::rwkv6_feed_forward::SPEC),
};

/// Its configuration.
pub static CONFIG: Own = Own {
    model_type: "rwkv6",
    config: Config {
        own: fields![
            attn_mode = "chunk" => Idle,
            num_hidden_layers = 24 => Depth,
            num_heads = 4 => Extent(Dim::H),
            expand_k = 0.5 => Share(Dim::K, Dim::H),
            expand_v = 1.0 => Share(Dim::V, Dim::H),
            hidden_ratio = 3.5 => Idle,
            intermediate_size = null => Width,
            hidden_act = "sqrelu" => Set("hidden_act"),
            proj_low_rank_dim = 32 => Extent(Dim::E),
            gate_low_rank_dim = 64 => Extent(Dim::G),
            norm_first = true => Set("norm_first"),
            norm_bias = true => Set("norm_bias"),
            pad_token_id = null => Idle,
        ],
        shared: &[MIXER, POSITIONS],
    },
    hybrid: true,
    attnres: false,
    inner: &[super::config::Inner { ratio: 3.5, ..INNER }],
    counts: &[],
    spec: |_, softmax| spec(softmax),
};
