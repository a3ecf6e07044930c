//! The table of modules. One file and one row each.

pub mod activation;
pub mod bit_linear;
pub mod cross_entropy;
pub mod feature_map_dpfp;
pub mod feature_map_hadamard;
pub mod feature_map_hedgehog;
pub mod feature_map_outer_product;
pub mod feature_map_polysketch;
pub mod feature_map_rebased;
pub mod feature_map_t2r;
pub mod feature_map_taylor;
pub mod fused_linear_cross_entropy;
pub mod gated_mlp;
pub mod glu;
pub mod glu_linear;
pub mod group_norm;
pub mod group_norm_gated;
pub mod grpo;
pub mod grpo_clipped;
pub mod implicit_long_convolution;
pub mod kl_div;
pub mod l2_norm;
pub mod l2warp;
pub mod layer_norm;
pub mod layer_norm_gated;
pub mod lerp_linear;
pub mod long_convolution;
pub mod lora;
pub mod norm_gate_linear;
pub mod norm_linear;
pub mod rms_norm;
pub mod rms_norm_gated;
pub mod rotary;
pub mod rwkv6_feed_forward;
pub mod rwkv7_feed_forward;
pub mod short_convolution;
pub mod token_shift;

use crate::spec::OpSpec;

/// Every module.
pub static MODULES: &[&OpSpec] = &[
    &activation::SPEC,
    &bit_linear::SPEC,
    &cross_entropy::SPEC,
    &feature_map_dpfp::SPEC,
    &feature_map_hadamard::SPEC,
    &feature_map_hedgehog::SPEC,
    &feature_map_outer_product::SPEC,
    &feature_map_polysketch::SPEC,
    &feature_map_rebased::SPEC,
    &feature_map_t2r::SPEC,
    &feature_map_taylor::SPEC,
    &fused_linear_cross_entropy::SPEC,
    &gated_mlp::SPEC,
    &glu::SPEC,
    &glu_linear::SPEC,
    &group_norm::SPEC,
    &group_norm_gated::SPEC,
    &grpo::SPEC,
    &grpo_clipped::SPEC,
    &implicit_long_convolution::SPEC,
    &kl_div::SPEC,
    &l2_norm::SPEC,
    &l2warp::SPEC,
    &layer_norm::SPEC,
    &layer_norm_gated::SPEC,
    &lerp_linear::SPEC,
    &long_convolution::SPEC,
    &lora::SPEC,
    &norm_gate_linear::SPEC,
    &norm_linear::SPEC,
    &rms_norm::SPEC,
    &rms_norm_gated::SPEC,
    &rotary::SPEC,
    &rwkv6_feed_forward::SPEC,
    &rwkv7_feed_forward::SPEC,
    &short_convolution::SPEC,
    &token_shift::SPEC,
];
