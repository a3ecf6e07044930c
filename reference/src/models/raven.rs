//! The language model of Raven.
//!
//! Upstream: `RavenForCausalLM` of `fla/models/raven` in 0.6.0.

use super::blueprint::{Model, NAMES};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "raven",
    upstream: &["fla.models.RavenModel", "fla.models.RavenForCausalLM"],
    source: "Zhang et al. 2024 (arXiv 2409.07146) for the slots",
    mixer: &layers::raven::SPEC,
    omits: &["scale", "gate_fn"],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: true,
    attnres: true,
    lower_bounds: false,
};
