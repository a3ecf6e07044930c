//! The language model of gated linear attention.
//!
//! Upstream: `GLAForCausalLM` of `fla/models/gla` in 0.6.0. The bottleneck of the gate has 16 channels, convolutions no
//! biases; `hidden_act` is swish or nothing works.

use super::blueprint::{Model, NAMES};
use super::config::{
    Config, Draft, LOSS,
    Means::{By, Extent, Idle, Like, Option as Set, Share, Weights},
    POSITIONS, SKELETON,
};
use crate::spec::Dim;
use crate::{fields, fixed, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "gla",
    upstream: &["fla.models.GLAForCausalLM", "fla.models.GLAModel"],
    source: "Yang et al. 2024 (arXiv 2312.06635)",
    mixer: &layers::gla::SPEC,
    omits: &["gate_logit_normalizer", "gate_fn", "q_conv1d.bias", "k_conv1d.bias", "v_conv1d.bias"],
    fixed: &[fixed!(E = 16)],
    names: NAMES,
    norm_eps: 1e-6,
    hybrid: true,
    attnres: true,
    lower_bounds: false,
    config: Config {
        own: fields![
            attn_mode = "chunk" => Idle,
            num_heads = 4 => Extent(Dim::HQ),
            num_kv_heads = null => Like(Dim::H, Dim::HQ),
            expand_k = 0.5 => Share(Dim::K, Dim::HQ),
            expand_v = 1.0 => Share(Dim::V, Dim::HQ),
            feature_map = null => Set("feature_map"),
            use_short_conv = false => Set("use_short_conv"),
            conv_size = 4 => Extent(Dim::W),
            use_output_gate = true => Set("use_output_gate"),
            clamp_min = null => Set("clamp_min"),
            elementwise_affine = true => Weights(&["g_norm_swish_gate.weight", "g_norm.weight"]),
            fuse_norm = true => By(Draft::fused_norm),
            use_gk = true => Idle,
            use_gv = false => Idle,
        ],
        shared: &[SKELETON, LOSS, POSITIONS],
    },
};
