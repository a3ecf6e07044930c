//! The language model of stick-breaking attention.
//!
//! Upstream: `StickBreakingAttentionForCausalLM` of `fla/models/stickbreaking_attn` in 0.6.0.

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
    model_type: "stickbreaking_attn",
    upstream: &["fla.models.StickBreakingAttentionModel", "fla.models.StickBreakingAttentionForCausalLM"],
    source: "Tan et al. 2024 (arXiv 2410.17980)",
    mixer: &layers::stickbreaking_attn::SPEC,
    omits: &[],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: false,
    attnres: false,
    lower_bounds: false,
    config: Config {
        own: fields![
            num_heads = 32 => Heads(Dim::HQ),
            num_kv_heads = null => Like(Dim::H, Dim::HQ),
            qkv_bias = false => Set("qkv_bias"),
            qk_norm = false => Set("qk_norm"),
            attend_current = false => Set("attend_current"),
            use_cache = false => Idle,
        ],
        shared: &[SKELETON, LOSS],
    },
};
