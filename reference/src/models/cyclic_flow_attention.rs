//! The language model of cyclic flow attention.
//!
//! Upstream: `CyclicFlowAttentionForCausalLM` of `fla/models/cyfa` in 0.6.0.

use super::blueprint::{Model, NAMES};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "cyclic_flow_attention",
    upstream: &["fla.models.CyclicFlowAttentionModel", "fla.models.CyclicFlowAttentionForCausalLM"],
    source: "Chen 2026 (arXiv 2609.36259)",
    mixer: &layers::cyfa::SPEC,
    omits: &[],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: false,
    attnres: false,
    lower_bounds: false,
};
