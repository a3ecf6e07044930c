//! The language model of RWKV-7.
//!
//! Upstream: `RWKV7ForCausalLM` of `fla/models/rwkv7` in 0.6.0. The norm of the time mixing has weights; `head_dim` is
//! K, `value_dim` H·V, which must be the same in every block, since all mix in the values of the first;
//! `decay_low_rank_dim` is E, `gate_low_rank_dim` G, `a_low_rank_dim` R, `v_low_rank_dim` M. `attn_mode`,
//! `max_position_embeddings` and the ways to compute the loss do not change values, nor does `fuse_norm` but for the
//! length of a key. What `use_l2warp` adds to a gradient is not the gradient of an output. `attn` is refused: a block of
//! softmax attention returns three values where four are unpacked.

use serde_json::Value as Json;

use super::config::{
    Config, Draft, MIXER,
    Means::{By, Depth, Extent, Idle, Inner as Width, Only, Option as Set},
    Own, POSITIONS, whole,
};
use super::part::Part;
use super::rwkv::{INNER, Rwkv};
use crate::spec::{Dim, OpSpec, Value};
use crate::{fields, layers, modules};

/// The spec of a stack of so many blocks.
#[must_use]
pub fn spec(blocks: usize) -> OpSpec {
    MODEL.spec(&vec![false; blocks])
}

pub(super) static MODEL: Rwkv = Rwkv {
    model_type: "rwkv7",
    upstream: &["fla.models.RWKV7ForCausalLM", "fla.models.RWKV7Model"],
    source: "Peng et al. 2025 (arXiv 2503.14456)",
    time: |layer| Part {
        omits: &["x", "v_first"],
        decided: if layer == 0 { &[("first_layer", true)] } else { &[("first_layer", false)] },
        defaults: &[("fuse_norm", Value::Flag(true))],
        renamed: &[(Dim::I, Dim::G)],
        ..Part::of(&layers::rwkv7::SPEC)
    },
    channel: Part::of(&modules::rwkv7_feed_forward::SPEC),
};

/// Its configuration.
pub static CONFIG: Own = Own {
    model_type: "rwkv7",
    config: Config {
        own: fields![
            attn_mode = "chunk" => Idle,
            num_hidden_layers = 24 => Depth,
            head_dim = 64 => By(heads),
            num_heads = null => Idle,
            value_dim = null => By(values),
            hidden_ratio = 4 => Idle,
            intermediate_size = null => Width,
            hidden_act = "sqrelu" => Set("hidden_act"),
            decay_low_rank_dim = 64 => Extent(Dim::E),
            gate_low_rank_dim = 128 => Extent(Dim::G),
            a_low_rank_dim = 64 => Extent(Dim::R),
            v_low_rank_dim = 16 => Extent(Dim::M),
            norm_first = true => Set("norm_first"),
            norm_bias = true => Set("norm_bias"),
            fuse_norm = true => Set("fuse_norm"),
            pad_token_id = null => Idle,
            use_l2warp = true => Idle,
            attn = null => Only,
        ],
        shared: &[MIXER, POSITIONS],
    },
    hybrid: false,
    attnres: false,
    inner: &[INNER],
    counts: &[],
    spec: |_, softmax| spec(softmax.len()),
};

/// Heads of that width, or, where it is null, as many as `num_heads` says.
fn heads(draft: &mut Draft, width: &Json) -> Result<(), &'static str> {
    let (model, heads) = (draft.size(Dim::D), draft.given("num_heads").and_then(whole));
    let width =
        whole(width).or_else(|| Some(model / heads?)).ok_or("a whole number from 1, unless there is num_heads")?;
    if width == 0 || !model.is_multiple_of(width) {
        return Err("what divides hidden_size");
    }
    draft.set(Dim::K, width);
    draft.set(Dim::H, model / width);
    Ok(())
}

/// The width of all values together, of every block or of each.
fn values(draft: &mut Draft, width: &Json) -> Result<(), &'static str> {
    let (model, heads) = (draft.size(Dim::D), draft.size(Dim::H));
    let width = match width {
        Json::Null => Some(model),
        Json::Array(each) => each.first().filter(|first| each.iter().all(|x| x == *first)).and_then(whole),
        one => whole(one),
    };
    let width =
        width.filter(|width| width.is_multiple_of(model)).ok_or("a multiple of hidden_size, one for all blocks")?;
    draft.set(Dim::V, width / heads);
    Ok(())
}
