//! The language model of Samba.
//!
//! Upstream: `SambaForCausalLM` of `fla/models/samba` in 0.6.0. Blocks of Mamba take turns with blocks of softmax
//! attention.

use super::blueprint::{BACKBONE, Model};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "samba",
    upstream: &["fla.models.SambaModel", "fla.models.SambaForCausalLM"],
    source: "Gu & Dao 2023 (arXiv 2312.00752), algorithm 2 and §3.4",
    mixer: &layers::mamba::SPEC,
    omits: &["hidden_act"],
    fixed: &[],
    names: BACKBONE,
    norm_eps: 1e-05,
    hybrid: true,
    attnres: true,
    lower_bounds: false,
};
