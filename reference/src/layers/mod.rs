//! The table of layers. One file and one row each; what several share is in [`crate::mixer`].

pub mod gla;
pub mod log_linear_mamba2;
pub mod mamba;
pub mod mamba2;
pub mod rodimus;
pub mod rwkv6;
pub mod rwkv7;

use crate::spec::OpSpec;

/// Every layer.
pub static LAYERS: &[&OpSpec] = &[
    &gla::SPEC,
    &log_linear_mamba2::SPEC,
    &mamba::SPEC,
    &mamba2::SPEC,
    &rodimus::SPEC,
    &rwkv6::SPEC,
    &rwkv7::SPEC,
];
