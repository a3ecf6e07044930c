//! The language model of Mamba-3.
//!
//! Upstream: `Mamba3ForCausalLM` of `fla/models/mamba3` in 0.6.0. A block is a norm and the layer, without a
//! feed-forward network.

use super::blueprint::{MAMBA, Model};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "mamba3",
    upstream: &["fla.models.Mamba3Model", "fla.models.Mamba3ForCausalLM"],
    source: "Lahoti et al. 2026 (arXiv 2603.15569)",
    mixer: &layers::mamba3::SPEC,
    omits: &[],
    fixed: &[],
    names: MAMBA,
    norm_eps: 1e-05,
    hybrid: false,
    attnres: false,
    lower_bounds: false,
};
