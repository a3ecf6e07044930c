//! The language model of preconditioned Kimi delta attention.
//!
//! Upstream: `PrecondKDAForCausalLM` of `fla/models/precond_kda` in 0.6.0. Convolutions have no biases.

use super::blueprint::{Model, NAMES};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "precond_kda",
    upstream: &["fla.models.PrecondKDAModel", "fla.models.PrecondKDAForCausalLM"],
    source: "Preconditioned DeltaNet 2026 (arXiv 2604.21100)",
    mixer: &layers::precond_kda::SPEC,
    omits: &["q_conv1d.bias", "k_conv1d.bias", "v_conv1d.bias"],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: true,
    attnres: false,
    lower_bounds: false,
};
