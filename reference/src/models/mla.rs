//! The language model of multi-head latent attention.
//!
//! Upstream: `MLAForCausalLM` of `fla/models/mla` in 0.6.0.

use super::blueprint::{Model, NAMES};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "mla",
    upstream: &["fla.models.MLAModel", "fla.models.MLAForCausalLM"],
    source: "DeepSeek-AI 2024 (arXiv 2405.04434), §2.1",
    mixer: &layers::mla::SPEC,
    omits: &[],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: false,
    attnres: true,
    lower_bounds: false,
};
