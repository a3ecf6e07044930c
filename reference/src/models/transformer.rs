//! The language model of softmax attention.
//!
//! Upstream: `TransformerForCausalLM` of `fla/models/transformer` in 0.6.0.

use super::blueprint::{Model, NAMES};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "transformer",
    upstream: &["fla.models.TransformerModel", "fla.models.TransformerForCausalLM"],
    source: "Vaswani et al. 2017 (arXiv 1706.03762), §3.2.2",
    mixer: &layers::attn::SPEC,
    omits: &[],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: false,
    attnres: true,
    lower_bounds: false,
};
