//! Launch lists, one file and one row for each op.

mod gated_delta_rule;
mod gla;
mod hgrn;
mod normalized_linear_attn;
mod simple_gla;

use crate::engine::Job;
use crate::error::Error;

/// Lays a call out: buffers and launches.
type LayOut = fn(&mut Job<'_>) -> Result<(), Error>;

/// The ops that have kernels.
pub(crate) static KERNELS: &[(&str, LayOut)] = &[
    ("gated_delta_rule", gated_delta_rule::lay_out),
    ("gla", gla::lay_out),
    ("hgrn", hgrn::lay_out),
    ("lightning_attn", simple_gla::lightning_attn),
    ("linear_attn", simple_gla::linear_attn),
    ("normalized_linear_attn", normalized_linear_attn::lay_out),
    ("retention", simple_gla::retention),
    ("simple_gla", simple_gla::lay_out),
];
