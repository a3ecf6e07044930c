//! The language model of native sparse attention.
//!
//! Upstream: `NSAForCausalLM` of `fla/models/nsa` in 0.6.0.

use super::blueprint::{Model, NAMES};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "nsa",
    upstream: &["fla.models.NSAModel", "fla.models.NSAForCausalLM"],
    source: "Yuan et al. 2025 (arXiv 2502.11089), §3",
    mixer: &layers::nsa::SPEC,
    omits: &[],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: false,
    attnres: true,
    lower_bounds: false,
};
