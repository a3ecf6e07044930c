//! Launch lists, one file and one row for each op.

mod gated_delta_rule;
mod hgrn;
mod kda;
mod prologue;
mod simple_gla;

use crate::engine::Job;
use crate::error::Error;

/// Lays a call out: buffers and launches.
type LayOut = fn(&mut Job<'_>) -> Result<(), Error>;

/// The ops that have kernels.
pub(crate) static KERNELS: &[(&str, LayOut)] = &[
    ("delta_rule", gated_delta_rule::lay_out),
    ("gated_delta_rule", gated_delta_rule::lay_out),
    ("hgrn", hgrn::lay_out),
    ("kda", kda::lay_out),
    ("simple_gla", simple_gla::lay_out),
];
