//! The table of layers. One file and one row each; what several share is in [`crate::mixer`].

pub mod gla;

use crate::spec::OpSpec;

/// Every layer.
pub static LAYERS: &[&OpSpec] = &[&gla::SPEC];
