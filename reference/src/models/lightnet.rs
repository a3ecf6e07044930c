//! The language model of LightNet.
//!
//! Upstream: `LightNetForCausalLM` of `fla/models/lightnet` in 0.6.0. Convolutions have no biases; in a hybrid stack
//! the wavelengths of the softmax attention are what they are by default, whatever `rope_theta` says.

use super::blueprint::{Model, NAMES};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "lightnet",
    upstream: &["fla.models.LightNetModel", "fla.models.LightNetForCausalLM"],
    source: "Qin et al. 2024 (arXiv 2405.21022)",
    mixer: &layers::lightnet::SPEC,
    omits: &["q_conv1d.bias", "k_conv1d.bias", "v_conv1d.bias", "attn.rope_theta"],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: true,
    attnres: true,
    lower_bounds: false,
};
