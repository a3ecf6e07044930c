//! The language model of wall attention.
//!
//! Upstream: `WallTransformerForCausalLM` of `fla/models/wall_transformer` in 0.6.0.

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
    model_type: "wall_transformer",
    upstream: &["fla.models.WallTransformerModel", "fla.models.WallTransformerForCausalLM"],
    source: "none named",
    mixer: &layers::wall_attn::SPEC,
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
            use_scalar_gate = false => Set("use_scalar_gate"),
            gate_init_bias = 8.0 => Idle,
            elementwise_affine = true => Idle,
        ],
        shared: &[SKELETON, LOSS],
    },
};
