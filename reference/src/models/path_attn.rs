//! The language model of PaTH attention.
//!
//! Upstream: `PaTHAttentionForCausalLM` of `fla/models/path_attn` in 0.6.0. q and k are not normed; the convolution has
//! no bias.

use super::blueprint::{Model, NAMES};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "path_attn",
    upstream: &["fla.models.PaTHAttentionModel", "fla.models.PaTHAttentionForCausalLM"],
    source: "Yang et al. 2025 (arXiv 2505.16381)",
    mixer: &layers::path_attn::SPEC,
    omits: &["use_qk_norm", "w_conv1d.bias"],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: false,
    attnres: true,
    lower_bounds: false,
};
