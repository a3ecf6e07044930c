//! The language model of the preconditioned gated delta rule.
//!
//! Upstream: `PrecondGatedDeltaNetForCausalLM` of `fla/models/precond_gated_deltanet` in 0.6.0. Convolutions have no
//! biases.

use super::blueprint::{Model, NAMES};
use super::config::{
    Config, LOSS,
    Means::{Depth, Extent, Idle, Like, Option as Set, Times},
    POSITIONS, SKELETON,
};
use crate::spec::Dim;
use crate::{fields, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "precond_gated_deltanet",
    upstream: &["fla.models.PrecondGatedDeltaNetModel", "fla.models.PrecondGatedDeltaNetForCausalLM"],
    source: "Preconditioned DeltaNet 2026 (arXiv 2604.21100)",
    mixer: &layers::precond_gated_deltanet::SPEC,
    omits: &["q_conv1d.bias", "k_conv1d.bias", "v_conv1d.bias"],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: true,
    attnres: false,
    lower_bounds: false,
    config: Config {
        own: fields![
            attn_mode = "chunk" => Idle,
            num_hidden_layers = 21 => Depth,
            head_dim = 256 => Extent(Dim::K),
            num_heads = 6 => Extent(Dim::H),
            num_v_heads = null => Like(Dim::HV, Dim::H),
            expand_v = 2.0 => Times(Dim::V, Dim::K),
            conv_size = 4 => Extent(Dim::W),
            use_gate = true => Set("use_gate"),
            use_short_conv = true => Set("use_short_conv"),
            allow_neg_eigval = false => Set("allow_neg_eigval"),
            squash_x = 1.5 => Set("squash_x"),
            squash_eps = 1e-06 => Set("squash_eps"),
            log_atk_scale_init = -0.2 => Idle,
            a_log_init_lower = 0 => Idle,
        ],
        shared: &[SKELETON, LOSS, POSITIONS],
    },
};
