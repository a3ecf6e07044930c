//! The language model of Mamba-2.
//!
//! Upstream: `Mamba2ForCausalLM` of `fla/models/mamba2` in 0.6.0. A block is a norm and the layer, without a
//! feed-forward network.

use super::blueprint::{MAMBA, Model};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "mamba2",
    upstream: &["fla.models.Mamba2Model", "fla.models.Mamba2ForCausalLM"],
    source: "Dao & Gu 2024 (arXiv 2405.21060), eq. 16 and §7",
    mixer: &layers::mamba2::SPEC,
    omits: &[],
    fixed: &[],
    names: MAMBA,
    norm_eps: 1e-05,
    hybrid: false,
    attnres: false,
    lower_bounds: false,
};
