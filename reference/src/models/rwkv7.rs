//! The language model of RWKV-7.
//!
//! Upstream: `RWKV7ForCausalLM` of `fla/models/rwkv7` in 0.6.0. The norm of the time mixing has weights; `head_dim` is
//! K, `value_dim` H·V, which must be the same in every block, since all mix in the values of the first;
//! `decay_low_rank_dim` is E, `gate_low_rank_dim` G, `a_low_rank_dim` R, `v_low_rank_dim` M. `attn_mode`,
//! `max_position_embeddings` and the ways to compute the loss do not change values, nor does `fuse_norm` but for the
//! length of a key. What `use_l2warp` adds to a gradient is not the gradient of an output. `attn` is refused: a block of
//! softmax attention returns three values where four are unpacked.

use super::part::Part;
use super::rwkv::Rwkv;
use crate::spec::{Dim, OpSpec, Value};
use crate::{layers, modules};

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
