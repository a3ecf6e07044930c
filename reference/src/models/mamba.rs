//! The language model of Mamba.
//!
//! Upstream: `MambaForCausalLM` of `fla/models/mamba` in 0.6.0. A block is a norm and the layer, without a feed-forward
//! network.

use super::blueprint::{MAMBA, Model};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "mamba",
    upstream: &["fla.models.MambaModel", "fla.models.MambaForCausalLM"],
    source: "Gu & Dao 2023 (arXiv 2312.00752), algorithm 2 and §3.4",
    mixer: &layers::mamba::SPEC,
    omits: &[],
    fixed: &[],
    names: MAMBA,
    norm_eps: 1e-05,
    hybrid: false,
    attnres: false,
    lower_bounds: false,
};
