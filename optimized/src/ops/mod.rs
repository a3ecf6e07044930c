//! Launch lists, one file and one row for each op.

mod gate;
mod gated_delta_rule;
mod gla;
mod hgrn;
mod kda;
mod maps;
mod norm;
mod normalized_linear_attn;
mod pieces;
mod prologue;
mod short_convolution;
mod simple_gla;
mod step;
mod windows;

use crate::engine::Job;
use crate::error::Error;
use crate::shapes;

/// Lays a call out: buffers and launches.
type LayOut = fn(&mut Job<'_>) -> Result<(), Error>;

/// An op that has kernels.
pub(crate) struct Kernels {
    pub(crate) op: &'static str,
    /// The sources of all that it launches.
    pub(crate) sources: &'static [&'static str],
    pub(crate) lay_out: LayOut,
}

/// What several ops launch.
const SIMPLE_GLA: &[&str] =
    &[shapes::pieces::SOURCE, shapes::simple_gla::SOURCE, shapes::step::SIMPLE_GLA.source, shapes::windows::SOURCE];

/// The ops that have kernels.
pub(crate) static KERNELS: &[Kernels] = &[
    row("beta_sigmoid", &[shapes::gate::GATE.source], gate::lay_out_beta),
    row("delta_rule", gated_delta_rule::SOURCES, gated_delta_rule::lay_out),
    row("gated_delta_rule", gated_delta_rule::SOURCES, gated_delta_rule::lay_out),
    row("gdn_gate", &[shapes::gate::GATE.source], gate::lay_out),
    row(
        "gla",
        &[shapes::gla::SOURCE, shapes::pieces::SOURCE, shapes::step::GLA.source, shapes::windows::SOURCE],
        gla::lay_out,
    ),
    row("hgrn", &[shapes::hgrn::HGRN.source], hgrn::lay_out),
    row("kda", kda::SOURCES, kda::lay_out),
    row("kda_gate", &[shapes::gate::GATE.source], gate::lay_out),
    row("l2_norm", &[shapes::norm::SOURCE], norm::lay_out),
    row("lightning_attn", SIMPLE_GLA, simple_gla::lightning_attn),
    row("linear_attn", SIMPLE_GLA, simple_gla::linear_attn),
    row(
        "normalized_linear_attn",
        &[
            shapes::normalizer::SOURCE,
            shapes::pieces::SOURCE,
            shapes::simple_gla::SOURCE,
            shapes::step::NORMALIZED.source,
        ],
        normalized_linear_attn::lay_out,
    ),
    row("retention", SIMPLE_GLA, simple_gla::retention),
    row("rms_norm", &[shapes::norm::SOURCE], norm::lay_out),
    row("rms_norm_gated", &[shapes::norm::SOURCE], norm::lay_out),
    row("short_convolution", &[shapes::short_convolution::SOURCE], short_convolution::lay_out),
    row("simple_gla", SIMPLE_GLA, simple_gla::lay_out),
];

const fn row(op: &'static str, sources: &'static [&'static str], lay_out: LayOut) -> Kernels {
    Kernels { op, sources, lay_out }
}
