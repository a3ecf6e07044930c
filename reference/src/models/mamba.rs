//! The language model of Mamba.
//!
//! Upstream: `MambaForCausalLM` of `fla/models/mamba` in 0.6.0. A block is a norm and the layer, without a feed-forward
//! network.

use super::blueprint::{MAMBA, Model};
use super::config::{
    Config, Draft, MIXER,
    Means::{By, Extent, Idle, Times, Weights},
};
use crate::spec::Dim;
use crate::{fields, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "mamba",
    upstream: &["fla.models.MambaModel", "fla.models.MambaForCausalLM"],
    source: "Gu & Dao 2023 (arXiv 2312.00752), algorithm 2 and §3.4",
    mixer: &layers::mamba::SPEC,
    omits: &[],
    fixed: &[],
    names: MAMBA,
    norm_eps: 1e-05,
    hybrid: false,
    attnres: false,
    lower_bounds: false,
    config: Config {
        own: fields![
            state_size = 16 => Extent(Dim::K),
            conv_kernel = 4 => Extent(Dim::W),
            expand = 2 => Times(Dim::I, Dim::D),
            intermediate_size => Extent(Dim::I),
            dt_rank = "auto" => By(Draft::time_step_rank),
            hidden_act = "silu" => By(Draft::silu),
            use_bias = false => Weights(&["in_proj.bias", "out_proj.bias"]),
            use_conv_bias = true => Weights(&["conv1d.bias"]),
            dt_scale = 1.0 => Idle,
            dt_min = 0.001 => Idle,
            dt_max = 0.1 => Idle,
            dt_init_floor = 0.0001 => Idle,
            dt_init_scheme = "random" => Idle,
            residual_in_fp32 = false => Idle,
            rescale_prenorm_residual = false => Idle,
        ],
        shared: &[MIXER],
    },
};
