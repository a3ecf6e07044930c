//! The language model of the forgetting transformer.
//!
//! Upstream: `ForgettingTransformerForCausalLM` of `fla/models/forgetting_transformer` in 0.6.0.

use super::blueprint::{Model, NAMES};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "forgetting_transformer",
    upstream: &["fla.models.ForgettingTransformerModel", "fla.models.ForgettingTransformerForCausalLM"],
    source: "Lin et al. 2025 (arXiv 2503.02130), §3",
    mixer: &layers::forgetting_attn::SPEC,
    omits: &[],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: false,
    attnres: true,
    lower_bounds: false,
};
