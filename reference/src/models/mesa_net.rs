//! The language model of MesaNet.
//!
//! Upstream: `MesaNetForCausalLM` of `fla/models/mesa_net` in 0.6.0. Convolutions have no biases.

use super::blueprint::{Model, NAMES};
use super::config::{
    Config, LOSS,
    Means::{Extent, Idle, Option as Set},
    POSITIONS, SKELETON,
};
use crate::spec::Dim;
use crate::{fields, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "mesa_net",
    upstream: &["fla.models.MesaNetModel", "fla.models.MesaNetForCausalLM"],
    source: "von Oswald et al. 2025 (arXiv 2506.05233)",
    mixer: &layers::mesa_net::SPEC,
    omits: &["q_conv1d.bias", "k_conv1d.bias"],
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
            head_dim = 128 => Extent(Dim::K),
            conv_size = 4 => Extent(Dim::W),
            use_output_gate = false => Set("use_output_gate"),
            lambda_lower_bound = 0.25 => Set("lambda_lower_bound"),
            use_short_conv = true => Idle,
            max_cg_step_training = 30 => Idle,
            max_cg_step_decoding = 30 => Idle,
        ],
        shared: &[SKELETON, LOSS, POSITIONS],
    },
};
