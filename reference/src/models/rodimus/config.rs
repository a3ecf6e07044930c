//! The configuration of Rodimus.

use serde_json::Value as Json;

use super::{Block, spec};
use crate::fields;
use crate::models::config::{
    Config, Draft, Inner, LOSS,
    Means::{By, Extent, Idle, Inner as Width, Option as Set},
    Own, POSITIONS, SKELETON, number, whole,
};
use crate::models::stack::places;
use crate::spec::{Dim, Value};

/// See the module documentation.
pub static CONFIG: Own = Own {
    model_type: "rodimus",
    config: Config {
        own: fields![
            block_type = "rodimus_plus" => By(widened_stream),
            attn_mode = "chunk" => Idle,
            residual_in_fp32 = true => Idle,
            block_residual_in_fp32 = false => Idle,
            expand_ratio = 64 => Extent(Dim::M),
            input_gate_low_rank = "auto" => By(input_gate),
            use_short_conv = true => Set("use_short_conv"),
            conv_size = 4 => Extent(Dim::W),
            hidden_ratio = 1.3333333333333333 => Idle,
            intermediate_size = null => Width,
            hidden_act = "swish" => Set("hidden_act"),
            norm_eps = 1e-05 => Set("norm_eps"),
            k_norm_eps = null => By(least_length),
            ska_attn = null => By(shared_key),
            bos_token_id = 126080 => Idle,
            eos_token_id = 126081 => Idle,
            tie_word_embeddings = true => Set("tie_word_embeddings"),
            vocab_size = 126464 => Extent(Dim::S),
        ],
        shared: &[SKELETON, LOSS, POSITIONS],
    },
    hybrid: true,
    attnres: false,
    inner: &[Inner { dim: Dim::I, of: Dim::D, ratio: 4.0 / 3.0, fraction: [1.0, 1.0], multiple: 8 }],
    counts: &[],
    spec: |draft, softmax| {
        let own =
            if draft.given("block_type").is_some_and(|kind| kind == "rodimus") { Block::Rodimus } else { Block::Plus };
        let blocks: Vec<Block> = softmax.iter().map(|&is| if is { Block::Softmax } else { own }).collect();
        let alone = if own == Block::Rodimus { "@rodimus".to_owned() } else { String::new() };
        spec(&(if softmax.contains(&true) { places(softmax) } else { alone }), &blocks)
    },
};

fn widened_stream(draft: &mut Draft, kind: &Json) -> Result<(), &'static str> {
    draft.set(Dim::V, (2 * draft.size(Dim::D)).next_multiple_of(8));
    if kind == "rodimus" || kind == "rodimus_plus" { Ok(()) } else { Err("rodimus or rodimus_plus") }
}

/// The bottleneck of the input gate: the 64th part of the model's width, and 16 at least, unless given.
fn input_gate(draft: &mut Draft, rank: &Json) -> Result<(), &'static str> {
    let auto = (rank == "auto").then(|| (draft.size(Dim::D) / 64).max(16));
    draft.set(Dim::E, auto.or_else(|| whole(rank)).ok_or("auto or a whole number from 1")?);
    Ok(())
}

fn least_length(draft: &mut Draft, eps: &Json) -> Result<(), &'static str> {
    if !eps.is_null() {
        draft.option("k_norm_eps", Value::Number(number(eps).ok_or("null or a number")?));
    }
    Ok(())
}

/// Heads and options of the shared-key attention.
fn shared_key(draft: &mut Draft, attn: &Json) -> Result<(), &'static str> {
    const EXPECTED: &str = "an object of num_heads, qkv_bias, qk_norm, window_size and rope_theta";
    let Some(attn) = attn.as_object() else {
        let without = draft.given("block_type").is_some_and(|kind| kind == "rodimus");
        return if without && attn.is_null() { Ok(()) } else { Err(EXPECTED) };
    };
    for (name, value) in attn {
        match name.as_str() {
            "num_heads" => draft.set(Dim::HQ, whole(value).ok_or(EXPECTED)?),
            "qkv_bias" => draft.option("ska_attn.qkv_bias", Value::Flag(value.as_bool().ok_or(EXPECTED)?)),
            "qk_norm" => draft.option("ska_attn.qk_norm", Value::Flag(value.as_bool().ok_or(EXPECTED)?)),
            "window_size" => draft.option("ska_attn.window_size", Value::Number(number(value).ok_or(EXPECTED)?)),
            "rope_theta" => draft.option("ska_attn.rope_theta", Value::Number(number(value).ok_or(EXPECTED)?)),
            _ => return Err(EXPECTED),
        }
    }
    let heads = attn.get("num_heads").and_then(whole).ok_or(EXPECTED)?;
    draft.set(Dim::K, draft.size(Dim::D) / heads);
    Ok(())
}
