//! The language model of mixture of block attention.
//!
//! Upstream: `MoBAForCausalLM` of `fla/models/moba` in 0.6.0.

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
    model_type: "moba",
    upstream: &["fla.models.MoBAModel", "fla.models.MoBAForCausalLM"],
    source: "Lu et al. 2025 (arXiv 2502.13189), §2",
    mixer: &layers::moba::SPEC,
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
            rope_theta = 10000.0 => Set("rope_theta"),
            moba_chunk_size = 256 => Set("moba_chunk_size"),
            moba_topk = 4 => Set("moba_topk"),
            use_output_gate = false => Set("use_output_gate"),
            window_size = null => Idle,
            use_flash_moba = false => Idle,
            elementwise_affine = true => Idle,
        ],
        shared: &[SKELETON, LOSS, POSITIONS],
    },
};
