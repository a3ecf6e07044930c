//! The language model of hierarchically gated recurrence.
//!
//! Upstream: `HGRNForCausalLM` of `fla/models/hgrn` in 0.6.0. Convolutions have no biases.

use super::blueprint::{Model, NAMES};
use super::config::{
    Config, LOSS,
    Means::{Extent, Idle, Option as Set, Times, Weights},
    POSITIONS, SKELETON,
};
use crate::spec::Dim;
use crate::{fields, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "hgrn",
    upstream: &["fla.models.HGRNModel", "fla.models.HGRNForCausalLM"],
    source: "Qin et al. 2023 (arXiv 2311.04823)",
    mixer: &layers::hgrn::SPEC,
    omits: &["f_conv1d.bias", "i_conv1d.bias"],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: true,
    attnres: true,
    lower_bounds: true,
    config: Config {
        own: fields![
            attn_mode = "fused_recurrent" => Idle,
            expand_ratio = 1 => Times(Dim::I, Dim::D),
            use_short_conv = false => Set("use_short_conv"),
            conv_size = 4 => Extent(Dim::W),
            use_lower_bound = true => Set("use_lower_bound"),
            elementwise_affine = true => Weights(&["g_norm.weight"]),
        ],
        shared: &[SKELETON, LOSS, POSITIONS],
    },
};
