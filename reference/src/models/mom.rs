//! The language model of mixture of memories.
//!
//! Upstream: `MomForCausalLM` of `fla/models/mom` in 0.6.0. Convolutions have no biases. The router's logits are not
//! part of what is judged, and the loss has no auxiliary term.

use super::blueprint::{Model, NAMES};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "mom",
    upstream: &["fla.models.MomModel", "fla.models.MomForCausalLM"],
    source: "Du et al. 2025 (arXiv 2502.13685)",
    mixer: &layers::mom::SPEC,
    omits: &["q_conv1d.bias", "k_conv1d.bias", "v_conv1d.bias"],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: false,
    attnres: true,
    lower_bounds: false,
};
