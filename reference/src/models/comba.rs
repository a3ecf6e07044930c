//! The language model of Comba.
//!
//! Upstream: `CombaForCausalLM` of `fla/models/comba` in 0.6.0. The output correction and the inner decay stay on;
//! convolutions have no biases.

use super::blueprint::{Model, NAMES};
use crate::layers;

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
};
