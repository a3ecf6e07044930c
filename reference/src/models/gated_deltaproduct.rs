//! The language model of the gated delta product.
//!
//! Upstream: `GatedDeltaProductForCausalLM` of `fla/models/gated_deltaproduct` in 0.6.0. There are as many value heads
//! as key heads; convolutions have no biases.

use super::blueprint::{Model, NAMES};
use crate::layers;

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
};
