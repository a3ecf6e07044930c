//! The language model of MesaNet.
//!
//! Upstream: `MesaNetForCausalLM` of `fla/models/mesa_net` in 0.6.0. Convolutions have no biases.

use super::blueprint::{Model, NAMES};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "mesa_net",
    upstream: &["fla.models.MesaNetModel", "fla.models.MesaNetForCausalLM"],
    source: "von Oswald et al. 2025 (arXiv 2506.05233)",
    mixer: &layers::mesa_net::SPEC,
    omits: &["q_conv1d.bias", "k_conv1d.bias"],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: true,
    attnres: true,
    lower_bounds: false,
};
