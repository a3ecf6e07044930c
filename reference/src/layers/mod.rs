//! The table of layers. One file and one row each; what several share is in [`crate::mixer`].

pub mod abc;
pub mod based;
pub mod gla;
pub mod gsa;
pub mod hgrn;
pub mod hgrn2;
pub mod lightnet;
pub mod linear_attn;
pub mod multiscale_retention;
pub mod raven;
pub mod rebased;
pub mod simple_gla;
pub mod yoco_gated_retention;

use crate::spec::OpSpec;

/// Every layer.
pub static LAYERS: &[&OpSpec] = &[
    &abc::SPEC,
    &based::SPEC,
    &gla::SPEC,
    &gsa::SPEC,
    &hgrn::SPEC,
    &hgrn2::SPEC,
    &lightnet::SPEC,
    &linear_attn::SPEC,
    &multiscale_retention::SPEC,
    &raven::SPEC,
    &rebased::SPEC,
    &simple_gla::SPEC,
    &yoco_gated_retention::SPEC,
];
