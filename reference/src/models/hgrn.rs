//! The language model of hierarchically gated recurrence.
//!
//! Upstream: `HGRNForCausalLM` of `fla/models/hgrn` in 0.6.0. Convolutions have no biases.

use super::blueprint::{Model, NAMES};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "hgrn",
    upstream: &["fla.models.HGRNModel", "fla.models.HGRNForCausalLM"],
    source: "Qin et al. 2023 (arXiv 2311.04823)",
    mixer: &layers::hgrn::SPEC,
    omits: &["f_conv1d.bias", "i_conv1d.bias"],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: true,
    attnres: true,
    lower_bounds: true,
};
