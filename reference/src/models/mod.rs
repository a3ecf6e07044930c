//! The table of models. One file and one row each.

pub mod blueprint;
pub mod config;
mod decoder;
mod part;
pub mod prompts;
mod rwkv;
mod skeleton;
mod stack;
mod stream;
pub mod walk;

pub mod abc;
pub mod bitnet;
pub mod cat;
pub mod comba;
pub mod cyclic_flow_attention;
pub mod delta_net;
pub mod deltaformer;
pub mod forgetting_transformer;
pub mod gated_deltanet;
pub mod gated_deltaproduct;
pub mod gla;
pub mod gsa;
pub mod hgrn;
pub mod hgrn2;
pub mod kda;
pub mod lightnet;
pub mod linear_attn;
pub mod log_linear_mamba2;
pub mod mamba;
pub mod mamba2;
pub mod mamba3;
pub mod mesa_net;
pub mod mla;
pub mod moba;
pub mod mom;
pub mod nsa;
pub mod parallax;
pub mod path_attn;
pub mod precond_gated_deltanet;
pub mod precond_kda;
pub mod raven;
pub mod retnet;
pub mod rodimus;
pub mod rwkv6;
pub mod rwkv7;
pub mod samba;
pub mod stickbreaking_attn;
pub mod transformer;
pub mod wall_transformer;
pub mod yoco;

use std::sync::LazyLock;

use crate::spec::OpSpec;
use blueprint::Model;
use config::{Described, Own};

/// A part of a stack that is computed by itself, from what the parts before it gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// From symbols to vectors.
    Embedding,
    /// A block: a mixer and, in most models, a feed-forward network.
    Block(usize),
    /// The last norm and the logits.
    Head,
}

/// Every model that follows the skeleton of the decoder.
pub static DECODERS: &[&Model] = &[
    &abc::MODEL,
    &bitnet::MODEL,
    &comba::MODEL,
    &cyclic_flow_attention::MODEL,
    &delta_net::MODEL,
    &deltaformer::MODEL,
    &forgetting_transformer::MODEL,
    &gated_deltanet::MODEL,
    &gated_deltaproduct::MODEL,
    &gla::MODEL,
    &gsa::MODEL,
    &hgrn::MODEL,
    &hgrn2::MODEL,
    &kda::MODEL,
    &lightnet::MODEL,
    &linear_attn::MODEL,
    &log_linear_mamba2::MODEL,
    &mamba::MODEL,
    &mamba2::MODEL,
    &mamba3::MODEL,
    &mesa_net::MODEL,
    &mla::MODEL,
    &moba::MODEL,
    &mom::MODEL,
    &nsa::MODEL,
    &parallax::MODEL,
    &path_attn::MODEL,
    &precond_gated_deltanet::MODEL,
    &precond_kda::MODEL,
    &raven::MODEL,
    &retnet::MODEL,
    &samba::MODEL,
    &stickbreaking_attn::MODEL,
    &transformer::MODEL,
    &wall_transformer::MODEL,
];

/// Every model with blocks of its own.
static OWN: &[&Own] = &[&cat::CONFIG, &rodimus::CONFIG, &rwkv6::CONFIG, &rwkv7::CONFIG, &yoco::CONFIG];

/// Every model that a configuration can describe.
pub fn described() -> impl Iterator<Item = &'static dyn Described> {
    let decoders = DECODERS.iter().map(|&model| model as &dyn Described);
    decoders.chain(OWN.iter().map(|&model| model as &dyn Described))
}

/// Blocks of the specs in the table: enough for what passes from one to the next, and for one to be of another kind.
const DEPTH: usize = 2;

/// Every model, as a stack of two blocks; and where a model may have blocks of softmax attention, another whose last
/// block is one. What else follows an `@` is which kind of block a model has.
pub static MODELS: LazyLock<Vec<&'static OpSpec>> = LazyLock::new(|| {
    let stacks = |model: &&'static Model| {
        let hybrid = model.hybrid.then(|| stack(model, true));
        std::iter::once(stack(model, false)).chain(hybrid)
    };
    DECODERS.iter().flat_map(stacks).chain(others().into_iter().map(leaked)).collect()
});

/// Those with blocks of their own.
fn others() -> Vec<OpSpec> {
    use rodimus::Block;
    use yoco::Mixer;
    vec![
        cat::spec(1, DEPTH),
        rodimus::spec("", &[Block::Plus; DEPTH]),
        rodimus::spec("@rodimus", &[Block::Rodimus; DEPTH]),
        rodimus::spec("@1", &[Block::Plus, Block::Softmax]),
        rwkv6::spec(&blocks(false)),
        rwkv6::spec(&blocks(true)),
        rwkv7::spec(DEPTH),
        yoco::spec(Mixer::GatedDeltaNet, 1, DEPTH - 1),
        yoco::spec(Mixer::GatedRetention, 1, DEPTH - 1),
        yoco::spec(Mixer::Window, 1, DEPTH - 1),
    ]
}

fn stack(model: &'static Model, last: bool) -> &'static OpSpec {
    leaked(model.spec(&blocks(last)))
}

fn leaked(spec: OpSpec) -> &'static OpSpec {
    Box::leak(Box::new(spec))
}

/// Which blocks have softmax attention: the last one, or none.
fn blocks(last: bool) -> Vec<bool> {
    (1..DEPTH).map(|_| false).chain([last]).collect()
}

/// The model that follows the skeleton of the decoder and whose spec has this name. RWKV, Rodimus, YOCO and CAT do not.
#[must_use]
pub fn decoder(spec: &str) -> Option<&'static Model> {
    let name = spec.split('@').next().and_then(|name| name.strip_suffix("_model"));
    DECODERS.iter().find(|m| name == Some(m.model_type)).copied()
}
