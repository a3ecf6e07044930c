//! The configuration of compress-and-attend transformers.

use serde_json::Value as Json;

use super::spec;
use crate::fields;
use crate::models::config::{
    Config, Draft, Inner,
    Means::{By, Extent, Heads, Idle, Like, Option as Set},
    Own, SKELETON, whole,
};
use crate::spec::Dim;

/// See the module documentation.
pub static CONFIG: Own = Own {
    model_type: "cat",
    config: Config {
        own: fields![
            num_heads = 32 => Heads(Dim::HQ),
            num_kv_heads = null => Like(Dim::H, Dim::HQ),
            max_chunk_size = 16 => By(chunk),
            dim_fx = null => By(vector),
            compressor_hidden_size = null => By(width),
            compressor_num_layers = null => By(layers),
            compressor_num_heads = null => By(heads),
            qkv_bias = false => Set("qkv_bias"),
            qk_norm = false => Set("qk_norm"),
            rope_theta = 10000.0 => Set("rope_theta"),
            max_position_embeddings = 2048 => Extent(Dim::G),
            pad_to_multiple_of = 512 => Idle,
            hidden_act = "swish" => Set("hidden_act"),
            elementwise_affine = true => Idle,
            use_cache = false => Idle,
            fuse_linear_cross_entropy = false => Idle,
            train_chunk_size_schedule = "power_of_2" => Idle,
            min_train_chunk_size = 2 => Idle,
        ],
        shared: &[SKELETON],
    },
    hybrid: false,
    attnres: false,
    inner: &[Inner { dim: Dim::I, ..Inner::GATED }, Inner { dim: Dim::M, of: Dim::E, ..Inner::GATED }],
    counts: &["model._train_chunk_size_step"],
    spec: |draft, blocks| spec(compressor(draft).unwrap_or(1), blocks.len()),
};

const WHOLE: &str = "null or a whole number from 1";

fn chunk(draft: &mut Draft, most: &Json) -> Result<(), &'static str> {
    let most = whole(most).ok_or("a whole number from 1")?;
    draft.set(Dim::C, most);
    draft.set(Dim::L, most + 1);
    Ok(())
}

/// The vectors of chunks are read by the decoder.
fn vector(draft: &mut Draft, width: &Json) -> Result<(), &'static str> {
    let right = width.is_null() || whole(width) == Some(draft.size(Dim::D));
    if right { Ok(()) } else { Err("null or hidden_size") }
}

/// A number, or what it is where the field is null: at least 1.
fn or(given: &Json, default: usize) -> Result<usize, &'static str> {
    if given.is_null() { Ok(default.max(1)) } else { whole(given).ok_or(WHOLE) }
}

fn width(draft: &mut Draft, width: &Json) -> Result<(), &'static str> {
    draft.set(Dim::E, or(width, draft.size(Dim::D) / 2)?);
    Ok(())
}

/// Blocks of the compressor: a fourth of the decoder's, unless given.
fn compressor(draft: &Draft) -> Result<usize, &'static str> {
    let depth = draft.given("num_hidden_layers").and_then(whole).unwrap_or(1);
    or(draft.given("compressor_num_layers").unwrap_or(&Json::Null), depth / 4)
}

fn layers(draft: &mut Draft, _: &Json) -> Result<(), &'static str> {
    compressor(draft).map(|_| ())
}

fn heads(draft: &mut Draft, heads: &Json) -> Result<(), &'static str> {
    let heads = or(heads, draft.size(Dim::HQ) / 2)?;
    draft.set(Dim::AQ, heads);
    draft.set(Dim::AK, draft.size(Dim::E) / heads);
    Ok(())
}
