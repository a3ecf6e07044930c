//! The language model of mixture of memories.
//!
//! Upstream: `MomForCausalLM` of `fla/models/mom` in 0.6.0. Convolutions have no biases. The router's logits are
//! not part of what is judged, and the loss has no auxiliary term. `attn` is refused: a block of softmax attention
//! returns three values where four are unpacked.

use serde_json::Value;

use super::blueprint::{Model, NAMES};
use super::config::{
    Config, Draft,
    Means::{By, Extent, Idle, Only, Option as Set, Times},
    POSITIONS, SKELETON,
};
use crate::spec::{Dim, Value as Choice};
use crate::{fields, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "mom",
    upstream: &["fla.models.MomModel", "fla.models.MomForCausalLM"],
    source: "Du et al. 2025 (arXiv 2502.13685)",
    mixer: &layers::mom::SPEC,
    omits: &["q_conv1d.bias", "k_conv1d.bias", "v_conv1d.bias"],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: false,
    attnres: true,
    lower_bounds: false,
    config: Config {
        own: fields![
            attn_mode = "chunk" => Idle,
            num_heads = 4 => Extent(Dim::H),
            head_dim = 256 => Extent(Dim::K),
            expand_v = 1.0 => Times(Dim::V, Dim::K),
            conv_size = 4 => Extent(Dim::W),
            num_memories = 4 => Extent(Dim::M),
            topk = 2 => Set("topk"),
            use_output_gate = true => Set("use_output_gate"),
            use_short_conv = true => Only,
            attn = null => Only,
            mom_backend = "gated_deltanet" => Only,
            shared_mem = true => By(shared),
            single_kv_proj = false => By(single),
            capacity = 1.0 => Idle,
            use_layer_wise_balance = true => Idle,
            aux_loss_scale = 0.01 => Idle,
        ],
        shared: &[SKELETON, POSITIONS],
    },
};

fn shared(draft: &mut Draft, flag: &Value) -> Result<(), &'static str> {
    draft.option("shared_mem", Choice::Flag(flag.as_bool().ok_or("true or false")?));
    Ok(())
}

/// Projections for all memories serve the shared one, and stand for those of the others.
fn single(draft: &mut Draft, flag: &Value) -> Result<(), &'static str> {
    let single = flag.as_bool().ok_or("true or false")?;
    draft.option("single_kv_proj", Choice::Flag(single));
    draft.option("shared_proj", Choice::Flag(single || draft.given("shared_mem") == Some(&Value::Bool(true))));
    Ok(())
}
