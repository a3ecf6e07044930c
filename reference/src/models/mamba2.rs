//! The language model of Mamba-2.
//!
//! Upstream: `Mamba2ForCausalLM` of `fla/models/mamba2` in 0.6.0. A block is a norm and the layer, without a
//! feed-forward network.

use serde_json::Value;

use super::blueprint::{MAMBA, Model};
use super::config::{
    Config, Draft, Field, MIXER,
    Means::{By, Extent, Idle, Option as Set, Weights},
    number,
};
use crate::spec::{Dim, Value as Choice};
use crate::{fields, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "mamba2",
    upstream: &["fla.models.Mamba2Model", "fla.models.Mamba2ForCausalLM"],
    source: "Dao & Gu 2024 (arXiv 2405.21060), eq. 16 and §7",
    mixer: &layers::mamba2::SPEC,
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
            conv_kernel = 4 => Extent(Dim::W),
            num_heads => Idle,
            expand = 2 => By(Draft::expanded_heads),
            hidden_act = "silu" => By(Draft::silu),
            residual_in_fp32 = true => Idle,
            chunk_size = 256 => Idle,
            D_has_hdim = false => Set("D_has_hdim"),
            rmsnorm = true => Set("rmsnorm"),
            norm_before_gate = false => Set("norm_before_gate"),
            use_bias = false => Weights(&["in_proj.bias", "out_proj.bias"]),
            use_conv_bias = true => Weights(&["conv1d.bias"]),
            conv_init = null => Idle,
            A_init_range = [1, 16] => Idle,
            dt_min = 0.001 => Idle,
            dt_max = 0.1 => Idle,
            dt_init_floor = 0.0001 => Idle,
            rescale_prenorm_residual = true => Idle,
        ],
        shared: &[LIMITS, MIXER],
    },
};

fn limits(draft: &mut Draft, pair: &Value) -> Result<(), &'static str> {
    let pair: Vec<_> = pair.as_array().into_iter().flatten().filter_map(number).collect();
    let [low, high] = pair[..] else { return Err("two numbers, of which the second may be infinity") };
    draft.option("dt_limit_low", Choice::Number(low));
    if high.is_finite() {
        draft.option("dt_limit_high", Choice::Number(high));
    }
    Ok(())
}

const LIMITS: &[Field] =
    &[Field { name: "dt_limit", default: Some(r#"[0.0, {"__float__": "Infinity"}]"#), means: By(limits) }];
