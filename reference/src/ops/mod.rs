//! The table of ops. One file and one row each.

pub mod gated_delta_rule;
pub mod hgrn;
pub mod simple_gla;

use crate::spec::OpSpec;

/// Every op there is.
pub static OPS: &[&OpSpec] = &[&gated_delta_rule::SPEC, &hgrn::SPEC, &simple_gla::SPEC];
