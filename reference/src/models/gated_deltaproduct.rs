//! The language model of the gated delta product.
//!
//! Upstream: `GatedDeltaProductForCausalLM` of `fla/models/gated_deltaproduct` in 0.6.0. There are as many value heads
//! as key heads; convolutions have no biases.

use super::blueprint::{Model, NAMES};
use super::config::{
    Config, LOSS,
    Means::{Both, Depth, Extent, Idle, Option as Set, Times},
    POSITIONS, SKELETON,
};
use crate::spec::Dim;
use crate::{fields, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "gated_deltaproduct",
    upstream: &["fla.models.GatedDeltaProductModel", "fla.models.GatedDeltaProductForCausalLM"],
    source: "Siems et al. 2025 (arXiv 2502.10297)",
    mixer: &layers::gated_deltaproduct::SPEC,
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
            num_hidden_layers = 21 => Depth,
            head_dim = 256 => Extent(Dim::K),
            num_heads = 6 => Both(Dim::H, Dim::HV),
            expand_v = 2.0 => Times(Dim::V, Dim::K),
            num_householder = 1 => Extent(Dim::R),
            conv_size = 4 => Extent(Dim::W),
            use_output_gate = true => Set("use_output_gate"),
            use_short_conv = true => Set("use_short_conv"),
            use_forget_gate = false => Set("use_forget_gate"),
            allow_neg_eigval = false => Set("allow_neg_eigval"),
        ],
        shared: &[SKELETON, LOSS, POSITIONS],
    },
};
