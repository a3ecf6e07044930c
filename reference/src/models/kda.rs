//! The language model of Kimi delta attention.
//!
//! Upstream: `KDAForCausalLM` of `fla/models/kda` in 0.6.0. Convolutions have no biases.

use super::blueprint::{Model, NAMES};
use super::config::{
    Config,
    Means::{Extent, Idle, Like, Option as Set, Times},
    POSITIONS, SKELETON,
};
use crate::spec::Dim;
use crate::{fields, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "kda",
    upstream: &["fla.models.KDAModel", "fla.models.KDAForCausalLM"],
    source: "Kimi Team 2025 (arXiv 2510.26692), §4",
    mixer: &layers::kda::SPEC,
    omits: &["q_conv1d.bias", "k_conv1d.bias", "v_conv1d.bias"],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: true,
    attnres: true,
    lower_bounds: false,
    config: Config {
        own: fields![
            attn_mode = "chunk" => Idle,
            head_dim = 128 => Extent(Dim::K),
            num_heads = 16 => Extent(Dim::H),
            num_v_heads = null => Like(Dim::HV, Dim::H),
            expand_v = 1.0 => Times(Dim::V, Dim::K),
            conv_size = 4 => Extent(Dim::W),
            use_short_conv = true => Set("use_short_conv"),
            allow_neg_eigval = false => Set("allow_neg_eigval"),
            lower_bound = null => Set("lower_bound"),
            safe_gate = false => Idle,
            use_l2warp = false => Idle,
        ],
        shared: &[SKELETON, POSITIONS],
    },
};
