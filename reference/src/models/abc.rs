//! The language model of attention with bounded-memory control.
//!
//! Upstream: `ABCForCausalLM` of `fla/models/abc` in 0.6.0. Input and output gates stay off, the norm on; convolutions
//! have no biases.

use super::blueprint::{Model, NAMES};
use super::config::{
    Config, LOSS,
    Means::{Extent, Idle, Instead, Option as Set, Share, Weights},
    POSITIONS, SKELETON,
};
use crate::spec::Dim;
use crate::{fields, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "abc",
    upstream: &["fla.models.ABCModel", "fla.models.ABCForCausalLM"],
    source: "Peng et al. 2021 (arXiv 2110.02488)",
    mixer: &layers::abc::SPEC,
    omits: &["q_conv1d.bias", "k_conv1d.bias", "v_conv1d.bias", "use_input_gate", "use_output_gate", "use_norm"],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: true,
    attnres: true,
    lower_bounds: false,
    config: Config {
        own: fields![
            num_heads = 4 => Extent(Dim::H),
            exapnd_k = 0.5 => Share(Dim::K, Dim::H),
            exapnd_v = 1 => Share(Dim::V, Dim::H),
            expand_k => Instead("exapnd_k"),
            expand_v => Instead("exapnd_v"),
            num_slots = 64 => Extent(Dim::M),
            use_short_conv = false => Set("use_short_conv"),
            conv_size = 4 => Extent(Dim::W),
            clamp_min = -32 => Set("clamp_min"),
            clamp_max = 32 => Set("clamp_max"),
            use_rope = true => Set("use_rope"),
            gate_low_rank_dim = 16 => Idle,
            elementwise_affine = true => Weights(&["g_norm.weight"]),
        ],
        shared: &[SKELETON, LOSS, POSITIONS],
    },
};
