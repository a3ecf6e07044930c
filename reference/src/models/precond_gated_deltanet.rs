//! The language model of the preconditioned gated delta rule.
//!
//! Upstream: `PrecondGatedDeltaNetForCausalLM` of `fla/models/precond_gated_deltanet` in 0.6.0. Convolutions have no
//! biases.

use super::blueprint::{Model, NAMES};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "precond_gated_deltanet",
    upstream: &["fla.models.PrecondGatedDeltaNetModel", "fla.models.PrecondGatedDeltaNetForCausalLM"],
    source: "Preconditioned DeltaNet 2026 (arXiv 2604.21100)",
    mixer: &layers::precond_gated_deltanet::SPEC,
    omits: &["q_conv1d.bias", "k_conv1d.bias", "v_conv1d.bias"],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: true,
    attnres: false,
    lower_bounds: false,
};
