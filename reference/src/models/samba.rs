//! The language model of Samba.
//!
//! Upstream: `SambaForCausalLM` of `fla/models/samba` in 0.6.0. Blocks of Mamba take turns with blocks of softmax
//! attention.

use super::blueprint::{BACKBONE, Model};
use super::config::{
    Config, Draft, Field, LOSS,
    Means::{By, Depth, Extent, Hybrid, Idle, Option as Set, Times, Weights},
    POSITIONS, SKELETON,
};
use crate::spec::Dim;
use crate::{fields, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "samba",
    upstream: &["fla.models.SambaModel", "fla.models.SambaForCausalLM"],
    source: "Gu & Dao 2023 (arXiv 2312.00752), algorithm 2 and §3.4",
    mixer: &layers::mamba::SPEC,
    omits: &["hidden_act"],
    fixed: &[],
    names: BACKBONE,
    norm_eps: 1e-05,
    hybrid: true,
    attnres: true,
    lower_bounds: false,
    config: Config {
        own: fields![
            hidden_size = 2304 => Extent(Dim::D),
            num_hidden_layers = 18 => Depth,
            norm_eps = 1e-05 => Set("norm_eps"),
            pad_token_id = 0 => Idle,
            state_size = 16 => Extent(Dim::K),
            conv_kernel = 4 => Extent(Dim::W),
            expand = 2 => Times(Dim::I, Dim::D),
            intermediate_size => Extent(Dim::I),
            time_step_rank = "auto" => By(Draft::time_step_rank),
            use_bias = false => Weights(&["in_proj.bias", "out_proj.bias"]),
            use_conv_bias = true => Idle,
            time_step_scale = 1.0 => Idle,
            time_step_min = 0.001 => Idle,
            time_step_max = 0.1 => Idle,
            time_step_init_scheme = "random" => Idle,
            time_step_floor = 0.0001 => Idle,
            residual_in_fp32 = false => Idle,
            rescale_prenorm_residual = false => Idle,
        ],
        shared: &[ATTENTION, SKELETON, LOSS, POSITIONS],
    },
};

/// Every other block, while there are any.
const ATTENTION: &[Field] = &[Field {
    name: "attn",
    default: Some(
        r#"{"layers": [1, 3, 5, 7, 9, 11, 13, 15, 17], "num_heads": 18,
    "num_kv_heads": 18, "qkv_bias": false, "window_size": 2048, "rope_theta": 10000.0}"#,
    ),
    means: Hybrid(&[]),
}];
