//! The language model of attention with bounded-memory control.
//!
//! Upstream: `ABCForCausalLM` of `fla/models/abc` in 0.6.0. Input and output gates stay off, the norm on; convolutions
//! have no biases.

use super::blueprint::{Model, NAMES};
use crate::layers;

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
};
