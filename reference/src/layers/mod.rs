//! The table of layers. One file and one row each; what several share is in [`crate::mixer`].

pub mod attn;
pub mod deltaformer;
pub mod forgetting_attn;
pub mod gla;
pub mod mla;
pub mod moba;
pub mod nsa;
pub mod parallax;
pub mod path_attn;
pub mod rodimus_ska;
pub mod stickbreaking_attn;
pub mod wall_attn;
pub mod yoco_cross_attention;
pub mod yoco_shared_kv;

use crate::spec::OpSpec;

/// Every layer.
pub static LAYERS: &[&OpSpec] = &[
    &attn::SPEC,
    &deltaformer::SPEC,
    &forgetting_attn::SPEC,
    &gla::SPEC,
    &mla::SPEC,
    &moba::SPEC,
    &nsa::SPEC,
    &parallax::SPEC,
    &path_attn::SPEC,
    &rodimus_ska::SPEC,
    &stickbreaking_attn::SPEC,
    &wall_attn::SPEC,
    &yoco_cross_attention::SPEC,
    &yoco_shared_kv::SPEC,
];
