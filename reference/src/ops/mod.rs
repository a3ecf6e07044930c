//! The table of ops. One file and one row each.

pub mod based;
pub mod comba;
pub mod delta_rule;
pub mod dplr;
pub mod gated_delta_rule;
pub mod gated_oja_rule;
pub mod gdn2;
pub mod gla;
pub mod hgrn;
pub mod iplr;
pub mod kda;
pub mod lightning_attn;
pub mod linear_attn;
pub mod momentum_delta_rule;
pub mod normalized_linear_attn;
pub mod rebased;
pub mod retention;
pub mod rwkv6;
pub mod rwkv7;
pub mod simple_gla;

use crate::spec::OpSpec;

/// Every op there is.
pub static OPS: &[&OpSpec] = &[
    &based::SPEC,
    &comba::SPEC,
    &delta_rule::SPEC,
    &dplr::SPEC,
    &gated_delta_rule::SPEC,
    &gated_oja_rule::SPEC,
    &gdn2::SPEC,
    &gla::SPEC,
    &hgrn::SPEC,
    &iplr::SPEC,
    &kda::SPEC,
    &lightning_attn::SPEC,
    &linear_attn::SPEC,
    &momentum_delta_rule::SPEC,
    &normalized_linear_attn::SPEC,
    &rebased::SPEC,
    &retention::SPEC,
    &rwkv6::SPEC,
    &rwkv7::SPEC,
    &simple_gla::SPEC,
];
