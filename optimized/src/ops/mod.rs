//! Launch lists, one file and one row for each op.

mod gated_delta_rule;
mod hgrn;
mod simple_gla;

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

/// The ops that have kernels.
pub(crate) static KERNELS: &[Kernels] = &[
    row(
        "gated_delta_rule",
        &[shapes::gated_delta_rule::SOURCE, shapes::gated_delta_rule::PROLOGUE],
        gated_delta_rule::lay_out,
    ),
    row("hgrn", &[shapes::hgrn::HGRN.source], hgrn::lay_out),
    row("simple_gla", &[shapes::simple_gla::SOURCE], simple_gla::lay_out),
];

const fn row(op: &'static str, sources: &'static [&'static str], lay_out: LayOut) -> Kernels {
    Kernels { op, sources, lay_out }
}
