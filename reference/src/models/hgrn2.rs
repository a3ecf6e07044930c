//! The language model of HGRN2.
//!
//! Upstream: `HGRN2ForCausalLM` of `fla/models/hgrn2` in 0.6.0. Convolutions have no biases.

use super::blueprint::{Model, NAMES};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "hgrn2",
    upstream: &["fla.models.HGRN2Model", "fla.models.HGRN2ForCausalLM"],
    source: "Qin et al. 2024 (arXiv 2404.07904)",
    mixer: &layers::hgrn2::SPEC,
    omits: &["q_conv1d.bias", "f_conv1d.bias", "i_conv1d.bias"],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: true,
    attnres: true,
    lower_bounds: true,
};
