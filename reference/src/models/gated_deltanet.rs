//! The language model of the gated delta rule.
//!
//! Upstream: `GatedDeltaNetForCausalLM` of `fla/models/gated_deltanet` in 0.6.0. Convolutions have no biases.

use super::blueprint::{Model, NAMES};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "gated_deltanet",
    upstream: &["fla.models.GatedDeltaNetModel", "fla.models.GatedDeltaNetForCausalLM"],
    source: "Yang, Kautz & Hatamizadeh 2024 (arXiv 2412.06464), §3.4",
    mixer: &layers::gated_deltanet::SPEC,
    omits: &["q_conv1d.bias", "k_conv1d.bias", "v_conv1d.bias"],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: true,
    attnres: true,
    lower_bounds: false,
};
