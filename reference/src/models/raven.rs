//! The language model of Raven.
//!
//! Upstream: `RavenForCausalLM` of `fla/models/raven` in 0.6.0.

use serde_json::Value;

use super::blueprint::{Model, NAMES};
use super::config::{
    Config, Draft, LOSS,
    Means::{By, Extent, Idle, Like, Option as Set, Share, Weights},
    POSITIONS, SKELETON,
};
use crate::spec::{Dim, Value as Choice};
use crate::{fields, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "raven",
    upstream: &["fla.models.RavenModel", "fla.models.RavenForCausalLM"],
    source: "Zhang et al. 2024 (arXiv 2409.07146) for the slots",
    mixer: &layers::raven::SPEC,
    omits: &["scale", "gate_fn"],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: true,
    attnres: true,
    lower_bounds: false,
    config: Config {
        own: fields![
            num_heads = 4 => Extent(Dim::HQ),
            num_kv_heads = null => Like(Dim::H, Dim::HQ),
            expand_k = 1 => Share(Dim::K, Dim::HQ),
            expand_v = 1 => Share(Dim::V, Dim::HQ),
            num_slots = 64 => Extent(Dim::M),
            feature_map = "swish" => By(Draft::learned_map),
            decay_type = "Mamba2" => By(decay),
            router_type = "lin" => By(router),
            topk = 32 => Set("topk"),
            bias_rmm = false => Set("bias_rmm"),
            router_score = "sigmoid" => Set("router_score"),
            use_rope = false => Set("use_rope"),
            rope_theta = 10000.0 => Set("rope_theta"),
            use_output_gate = false => Set("use_output_gate"),
            gate_logit_normalizer = 8 => Set("gate_logit_normalizer"),
            elementwise_affine = true => Weights(&["q_norm.weight", "k_norm.weight", "o_norm.weight", "g_norm.weight"]),
            add_gumbel_noise = true => Idle,
        ],
        shared: &[SKELETON, LOSS, POSITIONS],
    },
};

fn decay(draft: &mut Draft, word: &Value) -> Result<(), &'static str> {
    let each = match word.as_str() {
        Some("Mamba2") => false,
        Some("GLA") => true,
        _ => return Err("Mamba2 or GLA"),
    };
    draft.option("gla_decay", Choice::Flag(each));
    Ok(())
}

fn router(draft: &mut Draft, word: &Value) -> Result<(), &'static str> {
    let deep = match word.as_str() {
        Some("lin") => false,
        Some("mlp") => true,
        _ => return Err("lin or mlp"),
    };
    draft.option("mlp_router", Choice::Flag(deep));
    Ok(())
}
