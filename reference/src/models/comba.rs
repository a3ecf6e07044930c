//! The language model of Comba.
//!
//! Upstream: `CombaForCausalLM` of `fla/models/comba` in 0.6.0. The output correction and the inner decay stay on;
//! convolutions have no biases.

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
    model_type: "comba",
    upstream: &["fla.models.CombaModel", "fla.models.CombaForCausalLM"],
    source: "Hu et al. 2025 (arXiv 2506.02475)",
    mixer: &layers::comba::SPEC,
    omits: &["q_conv1d.bias", "k_conv1d.bias", "v_conv1d.bias", "use_output_correction", "use_inner_decay"],
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
            num_heads = 6 => Extent(Dim::H),
            num_v_heads = null => Like(Dim::HV, Dim::H),
            expand_v = 2.0 => Times(Dim::V, Dim::K),
            conv_size = 4 => Extent(Dim::W),
            use_output_gate = true => Set("use_output_gate"),
            use_short_conv = true => Set("use_short_conv"),
            use_output_correction = true => Idle,
            use_inner_decay = true => Idle,
            correction_factor = 1.0 => Idle,
        ],
        shared: &[SKELETON, LOSS, POSITIONS],
    },
};
