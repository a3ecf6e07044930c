//! The table of layers. One file and one row each; what several share is in [`crate::mixer`].

pub mod abc;
pub mod attn;
pub mod based;
pub mod deltaformer;
pub mod forgetting_attn;
pub mod gla;
pub mod gsa;
pub mod hgrn;
pub mod hgrn2;
pub mod lightnet;
pub mod linear_attn;
pub mod mla;
pub mod moba;
pub mod multiscale_retention;
pub mod nsa;
pub mod parallax;
pub mod path_attn;
pub mod raven;
pub mod rebased;
pub mod rodimus_ska;
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
    &deltaformer::SPEC,
    &forgetting_attn::SPEC,
    &gla::SPEC,
    &gsa::SPEC,
    &hgrn::SPEC,
    &hgrn2::SPEC,
    &lightnet::SPEC,
    &linear_attn::SPEC,
    &mla::SPEC,
    &moba::SPEC,
    &multiscale_retention::SPEC,
    &nsa::SPEC,
    &parallax::SPEC,
    &path_attn::SPEC,
    &raven::SPEC,
    &rebased::SPEC,
    &rodimus_ska::SPEC,
    &simple_gla::SPEC,
    &stickbreaking_attn::SPEC,
    &wall_attn::SPEC,
    &yoco_cross_attention::SPEC,
    &yoco_gated_retention::SPEC,
    &yoco_shared_kv::SPEC,
];
