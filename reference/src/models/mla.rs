//! The language model of multi-head latent attention.
//!
//! Upstream: `MLAForCausalLM` of `fla/models/mla` in 0.6.0.

use serde_json::Value;

use super::blueprint::{Model, NAMES};
use super::config::{
    Config, Draft, LOSS,
    Means::{By, Extent, Idle, Option as Set},
    POSITIONS, SKELETON, number, whole,
};
use crate::spec::{Dim, Value as Choice};
use crate::{fields, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "mla",
    upstream: &["fla.models.MLAModel", "fla.models.MLAForCausalLM"],
    source: "DeepSeek-AI 2024 (arXiv 2405.04434), §2.1",
    mixer: &layers::mla::SPEC,
    omits: &[],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: false,
    attnres: true,
    lower_bounds: false,
    config: Config {
        own: fields![
            num_heads = 16 => Extent(Dim::H),
            qk_rope_head_dim = 64 => Extent(Dim::R),
            kv_lora_rank = 512 => Extent(Dim::I),
            v_head_dim = 128 => Extent(Dim::V),
            qk_head_dim = 192 => Extent(Dim::K),
            qk_nope_head_dim = 128 => By(unturned),
            q_lora_rank = 64 => By(bottleneck),
            window_size = null => Set("window_size"),
            rope_theta = 10000.0 => Set("rope_theta"),
            rope_scaling = null => Idle,
            elementwise_affine = true => Idle,
        ],
        shared: &[SKELETON, LOSS, POSITIONS],
    },
};

/// Channels that do not turn with their position are those that are left.
fn unturned(draft: &mut Draft, width: &Value) -> Result<(), &'static str> {
    let rest = draft.size(Dim::K).checked_sub(draft.size(Dim::R));
    (rest.map(|rest| rest as f64) == number(width)).then_some(()).ok_or("qk_head_dim - qk_rope_head_dim")
}

fn bottleneck(draft: &mut Draft, rank: &Value) -> Result<(), &'static str> {
    draft.option("q_lora", Choice::Flag(!rank.is_null()));
    if !rank.is_null() {
        draft.set(Dim::E, whole(rank).ok_or("null or a whole number from 1")?);
    }
    Ok(())
}
