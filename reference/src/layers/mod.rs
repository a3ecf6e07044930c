//! The table of layers. One file and one row each; what several share is in [`crate::mixer`].

pub mod comba;
pub mod delta_net;
pub mod gated_deltanet;
pub mod gated_deltaproduct;
pub mod gdn2;
pub mod gla;
pub mod kda;
pub mod mesa_net;
pub mod momentum_deltanet;
pub mod precond_gated_deltanet;
pub mod precond_kda;

use crate::spec::OpSpec;

/// Every layer.
pub static LAYERS: &[&OpSpec] = &[
    &comba::SPEC,
    &delta_net::SPEC,
    &gated_deltanet::SPEC,
    &gated_deltaproduct::SPEC,
    &gdn2::SPEC,
    &gla::SPEC,
    &kda::SPEC,
    &mesa_net::SPEC,
    &momentum_deltanet::SPEC,
    &precond_gated_deltanet::SPEC,
    &precond_kda::SPEC,
];
