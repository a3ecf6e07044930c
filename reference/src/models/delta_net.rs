//! The language model of the delta rule.
//!
//! Upstream: `DeltaNetForCausalLM` of `fla/models/delta_net` in 0.6.0. Convolutions have no biases.

use super::blueprint::{Model, NAMES};
use super::config::{
    Config, LOSS,
    Means::{Extent, Idle, Option as Set, Share},
    POSITIONS, SKELETON,
};
use crate::spec::Dim;
use crate::{fields, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "delta_net",
    upstream: &["fla.models.DeltaNetModel", "fla.models.DeltaNetForCausalLM"],
    source: "Yang et al. 2024 (arXiv 2406.06484), §3.3",
    mixer: &layers::delta_net::SPEC,
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
            num_heads = 16 => Extent(Dim::H),
            expand_k = 1.0 => Share(Dim::K, Dim::H),
            expand_v = 1.0 => Share(Dim::V, Dim::H),
            conv_size = 4 => Extent(Dim::W),
            use_gate = false => Set("use_gate"),
            use_short_conv = true => Set("use_short_conv"),
            allow_neg_eigval = false => Set("allow_neg_eigval"),
            use_beta = true => Set("use_beta"),
            qk_norm = "l2" => Set("qk_norm"),
            qk_activation = "silu" => Set("qk_activation"),
            use_output_norm = true => Idle,
        ],
        shared: &[SKELETON, LOSS, POSITIONS],
    },
};
