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

/// Every model, as a stack of [`DEPTH`] blocks; and where a model may have blocks of softmax attention, another whose last
/// block is one.
pub static MODELS: LazyLock<Vec<&'static OpSpec>> = LazyLock::new(|| {
    let stacks = |model: &&'static Model| {
        let hybrid = model.hybrid.then(|| stack(model, true));
        std::iter::once(stack(model, false)).chain(hybrid)
    };
    DECODERS.iter().flat_map(stacks).collect()
});

fn stack(model: &'static Model, last: bool) -> &'static OpSpec {
    let blocks: Vec<bool> = (1..DEPTH).map(|_| false).chain([last]).collect();
    Box::leak(Box::new(model.spec(&blocks)))
}

/// The model whose spec has this name.
///
/// # Panics
/// When there is none: only specs of models ask.
fn model(spec: &str) -> &'static Model {
    let name = spec.split('@').next().and_then(|name| name.strip_suffix("_model"));
    DECODERS.iter().find(|m| name == Some(m.model_type)).expect("a spec of the table, or of a stack")
}
