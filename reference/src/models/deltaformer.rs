//! The language model of DeltaFormer.
//!
//! Upstream: `DeltaFormerForCausalLM` of `fla/models/deltaformer` in 0.6.0. A configuration may name blocks of softmax
//! attention (`attn`), which nothing reads: there are no hybrid stacks.

use super::blueprint::{Model, NAMES};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "deltaformer",
    upstream: &["fla.models.DeltaFormerModel", "fla.models.DeltaFormerForCausalLM"],
    source: "Understanding Transformer from the Perspective of Associative Memory, 2025 (arXiv 2505.19488)",
    mixer: &layers::deltaformer::SPEC,
    omits: &[],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: false,
    attnres: true,
    lower_bounds: false,
};
