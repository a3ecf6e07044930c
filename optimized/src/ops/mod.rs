//! Launch lists, one file and one row for each op.

mod gate;
mod gated_delta_rule;
mod hgrn;
mod norm;
mod short_convolution;
mod simple_gla;

use crate::engine::Job;
use crate::error::Error;

/// Lays a call out: buffers and launches.
type LayOut = fn(&mut Job<'_>) -> Result<(), Error>;

/// The ops that have kernels.
pub(crate) static KERNELS: &[(&str, LayOut)] = &[
    ("beta_sigmoid", gate::lay_out_beta),
    ("gated_delta_rule", gated_delta_rule::lay_out),
    ("gdn_gate", gate::lay_out),
    ("hgrn", hgrn::lay_out),
    ("kda_gate", gate::lay_out),
    ("l2_norm", norm::lay_out),
    ("rms_norm", norm::lay_out),
    ("rms_norm_gated", norm::lay_out),
    ("short_convolution", short_convolution::lay_out),
    ("simple_gla", simple_gla::lay_out),
];
