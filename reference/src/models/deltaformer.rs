//! The language model of DeltaFormer.
//!
//! Upstream: `DeltaFormerForCausalLM` of `fla/models/deltaformer` in 0.6.0. A configuration may name blocks of softmax
//! attention (`attn`), which nothing reads: there are no hybrid stacks.

use super::blueprint::{Model, NAMES};
use super::config::{
    Config, LOSS,
    Means::{Heads, Idle, Like, Option as Set},
    POSITIONS, SKELETON,
};
use crate::spec::Dim;
use crate::{fields, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "deltaformer",
    upstream: &["fla.models.DeltaFormerModel", "fla.models.DeltaFormerForCausalLM"],
    source: "Understanding Transformer from the Perspective of Associative Memory, 2025 (arXiv 2505.19488)",
    mixer: &layers::deltaformer::SPEC,
    omits: &[],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: false,
    attnres: true,
    lower_bounds: false,
    config: Config {
        own: fields![
            attn_mode = "chunk" => Idle,
            num_heads = 8 => Heads(Dim::HQ),
            num_kv_heads = null => Like(Dim::H, Dim::HQ),
            qkv_bias = false => Set("qkv_bias"),
            qk_norm = false => Set("qk_norm"),
            rope_theta = 10000.0 => Set("rope_theta"),
            rope_max_position_embeddings = null => Idle,
            elementwise_affine = true => Idle,
            attn = null => Idle,
            use_cache = false => Idle,
            output_attentions = false => Idle,
            output_hidden_states = false => Idle,
        ],
        shared: &[SKELETON, LOSS, POSITIONS],
    },
};
