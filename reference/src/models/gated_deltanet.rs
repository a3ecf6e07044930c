//! The language model of the gated delta rule.
//!
//! Upstream: `GatedDeltaNetForCausalLM` of `fla/models/gated_deltanet` in 0.6.0. Convolutions have no biases.

use serde_json::Value;

use super::blueprint::{Model, NAMES};
use super::config::{
    Config, Draft, LOSS,
    Means::{By, Depth, Extent, Idle, Like, Option as Set, Times},
    POSITIONS, SKELETON,
};
use crate::spec::Dim;
use crate::{fields, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "gated_deltanet",
    upstream: &["fla.models.GatedDeltaNetModel", "fla.models.GatedDeltaNetForCausalLM"],
    source: "Yang, Kautz & Hatamizadeh 2024 (arXiv 2412.06464), §3.4",
    mixer: &layers::gated_deltanet::SPEC,
    omits: &["q_conv1d.bias", "k_conv1d.bias", "v_conv1d.bias"],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: true,
    attnres: true,
    lower_bounds: false,
    config: Config {
        own: fields![
            attn_mode = "chunk" => Idle,
            num_hidden_layers = 21 => Depth,
            head_dim = 256 => Extent(Dim::K),
            num_heads = 6 => Extent(Dim::H),
            num_v_heads = null => Like(Dim::HV, Dim::H),
            expand_v = 2.0 => Times(Dim::V, Dim::K),
            conv_size = 4 => Extent(Dim::W),
            use_gate = true => Set("use_gate"),
            use_short_conv = true => Set("use_short_conv"),
            allow_neg_eigval = false => Set("allow_neg_eigval"),
            output_gate_activation = "swish" => By(activation),
        ],
        shared: &[SKELETON, LOSS, POSITIONS],
    },
};

fn activation(draft: &mut Draft, word: &Value) -> Result<(), &'static str> {
    let swish = Value::from("swish");
    draft.word("output_gate_activation", if word == "silu" { &swish } else { word })
}
