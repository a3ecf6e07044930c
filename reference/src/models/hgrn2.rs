//! The language model of HGRN2.
//!
//! Upstream: `HGRN2ForCausalLM` of `fla/models/hgrn2` in 0.6.0. Convolutions have no biases.

use super::blueprint::{Model, NAMES};
use super::config::{
    Config, Draft, LOSS,
    Means::{By, Extent, Idle, Option as Set, Weights},
    POSITIONS, SKELETON,
};
use crate::spec::Dim;
use crate::{fields, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "hgrn2",
    upstream: &["fla.models.HGRN2Model", "fla.models.HGRN2ForCausalLM"],
    source: "Qin et al. 2024 (arXiv 2404.07904)",
    mixer: &layers::hgrn2::SPEC,
    omits: &["q_conv1d.bias", "f_conv1d.bias", "i_conv1d.bias"],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: true,
    attnres: true,
    lower_bounds: true,
    config: Config {
        own: fields![
            attn_mode = "chunk" => Idle,
            num_heads = null => Idle,
            expand_ratio = 128 => By(Draft::forgetting_heads),
            use_short_conv = false => Set("use_short_conv"),
            conv_size = 4 => Extent(Dim::W),
            use_lower_bound = true => Set("use_lower_bound"),
            elementwise_affine = true => Weights(&["g_norm.weight"]),
        ],
        shared: &[SKELETON, LOSS, POSITIONS],
    },
};
