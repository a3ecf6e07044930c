//! The table of layers. One file and one row each; what several share is in [`crate::mixer`].

pub mod abc;
pub mod attn;
pub mod based;
pub mod bitattn;
pub mod comba;
pub mod cyfa;
pub mod delta_net;
pub mod deltaformer;
pub mod forgetting_attn;
pub mod gated_deltanet;
pub mod gated_deltaproduct;
pub mod gdn2;
pub mod gla;
pub mod gsa;
pub mod hgrn;
pub mod hgrn2;
pub mod kda;
pub mod lightnet;
pub mod linear_attn;
pub mod log_linear_mamba2;
pub mod mamba;
pub mod mamba2;
pub mod mamba3;
pub mod mesa_net;
pub mod mla;
pub mod moba;
pub mod mom;
pub mod momentum_deltanet;
pub mod multiscale_retention;
pub mod nsa;
pub mod parallax;
pub mod path_attn;
pub mod precond_gated_deltanet;
pub mod precond_kda;
pub mod raven;
pub mod rebased;
pub mod rodimus;
pub mod rodimus_ska;
pub mod rwkv6;
pub mod rwkv7;
pub mod simple_gla;
pub mod stickbreaking_attn;
pub mod wall_attn;
pub mod yoco_cross_attention;
pub mod yoco_gated_retention;
pub mod yoco_shared_kv;

use crate::spec::OpSpec;

/// Every layer.
pub static LAYERS: &[&OpSpec] = &[
    &abc::SPEC,
    &attn::SPEC,
    &based::SPEC,
    &bitattn::SPEC,
    &comba::SPEC,
    &cyfa::SPEC,
    &delta_net::SPEC,
    &deltaformer::SPEC,
    &forgetting_attn::SPEC,
    &gated_deltanet::SPEC,
    &gated_deltaproduct::SPEC,
    &gdn2::SPEC,
    &gla::SPEC,
    &gsa::SPEC,
    &hgrn::SPEC,
    &hgrn2::SPEC,
    &kda::SPEC,
    &lightnet::SPEC,
    &linear_attn::SPEC,
    &log_linear_mamba2::SPEC,
    &mamba::SPEC,
    &mamba2::SPEC,
    &mamba3::SPEC,
    &mesa_net::SPEC,
    &mla::SPEC,
    &moba::SPEC,
    &mom::SPEC,
    &momentum_deltanet::SPEC,
    &multiscale_retention::SPEC,
    &nsa::SPEC,
    &parallax::SPEC,
    &path_attn::SPEC,
    &precond_gated_deltanet::SPEC,
    &precond_kda::SPEC,
    &raven::SPEC,
    &rebased::SPEC,
    &rodimus::SPEC,
    &rodimus_ska::SPEC,
    &rwkv6::SPEC,
    &rwkv7::SPEC,
    &simple_gla::SPEC,
    &stickbreaking_attn::SPEC,
    &wall_attn::SPEC,
    &yoco_cross_attention::SPEC,
    &yoco_gated_retention::SPEC,
    &yoco_shared_kv::SPEC,
];
