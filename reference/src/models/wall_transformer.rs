//! The language model of wall attention.
//!
//! Upstream: `WallTransformerForCausalLM` of `fla/models/wall_transformer` in 0.6.0.

use super::blueprint::{Model, NAMES};
use crate::layers;

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "wall_transformer",
    upstream: &["fla.models.WallTransformerModel", "fla.models.WallTransformerForCausalLM"],
    source: "none named",
    mixer: &layers::wall_attn::SPEC,
    omits: &[],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: false,
    attnres: true,
    lower_bounds: false,
};
