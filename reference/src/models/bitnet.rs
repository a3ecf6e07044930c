//! The language model of BitNet.
//!
//! Upstream: `BitNetForCausalLM` of `fla/models/bitnet` in 0.6.0. Only the projections of the attention are quantised;
//! the feed-forward network and the head are not.

use super::blueprint::{Model, NAMES};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "bitnet",
    upstream: &["fla.models.BitNetModel", "fla.models.BitNetForCausalLM"],
    source: "Ma et al. 2024 (arXiv 2402.17764), §2",
    mixer: &layers::bitattn::SPEC,
    omits: &[],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: false,
    attnres: true,
    lower_bounds: false,
};
