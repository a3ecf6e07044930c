//! The language models of Rodimus: with shared-key attention in every block, or without.
//!
//! $$ x_0 = E_{\text{ids}}, \qquad y = x + \operatorname{Rodimus}(N(x)), \qquad
//! x' = y + \operatorname{MLP}\big(N(y + \operatorname{SKA}(N(y)))\big), \qquad \text{logits} = W N(x_L) $$
//!
//! What the shared-key attention SKA gives is read by the feed-forward network, but no part of the sum. That is the
//! `block_type` `rodimus_plus`; of the `block_type` `rodimus`, the model `rodimus_model@rodimus`, blocks are a norm and
//! the layer: x′ = y. A block of plain softmax attention is that of other models: $y = x + \operatorname{Attn}(N(x))$,
//! $x' = y + \operatorname{MLP}(N(y))$.
//!
//! Only the stack without any attention is resumed; initial states of the others are inputs like others.
//!
//! # Errors
//! With shared-key attention, D = HQ·K with K even, and a window has a token. V, the width of the widened stream, is
//! 2·D, rounded up to a multiple of 8. `k_norm_eps` is not negative.
//!
//! Upstream: `RodimusForCausalLM` of `fla/models/rodimus` in 0.6.0: `expand_ratio` is M, `input_gate_low_rank` E; the
//! convolution has a bias. `attn_mode`, `fuse_norm`, `fuse_swiglu`, `max_position_embeddings` and the ways to compute
//! the loss do not change values; `residual_in_fp32` and `block_residual_in_fp32` change storage types, and unless both
//! or neither are set, nothing works. What `use_l2warp` adds to a gradient is not the gradient of an output.

mod config;

use ndarray::{Array2, ArrayD};

use super::decoder::embed;
use super::part::{MLP, Part, Place, SOFTMAX};
use super::skeleton::{Memory, Skeleton, stack, states_of};
use super::stack::{EMBEDDING, HYBRID, Stack, norm, options};
use crate::function;
use crate::layers;
use crate::modules::rms_norm::normalise;
use crate::problem::Problem;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, OpSpec, Port, Value};
use crate::unit::Unit;

pub use config::CONFIG;

const MIXER: Part = Part { renamed: &[(Dim::K, Dim::M), (Dim::I, Dim::V)], ..Part::of(&layers::rodimus::SPEC) };

const SHARED_KEY: Part = Part {
    options: "ska_attn.",
    defaults: &[("window_size", Value::Number(1024.0))],
    ..Part::of(&layers::rodimus_ska::SPEC)
};

/// What a block of a stack is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// The layer alone.
    Rodimus,
    /// The layer, shared-key attention and a feed-forward network.
    Plus,
    /// Softmax attention and a feed-forward network.
    Softmax,
}

impl Block {
    /// Its parts with their names, in order.
    fn parts(self) -> &'static [(&'static str, Part)] {
        match self {
            Self::Rodimus => &[("mixer", MIXER)],
            Self::Plus => &[("mixer", MIXER), ("ska_attn", SHARED_KEY), ("mlp", MLP)],
            Self::Softmax => &[("attn", SOFTMAX), ("mlp", MLP)],
        }
    }
}

/// The spec of a stack; what follows `rodimus_model` in its name is `suffix`.
#[must_use]
pub fn spec(suffix: &str, blocks: &[Block]) -> OpSpec {
    let (mut body, mut last, mut states) = (Vec::<Port>::new(), Vec::new(), Vec::new());
    let mut attrs: Vec<Attr> = Vec::new();
    let attention = blocks.iter().any(|&b| b != Block::Rodimus);
    for (layer, block) in blocks.iter().enumerate() {
        for (name, part) in block.parts() {
            let at = format!("model.layers.{layer}.{name}");
            let place = Place { weights: &at, states: &format!("layers.{layer}") };
            body.push(norm(format!("{at}_norm.weight")));
            body.extend(part.inputs(&place));
            last.extend(part.last(&place));
            states.extend(part.states(&place).into_iter().filter(|_| !attention));
            attrs.extend(part.attrs());
        }
    }
    body.push(norm("model.norm.weight".into()));
    attrs.extend(options(1e-5, true));
    let mut constraints = vec![WIDE];
    constraints.extend(layers::rodimus::SPEC.constraints.iter().filter(|c| c.label != "C1"));
    if blocks.contains(&Block::Softmax) {
        constraints.insert(0, HYBRID);
    }
    if blocks.contains(&Block::Plus) {
        constraints.insert(0, HEADS);
    }
    let upstream = &["fla.models.RodimusForCausalLM", "fla.models.RodimusModel"];
    Stack {
        name: format!("rodimus_model{suffix}"),
        summary: "logits and loss of a stack of rodimus_layer",
        source: "He et al. 2024 (arXiv 2410.06577)",
        upstream,
        body,
        last,
        states,
        attrs,
        constraints,
        function: function!(stack),
    }
    .spec()
}

