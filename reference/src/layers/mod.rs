//! The table of layers. One file and one row each; what several share is in [`crate::mixer`].

pub mod attn;
pub mod cyfa;
pub mod deltaformer;
pub mod forgetting_attn;
pub mod gla;
pub mod log_linear_mamba2;
pub mod mamba;
pub mod mamba2;
pub mod mamba3;
pub mod mla;
pub mod moba;
pub mod mom;
pub mod nsa;
pub mod parallax;
pub mod path_attn;
pub mod rodimus;
pub mod rodimus_ska;
pub mod rwkv6;
pub mod rwkv7;
pub mod stickbreaking_attn;
pub mod wall_attn;
pub mod yoco_cross_attention;
pub mod yoco_shared_kv;

use crate::spec::OpSpec;

/// Every layer.
pub static LAYERS: &[&OpSpec] = &[
    &attn::SPEC,
    &cyfa::SPEC,
    &deltaformer::SPEC,
    &forgetting_attn::SPEC,
    &gla::SPEC,
    &log_linear_mamba2::SPEC,
    &mamba2::SPEC,
    &mamba3::SPEC,
    &mamba::SPEC,
    &mla::SPEC,
    &moba::SPEC,
    &mom::SPEC,
    &nsa::SPEC,
    &parallax::SPEC,
    &path_attn::SPEC,
    &rodimus::SPEC,
    &rodimus_ska::SPEC,
    &rwkv6::SPEC,
    &rwkv7::SPEC,
    &stickbreaking_attn::SPEC,
    &wall_attn::SPEC,
    &yoco_cross_attention::SPEC,
    &yoco_shared_kv::SPEC,
];
