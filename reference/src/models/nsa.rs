//! The language model of native sparse attention.
//!
//! Upstream: `NSAForCausalLM` of `fla/models/nsa` in 0.6.0.

use super::blueprint::{Model, NAMES};
use super::config::{
    Config, LOSS,
    Means::{Extent, Idle, Like, Option as Set},
    POSITIONS, SKELETON,
};
use crate::spec::Dim;
use crate::{fields, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "nsa",
    upstream: &["fla.models.NSAModel", "fla.models.NSAForCausalLM"],
    source: "Yuan et al. 2025 (arXiv 2502.11089), §3",
    mixer: &layers::nsa::SPEC,
    omits: &[],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: false,
    attnres: true,
    lower_bounds: false,
    config: Config {
        own: fields![
            num_heads = 64 => Extent(Dim::HQ),
            num_kv_heads = 4 => Like(Dim::H, Dim::HQ),
            head_dim = 32 => Extent(Dim::K),
            qkv_bias = false => Set("qkv_bias"),
            block_size = 64 => Set("block_size"),
            block_counts = 16 => Set("block_counts"),
            window_size = 512 => Set("window_size"),
            rope_theta = 10000.0 => Set("rope_theta"),
            elementwise_affine = true => Idle,
        ],
        shared: &[SKELETON, LOSS, POSITIONS],
    },
};
