//! The language model of cyclic flow attention.
//!
//! Upstream: `CyclicFlowAttentionForCausalLM` of `fla/models/cyfa` in 0.6.0.

use serde_json::Value;

use super::blueprint::{Model, NAMES};
use super::config::{
    Config, Draft, LOSS,
    Means::{By, Extent, Idle, Option as Set, Weights},
    POSITIONS, SKELETON, number, whole,
};
use crate::spec::Dim;
use crate::{fields, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "cyclic_flow_attention",
    upstream: &["fla.models.CyclicFlowAttentionModel", "fla.models.CyclicFlowAttentionForCausalLM"],
    source: "Chen 2026 (arXiv 2609.36259)",
    mixer: &layers::cyfa::SPEC,
    omits: &[],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: false,
    attnres: false,
    lower_bounds: false,
    config: Config {
        own: fields![
            attn_mode = "chunk" => Idle,
            pad_token_id = 2 => Idle,
            head_dim = 256 => Extent(Dim::K),
            num_heads = 8 => Extent(Dim::H),
            expand_k = 1.0 => By(keys),
            expand_v = 1.0 => By(values),
            num_slots = 128 => By(slots),
            use_short_conv = true => Set("use_short_conv"),
            conv_size = 4 => Extent(Dim::W),
            conv_bias = false => Weights(&["q_conv1d.bias", "k_conv1d.bias", "v_conv1d.bias"]),
            checkpoint_level = 0 => Idle,
        ],
        shared: &[SKELETON, LOSS, POSITIONS],
    },
};

fn keys(draft: &mut Draft, factor: &Value) -> Result<(), &'static str> {
    stretch(draft, Dim::K, factor)
}

fn values(draft: &mut Draft, factor: &Value) -> Result<(), &'static str> {
    stretch(draft, Dim::V, factor)
}

/// The width of a key or a value, from what `head_dim` says.
fn stretch(draft: &mut Draft, dim: Dim, factor: &Value) -> Result<(), &'static str> {
    let width = draft.number("head_dim").zip(number(factor)).map(|(width, factor)| width * factor);
    draft.set(dim, width.filter(|v| *v >= 1.0).ok_or("a positive number")? as usize);
    Ok(())
}

/// The modes of a key's spectrum, one of which the readout leaves out.
fn slots(draft: &mut Draft, count: &Value) -> Result<(), &'static str> {
    let count = whole(count).filter(|m| m.is_multiple_of(2)).ok_or("an even number from 2")?;
    draft.set(Dim::M, count);
    draft.set(Dim::C, count - 1);
    Ok(())
}
