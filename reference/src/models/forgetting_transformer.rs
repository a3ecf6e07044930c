//! The language model of the forgetting transformer.
//!
//! Upstream: `ForgettingTransformerForCausalLM` of `fla/models/forgetting_transformer` in 0.6.0.

use super::blueprint::{Model, NAMES};
use super::config::{
    Config, LOSS,
    Means::{Heads, Idle, Like, Option as Set},
    SKELETON,
};
use crate::spec::Dim;
use crate::{fields, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "forgetting_transformer",
    upstream: &["fla.models.ForgettingTransformerModel", "fla.models.ForgettingTransformerForCausalLM"],
    source: "Lin et al. 2025 (arXiv 2503.02130), §3",
    mixer: &layers::forgetting_attn::SPEC,
    omits: &[],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: false,
    attnres: true,
    lower_bounds: false,
    config: Config {
        own: fields![
            num_heads = 32 => Heads(Dim::HQ),
            num_kv_heads = null => Like(Dim::H, Dim::HQ),
            qkv_bias = false => Set("qkv_bias"),
            qk_norm = false => Set("qk_norm"),
            window_size = null => Set("window_size"),
            use_output_gate = false => Set("use_output_gate"),
            elementwise_affine = true => Idle,
        ],
        shared: &[SKELETON, LOSS],
    },
};
