//! The language model of mixture of block attention.
//!
//! Upstream: `MoBAForCausalLM` of `fla/models/moba` in 0.6.0.

use super::blueprint::{Model, NAMES};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "moba",
    upstream: &["fla.models.MoBAModel", "fla.models.MoBAForCausalLM"],
    source: "Lu et al. 2025 (arXiv 2502.13189), §2",
    mixer: &layers::moba::SPEC,
    omits: &[],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: false,
    attnres: true,
    lower_bounds: false,
};
