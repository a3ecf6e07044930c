//! The language model of linear attention.
//!
//! Upstream: `LinearAttentionForCausalLM` of `fla/models/linear_attn` in 0.6.0. The output is always normed.

use serde_json::Value;

use super::blueprint::{Model, NAMES};
use super::config::{
    Config, Draft, LOSS,
    Means::{By, Extent, Idle, Like, Only, Option as Set, Share, Weights},
    POSITIONS, SKELETON,
};
use crate::spec::{Dim, Value as Choice};
use crate::{fields, layers};

/// See the module documentation.
pub static MODEL: Model = Model {
    model_type: "linear_attn",
    upstream: &["fla.models.LinearAttentionModel", "fla.models.LinearAttentionForCausalLM"],
    source: "Katharopoulos et al. 2020 (arXiv 2006.16236), eq. 18 to 20",
    mixer: &layers::linear_attn::SPEC,
    omits: &["output_norm"],
    fixed: &[],
    names: NAMES,
    norm_eps: 1e-06,
    hybrid: true,
    attnres: true,
    lower_bounds: false,
    config: Config {
        own: fields![
            attn_mode = "fused_chunk" => Idle,
            num_heads = 4 => Extent(Dim::HQ),
            num_kv_heads = null => Like(Dim::H, Dim::HQ),
            expand_k = 1.0 => Share(Dim::K, Dim::HQ),
            expand_v = 1.0 => Share(Dim::V, Dim::HQ),
            feature_map = "elementwise_product" => By(map),
            tie_feature_map_qk = false => Only,
            norm_q = false => Set("norm_q"),
            norm_k = false => Set("norm_k"),
            norm_feature_map = false => Set("do_feature_map_norm"),
            elementwise_affine = true => Weights(&["norm.weight"]),
        ],
        shared: &[SKELETON, LOSS, POSITIONS],
    },
};

/// Some feature maps are an option, others a learned layer before one.
fn map(draft: &mut Draft, word: &Value) -> Result<(), &'static str> {
    let biases = ["feature_map_q.layer.bias", "feature_map_k.layer.bias"];
    let (product, layer, plain) = match word.as_str() {
        Some("elementwise_product") => (true, false, "identity"),
        Some("t2r") => {
            draft.without(&biases);
            (false, true, "relu")
        }
        Some("hedgehog") => (false, true, "hedgehog"),
        Some(word @ ("identity" | "elu" | "relu" | "dpfp")) => (false, false, word),
        _ => return Err("elementwise_product, hedgehog, t2r, dpfp, identity, elu or relu"),
    };
    draft.option("elementwise_product", Choice::Flag(product));
    draft.option("layer", Choice::Flag(layer));
    draft.word("feature_map", &Value::from(plain))
}
