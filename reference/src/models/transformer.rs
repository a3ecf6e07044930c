//! The language model of softmax attention.
//!
//! Upstream: `TransformerForCausalLM` of `fla/models/transformer` in 0.6.0.

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
    model_type: "transformer",
    upstream: &["fla.models.TransformerModel", "fla.models.TransformerForCausalLM"],
    source: "Vaswani et al. 2017 (arXiv 1706.03762), §3.2.2",
    mixer: &layers::attn::SPEC,
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
            rope_theta = 10000.0 => Set("rope_theta"),
            elementwise_affine = true => Idle,
        ],
        shared: &[SKELETON, LOSS, POSITIONS],
    },
};
