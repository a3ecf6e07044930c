//! The language model of Parallax.
//!
//! Upstream: `ParallaxForCausalLM` of `fla/models/parallax` in 0.6.0.

use super::blueprint::{Model, NAMES};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "parallax",
    upstream: &["fla.models.ParallaxModel", "fla.models.ParallaxForCausalLM"],
    source: "Zuo et al. 2026 (arXiv 2605.29157)",
    mixer: &layers::parallax::SPEC,
    omits: &[],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: false,
    attnres: true,
    lower_bounds: false,
};
