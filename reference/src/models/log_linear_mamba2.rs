//! The language model of log-linear Mamba-2.
//!
//! Upstream: `LogLinearMamba2ForCausalLM` of `fla/models/log_linear_mamba2` in 0.6.0.

use super::blueprint::{BACKBONE, Model};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "log_linear_mamba2",
    upstream: &["fla.models.LogLinearMamba2Model", "fla.models.LogLinearMamba2ForCausalLM"],
    source: "Guo et al. 2025 (arXiv 2506.04761)",
    mixer: &layers::log_linear_mamba2::SPEC,
    omits: &[],
    fixed: &[],
    names: BACKBONE,
    norm_eps: 1e-05,
    hybrid: false,
    attnres: true,
    lower_bounds: false,
};
