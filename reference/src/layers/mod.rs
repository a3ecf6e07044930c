//! The table of layers. One file and one row each; what several share is in [`crate::mixer`].

pub mod attn;
pub mod comba;
pub mod delta_net;
pub mod deltaformer;
pub mod forgetting_attn;
pub mod gated_deltanet;
pub mod gated_deltaproduct;
pub mod gdn2;
pub mod gla;
pub mod kda;
pub mod mesa_net;
pub mod mla;
pub mod moba;
pub mod momentum_deltanet;
pub mod nsa;
pub mod parallax;
pub mod path_attn;
pub mod precond_gated_deltanet;
pub mod precond_kda;
pub mod rodimus_ska;
pub mod stickbreaking_attn;
pub mod wall_attn;
pub mod yoco_cross_attention;
pub mod yoco_shared_kv;

use crate::spec::OpSpec;

/// Every layer.
pub static LAYERS: &[&OpSpec] = &[
    &attn::SPEC,
    &comba::SPEC,
    &delta_net::SPEC,
    &deltaformer::SPEC,
    &forgetting_attn::SPEC,
    &gated_deltanet::SPEC,
    &gated_deltaproduct::SPEC,
    &gdn2::SPEC,
    &gla::SPEC,
    &kda::SPEC,
    &mesa_net::SPEC,
    &mla::SPEC,
    &moba::SPEC,
    &momentum_deltanet::SPEC,
    &nsa::SPEC,
    &parallax::SPEC,
    &path_attn::SPEC,
    &precond_gated_deltanet::SPEC,
    &precond_kda::SPEC,
    &rodimus_ska::SPEC,
    &stickbreaking_attn::SPEC,
    &wall_attn::SPEC,
    &yoco_cross_attention::SPEC,
    &yoco_shared_kv::SPEC,
];
