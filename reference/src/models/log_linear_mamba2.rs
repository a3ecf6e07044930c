//! The language model of log-linear Mamba-2.
//!
//! Upstream: `LogLinearMamba2ForCausalLM` of `fla/models/log_linear_mamba2` in 0.6.0.

use serde_json::Value;

use super::blueprint::{BACKBONE, Model};
use super::config::{
    Config, Draft, Field, MIXER,
    Means::{By, Extent, Idle, Only, Option as Set, Weights},
};
use crate::spec::Dim;
use crate::{fields, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "log_linear_mamba2",
    upstream: &["fla.models.LogLinearMamba2Model", "fla.models.LogLinearMamba2ForCausalLM"],
    source: "Guo et al. 2025 (arXiv 2506.04761)",
    mixer: &layers::log_linear_mamba2::SPEC,
    omits: &[],
    fixed: &[],
    names: BACKBONE,
    norm_eps: 1e-05,
    hybrid: false,
    attnres: true,
    lower_bounds: false,
    config: Config {
        own: fields![
            head_dim = 64 => Extent(Dim::V),
            state_size = 128 => Extent(Dim::K),
            n_groups = 1 => Extent(Dim::H),
            conv_kernel = 4 => Extent(Dim::W),
            num_heads => Idle,
            expand = 2 => By(heads),
            hidden_act = "silu" => Only,
            residual_in_fp32 = false => Only,
            chunk_size = 64 => Only,
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

/// Its levels are always as many as 16384 tokens need.
fn heads(draft: &mut Draft, expand: &Value) -> Result<(), &'static str> {
    draft.set(Dim::L, 15);
    draft.expanded_heads(expand)
}

const LIMITS: &[Field] =
    &[Field { name: "dt_limit", default: Some(r#"[0.0, {"__float__": "Infinity"}]"#), means: Only }];
