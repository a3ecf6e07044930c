//! The language model of Kimi delta attention.
//!
//! Upstream: `KDAForCausalLM` of `fla/models/kda` in 0.6.0. Convolutions have no biases.

use super::blueprint::{Model, NAMES};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "kda",
    upstream: &["fla.models.KDAModel", "fla.models.KDAForCausalLM"],
    source: "Kimi Team 2025 (arXiv 2510.26692), §4",
    mixer: &layers::kda::SPEC,
    omits: &["q_conv1d.bias", "k_conv1d.bias", "v_conv1d.bias"],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: true,
    attnres: true,
    lower_bounds: false,
};
