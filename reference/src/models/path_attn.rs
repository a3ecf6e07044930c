//! The language model of PaTH attention.
//!
//! Upstream: `PaTHAttentionForCausalLM` of `fla/models/path_attn` in 0.6.0. q and k are not normed; the convolution has
//! no bias.

use serde_json::Value;

use super::blueprint::{Model, NAMES};
use super::config::{
    Config, Draft, LOSS,
    Means::{By, Heads, Idle, Like, Option as Set},
    SKELETON,
};
use crate::spec::{Dim, Value as Choice};
use crate::{fields, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "path_attn",
    upstream: &["fla.models.PaTHAttentionModel", "fla.models.PaTHAttentionForCausalLM"],
    source: "Yang et al. 2025 (arXiv 2505.16381)",
    mixer: &layers::path_attn::SPEC,
    omits: &["use_qk_norm", "w_conv1d.bias"],
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
            use_forget_gate = false => Set("use_forget_gate"),
            use_w_shortconv = true => By(convolution),
            use_low_rank_w = true => By(bottleneck),
            elementwise_affine = true => Idle,
        ],
        shared: &[SKELETON, LOSS],
    },
};

/// The convolution of w has three taps.
fn convolution(draft: &mut Draft, flag: &Value) -> Result<(), &'static str> {
    draft.option("use_w_shortconv", Choice::Flag(flag.as_bool().ok_or("true or false")?));
    draft.set(Dim::W, 3);
    Ok(())
}

/// The bottleneck of w has rank 32.
fn bottleneck(draft: &mut Draft, flag: &Value) -> Result<(), &'static str> {
    draft.option("use_low_rank_w", Choice::Flag(flag.as_bool().ok_or("true or false")?));
    draft.set(Dim::E, 32);
    Ok(())
}
