//! The table of modules. One file and one row each.

pub mod gated_mlp;
pub mod group_norm;
pub mod layer_norm;
pub mod rms_norm;
pub mod rms_norm_gated;
pub mod rotary;
pub mod rwkv6_feed_forward;
pub mod rwkv7_feed_forward;
pub mod short_convolution;

use crate::spec::OpSpec;

/// Every module.
pub static MODULES: &[&OpSpec] = &[
    &gated_mlp::SPEC,
    &group_norm::SPEC,
    &layer_norm::SPEC,
    &rms_norm::SPEC,
    &rms_norm_gated::SPEC,
    &rotary::SPEC,
    &rwkv6_feed_forward::SPEC,
    &rwkv7_feed_forward::SPEC,
    &short_convolution::SPEC,
];
