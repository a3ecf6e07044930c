//! The language model of gated linear attention.
//!
//! Upstream: `GLAForCausalLM` of `fla/models/gla` in 0.6.0.

use super::blueprint::{Model, NAMES};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "gla",
    upstream: &["fla.models.GLAForCausalLM", "fla.models.GLAModel"],
    source: "Yang et al. 2024 (arXiv 2312.06635)",
    mixer: &layers::gla::SPEC,
    names: NAMES,
    norm_eps: 1e-6,
    hybrid: true,
    attnres: true,
};