/// Blocks of one kind or of several.
#[derive(Debug)]
pub(super) struct Rodimus;

/// Whether a block has the part.
fn has(spec: &OpSpec, layer: usize, part: &str) -> bool {
    spec.input(&format!("model.layers.{layer}.{part}_norm.weight")).is_some()
}

impl Skeleton for Rodimus {
    type Flow<F: Real> = Array2<F>;

    fn depth(&self, spec: &OpSpec) -> usize {
        (0..).take_while(|&layer| has(spec, layer, "mixer") || has(spec, layer, "attn")).count()
    }

    fn states(&self, spec: &OpSpec, layer: usize) -> Vec<[String; 2]> {
        states_of(&MIXER, &format!("layers.{layer}")).filter(|_| has(spec, layer, "mixer")).collect()
    }

    fn enter<F: Real>(&self, x: &Unit<'_, F>) -> Array2<F> {
        embed(x, EMBEDDING)
    }

    fn block<F: Real>(
        &self,
        x: &Unit<'_, F>,
        layer: usize,
        stream: &mut Array2<F>,
        memory: &mut Memory<F>,
    ) -> Vec<ArrayD<F>> {
        let at = |part: &str| format!("model.layers.{layer}.{part}");
        let has = |part| has(x.problem.spec, layer, part);
        let mut states = Vec::new();
        let mut attention = |name: &str, part: Part, stream: &Array2<F>| {
            memory.again(&at(name), normed(x, stream, &at(name)), |hidden| part.run(x, &at(name), hidden))
        };
        if has("mixer") {
            let (o, after) = mixed(x, layer, &normed(x, stream, &at("mixer")));
            *stream = &*stream + &o;
            states = after;
        } else {
            *stream = &*stream + &attention("attn", SOFTMAX, stream);
        }
        if has("mlp") {
            let read = match has("ska_attn") {
                true => &*stream + &attention("ska_attn", SHARED_KEY, stream),
                false => stream.clone(),
            };
            *stream = &*stream + &MLP.run(x, &at("mlp"), &normed(x, &read, &at("mlp")));
        }
        states
    }

    fn leave<F: Real>(&self, x: &Unit<'_, F>, stream: &Array2<F>) -> Array2<F> {
        normed(x, stream, "model")
    }
}

/// The layer's output, and the states after it.
fn mixed<F: Real>(x: &Unit<'_, F>, layer: usize, hidden: &Array2<F>) -> (Array2<F>, Vec<ArrayD<F>>) {
    let place = Place { weights: &format!("model.layers.{layer}.mixer"), states: &format!("layers.{layer}") };
    let mut answers = MIXER.ask(x, &place).with("x", hidden.view()).run();
    (answers.matrix("o"), MIXER.after(x, &place, &mut answers))
}

/// Through the norm before a part; before the head, that of the model.
fn normed<F: Real>(x: &Unit<'_, F>, hidden: &Array2<F>, part: &str) -> Array2<F> {
    let weight = if part == "model" { "model.norm.weight".to_owned() } else { format!("{part}_norm.weight") };
    normalise(hidden, Some(x.tensor(&weight)), x.problem.number("norm_eps").unwrap_or(1e-5))
}

fn widened(p: &Problem) -> usize {
    p.size(Dim::D).saturating_mul(2).checked_next_multiple_of(8).unwrap_or(usize::MAX)
}

const WIDE: Constraint = Constraint {
    label: "",
    text: "V is 2·D, rounded up to a multiple of 8",
    holds: |p| p.size(Dim::V) == widened(p),
    break_it: |p| _ = p.sizes.insert(Dim::V, widened(p) + 1),
    mend: |p| _ = p.sizes.insert(Dim::V, widened(p)),
};

const HEADS: Constraint = Constraint {
    label: "",
    text: "shared-key attention: D = HQ·K, K is even, and a window has a token",
    holds: |p| {
        let seen = p.number("ska_attn.window_size").is_some_and(|w| w >= 1.0 && w.fract() <= 0.0);
        let even = p.size(Dim::K).is_multiple_of(2);
        seen && even && p.size(Dim::HQ).checked_mul(p.size(Dim::K)) == Some(p.size(Dim::D))
    },
    break_it: |p| _ = p.attrs.insert("ska_attn.window_size", Value::Number(0.0)),
    mend: |p| {
        p.attrs.remove("ska_attn.window_size");
        let width = p.size(Dim::K).next_multiple_of(2);
        p.sizes.extend([(Dim::K, width), (Dim::D, p.size(Dim::HQ).saturating_mul(width))]);
    },
};
