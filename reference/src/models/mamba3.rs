//! The language model of Mamba-3.
//!
//! Upstream: `Mamba3ForCausalLM` of `fla/models/mamba3` in 0.6.0. A block is a norm and the layer, without a
//! feed-forward network.

use serde_json::Value;

use super::blueprint::{MAMBA, Model};
use super::config::{
    Config, Draft, MIXER,
    Means::{By, Extent, Idle, Option as Set, Weights},
    number, whole,
};
use crate::spec::Dim;
use crate::{fields, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "mamba3",
    upstream: &["fla.models.Mamba3Model", "fla.models.Mamba3ForCausalLM"],
    source: "Lahoti et al. 2026 (arXiv 2603.15569)",
    mixer: &layers::mamba3::SPEC,
    omits: &[],
    fixed: &[],
    names: MAMBA,
    norm_eps: 1e-05,
    hybrid: false,
    attnres: false,
    lower_bounds: false,
    config: Config {
        own: fields![
            head_dim = 64 => Extent(Dim::V),
            state_size = 128 => Extent(Dim::K),
            n_groups = 1 => Extent(Dim::H),
            expand = 2 => By(heads),
            num_heads => Idle,
            rope_fraction = 0.5 => By(angles),
            mimo_rank = 4 => By(rank),
            A_floor = 0.0001 => Set("A_floor"),
            is_outproj_norm = false => Set("is_outproj_norm"),
            is_mimo = false => Set("is_mimo"),
            use_bias = false => Weights(&["in_proj.bias", "out_proj.bias"]),
            hidden_act = "silu" => Idle,
            residual_in_fp32 = true => Idle,
            chunk_size = 64 => Idle,
            dt_min = 0.001 => Idle,
            dt_max = 0.1 => Idle,
            dt_init_floor = 0.0001 => Idle,
            rescale_prenorm_residual = true => Idle,
        ],
        shared: &[MIXER],
    },
};

/// What it says of heads is never read: they follow from the widths.
fn heads(draft: &mut Draft, expand: &Value) -> Result<(), &'static str> {
    let expand = number(expand).filter(|x| *x > 0.0).ok_or("a positive number")?;
    let (width, each) = ((draft.size(Dim::D) as f64 * expand) as usize, draft.size(Dim::V));
    let count = width.is_multiple_of(each).then_some(width / each);
    draft.set(Dim::HV, count.ok_or("a multiple of head_dim / hidden_size")?);
    Ok(())
}

/// Angles for half of the channels, or all.
fn angles(draft: &mut Draft, fraction: &Value) -> Result<(), &'static str> {
    let width = match number(fraction) {
        Some(0.5) => draft.size(Dim::K) / 2,
        Some(1.0) => draft.size(Dim::K),
        _ => return Err("0.5 or 1"),
    };
    draft.set(Dim::L, width / 2);
    Ok(())
}

fn rank(draft: &mut Draft, rank: &Value) -> Result<(), &'static str> {
    let rank = whole(rank).ok_or("a whole number from 1")?;
    let several = draft.given("is_mimo") == Some(&Value::Bool(true));
    draft.set(Dim::R, if several { rank } else { 1 });
    Ok(())
}
