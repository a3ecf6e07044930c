//! The language model of stick-breaking attention.
//!
//! Upstream: `StickBreakingAttentionForCausalLM` of `fla/models/stickbreaking_attn` in 0.6.0.

use super::blueprint::{Model, NAMES};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "stickbreaking_attn",
    upstream: &["fla.models.StickBreakingAttentionModel", "fla.models.StickBreakingAttentionForCausalLM"],
    source: "Tan et al. 2024 (arXiv 2410.17980)",
    mixer: &layers::stickbreaking_attn::SPEC,
    omits: &[],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: false,
    attnres: false,
    lower_bounds: false,
};
