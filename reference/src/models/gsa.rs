//! The language model of gated slot attention.
//!
//! Upstream: `GSAForCausalLM` of `fla/models/gsa` in 0.6.0. Convolutions have no biases.

use super::blueprint::{Model, NAMES};
use super::config::{
    Config, Draft, LOSS,
    Means::{By, Extent, Idle, Instead, Like, Option as Set, Share, Weights},
    POSITIONS, SKELETON,
};
use crate::spec::Dim;
use crate::{fields, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "gsa",
    upstream: &["fla.models.GSAModel", "fla.models.GSAForCausalLM"],
    source: "Zhang et al. 2024 (arXiv 2409.07146)",
    mixer: &layers::gsa::SPEC,
    omits: &["q_conv1d.bias", "k_conv1d.bias", "v_conv1d.bias", "scale"],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: true,
    attnres: true,
    lower_bounds: false,
    config: Config {
        own: fields![
            num_heads = 4 => Extent(Dim::HQ),
            num_kv_heads = null => Like(Dim::H, Dim::HQ),
            exapnd_k = 1 => Share(Dim::K, Dim::HQ),
            exapnd_v = 1 => Share(Dim::V, Dim::HQ),
            expand_k => Instead("exapnd_k"),
            expand_v => Instead("exapnd_v"),
            num_slots = 64 => Extent(Dim::M),
            use_short_conv = false => Set("use_short_conv"),
            conv_size = 4 => Extent(Dim::W),
            feature_map = "swish" => By(Draft::learned_map),
            gate_logit_normalizer = 8 => Set("gate_logit_normalizer"),
            elementwise_affine = true => Weights(&["g_norm.weight"]),
            clamp_min = null => Idle,
            clamp_max = null => Idle,
            use_output_gate = false => Idle,
            use_norm = true => Idle,
        ],
        shared: &[SKELETON, LOSS, POSITIONS],
    },
};
