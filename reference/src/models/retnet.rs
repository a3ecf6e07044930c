//! The language model of the retentive network.
//!
//! Upstream: `RetNetForCausalLM` of `fla/models/retnet` in 0.6.0. There are no convolutions: `use_short_conv` and
//! `conv_size` of a configuration are not handed on.

use super::blueprint::{Model, NAMES};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "retnet",
    upstream: &["fla.models.RetNetModel", "fla.models.RetNetForCausalLM"],
    source: "Sun et al. 2023 (arXiv 2307.08621), eq. 1 to 8",
    mixer: &layers::multiscale_retention::SPEC,
    omits: &["q_conv1d.bias", "k_conv1d.bias", "v_conv1d.bias", "use_short_conv", "gate_fn"],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: true,
    attnres: true,
    lower_bounds: false,
};
