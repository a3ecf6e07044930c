//! The language model of the retentive network.
//!
//! Upstream: `RetNetForCausalLM` of `fla/models/retnet` in 0.6.0. There are no convolutions: `use_short_conv` and
//! `conv_size` of a configuration are not handed on.

use super::blueprint::{Model, NAMES};
use super::config::{
    Config, Draft, LOSS,
    Means::{By, Extent, Idle, Like, Option as Set, Share, Weights},
    POSITIONS, SKELETON,
};
use crate::spec::Dim;
use crate::{fields, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "retnet",
    upstream: &["fla.models.RetNetModel", "fla.models.RetNetForCausalLM"],
    source: "Sun et al. 2023 (arXiv 2307.08621), eq. 1 to 8",
    mixer: &layers::multiscale_retention::SPEC,
    omits: &["q_conv1d.bias", "k_conv1d.bias", "v_conv1d.bias", "use_short_conv", "gate_fn"],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: true,
    attnres: true,
    lower_bounds: false,
    config: Config {
        own: fields![
            attn_mode = "chunk" => Idle,
            num_heads = 8 => Extent(Dim::HQ),
            num_kv_heads = null => Like(Dim::H, Dim::HQ),
            expand_k = 1.0 => Share(Dim::K, Dim::HQ),
            expand_v = 2.0 => Share(Dim::V, Dim::HQ),
            hidden_ratio = 2 => Idle,
            feature_map = null => Set("feature_map"),
            use_output_gate = true => Set("use_output_gate"),
            elementwise_affine = true => Weights(&["g_norm_swish_gate.weight", "g_norm.weight"]),
            fuse_norm = true => By(Draft::fused_norm),
            use_short_conv = false => Idle,
            conv_size = 4 => Idle,
        ],
        shared: &[SKELETON, LOSS, POSITIONS],
    },
};
