//! The language model of LightNet.
//!
//! Upstream: `LightNetForCausalLM` of `fla/models/lightnet` in 0.6.0. Convolutions have no biases; in a hybrid stack
//! the wavelengths of the softmax attention are what they are by default, whatever `rope_theta` says.

use super::blueprint::{Model, NAMES};
use super::config::{
    Config, Draft, LOSS,
    Means::{By, Extent, Hybrid, Idle, Option as Set, Weights},
    POSITIONS, SKELETON,
};
use crate::spec::Dim;
use crate::{fields, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "lightnet",
    upstream: &["fla.models.LightNetModel", "fla.models.LightNetForCausalLM"],
    source: "Qin et al. 2024 (arXiv 2405.21022)",
    mixer: &layers::lightnet::SPEC,
    omits: &["q_conv1d.bias", "k_conv1d.bias", "v_conv1d.bias", "attn.rope_theta"],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: true,
    attnres: true,
    lower_bounds: false,
    config: Config {
        own: fields![
            attn_mode = "chunk" => Idle,
            num_heads = null => Idle,
            expand_ratio = 128 => By(Draft::forgetting_heads),
            gate_low_rank_dim = 128 => Extent(Dim::E),
            use_short_conv = false => Set("use_short_conv"),
            conv_size = 4 => Extent(Dim::W),
            elementwise_affine = true => Weights(&["g_norm.weight"]),
            attn = null => Hybrid(&["rope_theta"]),
        ],
        shared: &[SKELETON, LOSS, POSITIONS],
    },
};
