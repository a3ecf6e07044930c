//! The language model of the delta rule.
//!
//! Upstream: `DeltaNetForCausalLM` of `fla/models/delta_net` in 0.6.0. Convolutions have no biases.

use super::blueprint::{Model, NAMES};
use crate::layers;

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
};
