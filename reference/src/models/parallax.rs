//! The language model of Parallax.
//!
//! Upstream: `ParallaxForCausalLM` of `fla/models/parallax` in 0.6.0.

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
    model_type: "parallax",
    upstream: &["fla.models.ParallaxModel", "fla.models.ParallaxForCausalLM"],
    source: "Zuo et al. 2026 (arXiv 2605.29157)",
    mixer: &layers::parallax::SPEC,
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
            max_position_embeddings = null => Idle,
        ],
        shared: &[SKELETON, LOSS],
    },
};
