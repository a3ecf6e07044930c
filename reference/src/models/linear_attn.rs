//! The language model of linear attention.
//!
//! Upstream: `LinearAttentionForCausalLM` of `fla/models/linear_attn` in 0.6.0. The output is always normed.

use super::blueprint::{Model, NAMES};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "linear_attn",
    upstream: &["fla.models.LinearAttentionModel", "fla.models.LinearAttentionForCausalLM"],
    source: "Katharopoulos et al. 2020 (arXiv 2006.16236), eq. 18 to 20",
    mixer: &layers::linear_attn::SPEC,
    omits: &["output_norm"],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: true,
    attnres: true,
    lower_bounds: false,
};
