//! The language model of gated linear attention.
//!
//! Upstream: `GLAForCausalLM` of `fla/models/gla` in 0.6.0. The bottleneck of the gate has 16 channels, convolutions no
//! biases; `hidden_act` is swish or nothing works.

use super::blueprint::{Model, NAMES};
use crate::{fixed, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "gla",
    upstream: &["fla.models.GLAForCausalLM", "fla.models.GLAModel"],
    source: "Yang et al. 2024 (arXiv 2312.06635)",
    mixer: &layers::gla::SPEC,
    omits: &["gate_logit_normalizer", "gate_fn", "q_conv1d.bias", "k_conv1d.bias", "v_conv1d.bias"],
    fixed: &[fixed!(E = 16)],
    names: NAMES,
    norm_eps: 1e-6,
    hybrid: true,
    attnres: true,
    lower_bounds: false,
};
