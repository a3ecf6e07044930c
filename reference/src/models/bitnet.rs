//! The language model of BitNet.
//!
//! Upstream: `BitNetForCausalLM` of `fla/models/bitnet` in 0.6.0. Only the projections of the attention are quantised;
//! the feed-forward network and the head are not.

use super::blueprint::{Model, NAMES};
use super::config::{
    Config, LOSS,
    Means::{Heads, Idle, Like, Option as Set},
    POSITIONS, SKELETON,
};
use crate::spec::Dim;
use crate::{fields, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "bitnet",
    upstream: &["fla.models.BitNetModel", "fla.models.BitNetForCausalLM"],
    source: "Ma et al. 2024 (arXiv 2402.17764), §2",
    mixer: &layers::bitattn::SPEC,
    omits: &[],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: false,
    attnres: true,
    lower_bounds: false,
    config: Config {
        own: fields![
            num_heads = 32 => Heads(Dim::HQ),
            num_kv_heads = null => Like(Dim::H, Dim::HQ),
            window_size = null => Set("window_size"),
            rope_theta = 10000.0 => Set("rope_theta"),
            elementwise_affine = true => Idle,
        ],
        shared: &[SKELETON, LOSS, POSITIONS],
    },
};
