//! The language model of gated slot attention.
//!
//! Upstream: `GSAForCausalLM` of `fla/models/gsa` in 0.6.0. Convolutions have no biases.

use super::blueprint::{Model, NAMES};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "gsa",
    upstream: &["fla.models.GSAModel", "fla.models.GSAForCausalLM"],
    source: "Zhang et al. 2024 (arXiv 2409.07146)",
    mixer: &layers::gsa::SPEC,
    omits: &["q_conv1d.bias", "k_conv1d.bias", "v_conv1d.bias", "scale"],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: true,
    attnres: true,
    lower_bounds: false,
};
