//! The table of models. One file and one row each.

pub mod blueprint;
mod decoder;
mod stream;

pub mod gla;

use std::sync::LazyLock;

use crate::spec::OpSpec;
use blueprint::Model;

/// Every model that follows the skeleton of the decoder.
pub static DECODERS: &[&Model] = &[&gla::MODEL];

/// Blocks of the specs in the table: enough for what passes from one to the next, and for one to be of another kind.
const DEPTH: usize = 2;

/// Every model, as a stack of [`DEPTH`] blocks.
pub static MODELS: LazyLock<Vec<&'static OpSpec>> = LazyLock::new(|| DECODERS.iter().map(|m| stack(m)).collect());

/// The last block may be of softmax attention, where the model allows it.
fn stack(model: &'static Model) -> &'static OpSpec {
    let last = if model.hybrid { None } else { Some(false) };
    let kinds: Vec<_> = (1..DEPTH).map(|_| Some(false)).chain([last]).collect();
    Box::leak(Box::new(model.spec(&kinds)))
}

/// The model whose spec has this name.
///
/// # Panics
/// When there is none: only specs of models ask.
fn model(spec: &str) -> &'static Model {
    let of = |m: &&&Model| spec.strip_suffix("_model") == Some(m.model_type);
    DECODERS.iter().find(of).expect("a spec of the table, or of a stack")
}
