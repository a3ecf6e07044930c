//! The language models of YOCO: layers that look at themselves, then layers that look at keys and values made once.
//!
//! $$ x_0 = \sqrt{D}\, E_{\text{ids}}, \qquad r = x + \operatorname{mixer}(N(x)), \qquad
//! x' = r + \operatorname{MLP}(N(r)), \qquad k, v = \operatorname{KV}(x_M), \qquad \text{logits} = W N(x_L) $$
//!
//! The mixer of the first M layers is a gated delta network, in `yoco_model@gated_retention` gated retention, in
//! `yoco_model@swa` softmax attention over a window; that of the others is attention to the k and v that one layer makes
//! of $x_M$. With the flag `attnres`, layers read mixtures of what earlier ones wrote, and so does the one that makes k
//! and v, though it writes nothing. No stack is resumed, since the tokens that k and v are of are not; initial states
//! are inputs like others.
//!
//! Upstream: `YOCOForCausalLM` of `fla/models/yoco` in 0.6.0, which asks for a window where the type is `swa`. Options
//! of `self_decoder_attn` have the names that its layer gives them, and convolutions have no biases; those of
//! `cross_decoder_attn` are AQ, AH and AK, and `cross_decoder_attn.qkv_bias` and its like. `skip_cross_decoder` gives
//! the last token alone, `fuse_norm`, `fuse_swiglu`, `max_position_embeddings`, the modes and the ways to compute the
//! loss do not change values. What `use_l2warp` adds to a gradient is not the gradient of an output.

mod config;

use ndarray::{Array2, Array3, ArrayD};

use super::decoder::embed;
use super::part::{MLP, Part, Place};
use super::skeleton::{Home, Memory, Skeleton, layer as number, plain, stack, states_of};
use super::stack::{EMBEDDING, EVEN, HYBRID, RESIDUALS, Stack, depth, norm, options, residual};
use super::stream::Stream;
use crate::function;
use crate::layers;
use crate::real::Real;
use crate::spec::{Attr, Dim, OpSpec, Port};
use crate::unit::Unit;

pub use config::CONFIG;

/// The mixer of the layers that look at themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mixer {
    /// A gated delta network.
    GatedDeltaNet,
    /// Gated retention.
    GatedRetention,
    /// Softmax attention over a window.
    Window,
}

impl Mixer {
    const ALL: &[Self] = &[Self::GatedDeltaNet, Self::GatedRetention, Self::Window];

    /// What follows `yoco_model` in a stack's name.
    const fn suffix(self) -> &'static str {
        match self {
            Self::GatedDeltaNet => "",
            Self::GatedRetention => "@gated_retention",
            Self::Window => "@swa",
        }
    }

    /// The one with that suffix.
    pub(super) fn of(suffix: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|mixer| mixer.suffix() == suffix)
    }

    const fn part(self) -> Part {
        match self {
            Self::GatedDeltaNet => Part {
                omits: &["x", "output_gate_activation", "q_conv1d.bias", "k_conv1d.bias", "v_conv1d.bias"],
                ..Part::of(&layers::gated_deltanet::SPEC)
            },
            Self::GatedRetention => Part::of(&layers::yoco_gated_retention::SPEC),
            Self::Window => Part { decided: &[("qk_norm", false)], ..Part::of(&layers::attn::SPEC) },
        }
    }
}

const SHARED: Part = Part {
    options: "cross_decoder_attn.",
    renamed: &[(Dim::HQ, Dim::AQ), (Dim::H, Dim::AH), (Dim::K, Dim::AK)],
    ..Part::of(&layers::yoco_shared_kv::SPEC)
};

const CROSS: Part =
    Part { spec: &layers::yoco_cross_attention::SPEC, omits: &["x", "shared_k", "shared_v", "window_size"], ..SHARED };

const BUILDER: &str = "model.shared_kv_builder";

/// The spec of a stack of so many layers of the one and of the other kind, of which there is at least one.
#[must_use]
pub fn spec(mixer: Mixer, own: usize, cross: usize) -> OpSpec {
    let (suffix, mixer) = (mixer.suffix(), mixer.part());
    let (mut body, mut last) = (Vec::new(), Vec::new());
    for layer in 0..own {
        let (at, states) = (format!("model.self_layers.{layer}"), format!("layers.{layer}"));
        let place = Place { weights: &format!("{at}.attn"), states: &states };
        last.extend(mixer.last(&place));
        body.extend(block(&at, mixer.inputs(&place)));
    }
    body.extend(SHARED.weights(BUILDER));
    for layer in 0..cross {
        let at = format!("model.cross_layers.{layer}");
        body.extend(block(&at, CROSS.weights(&format!("{at}.attn"))));
    }
    body.push(norm("model.norm.weight".into()));
    body.extend(["model.shared_kv_res", "model.res"].into_iter().flat_map(residual));
    let mut attrs: Vec<Attr> = [mixer, MLP, CROSS].iter().flat_map(Part::attrs).collect();
    attrs.extend(options(1e-6, false));
    attrs.extend(RESIDUALS);
    Stack {
        name: format!("yoco_model{suffix}"),
        summary: "logits and loss of a stack whose last layers share keys and values",
        source: "Sun et al. 2024 (arXiv 2405.05254)",
        upstream: &["fla.models.YOCOForCausalLM", "fla.models.YOCOModel"],
        body,
        last,
        states: Vec::new(),
        attrs,
        constraints: [mixer.spec.constraints, &[HYBRID, EVEN]].concat(),
        function: function!(stack),
    }
    .spec()
}

/// The ports of a layer around those of its mixer.
fn block(at: &str, mixer: Vec<Port>) -> Vec<Port> {
    let mut ports = vec![norm(format!("{at}.attn_norm.weight"))];
    ports.extend(mixer);
    ports.push(norm(format!("{at}.mlp_norm.weight")));
    ports.extend(MLP.weights(&format!("{at}.mlp")));
    ports.extend(["attn_res", "mlp_res"].into_iter().flat_map(|part| residual(&format!("{at}.{part}"))));
    ports
}

/// Layers of one kind: `self` or `cross`.
fn count(spec: &OpSpec, kind: &str) -> usize {
    depth(spec, &format!("model.{kind}_layers"), "attn_norm.weight")
}

/// What runs through the layers.
#[derive(Debug)]
pub(super) struct Flow<F> {
    stream: Stream<F>,
    /// The keys and values of the later layers, of all tokens so far.
    shared: Option<(Array3<F>, Array3<F>)>,
}

impl Skeleton for Mixer {
    type Flow<F: Real> = Flow<F>;

    fn depth(&self, spec: &OpSpec) -> usize {
        count(spec, "self") + count(spec, "cross")
    }

    fn home(&self, spec: &OpSpec, weight: &str) -> Home {
        let (own, cross) = (number(weight, "model.self_layers."), number(weight, "model.cross_layers."));
        match (own, cross) {
            (Some(layer), _) => Home::Block(layer),
            (_, Some(layer)) => Home::Block(count(spec, "self") + layer),
            // made when the first of the later layers asks for them
            _ if weight.starts_with("model.shared_kv") => Home::Block(count(spec, "self")),
            _ => plain("model", weight),
        }
    }

    fn states(&self, spec: &OpSpec, layer: usize) -> Vec<[String; 2]> {
        let own = layer < count(spec, "self");
        states_of(&self.part(), &format!("layers.{layer}")).filter(|_| own).collect()
    }

    fn enter<F: Real>(&self, x: &Unit<'_, F>) -> Flow<F> {
        let scale = F::from_f64((x.problem.size(Dim::D) as f64).sqrt());
        Flow { stream: Stream::new(x.problem, embed(x, EMBEDDING).mapv(|e| scale * e)), shared: None }
    }

    fn block<F: Real>(
        &self,
        x: &Unit<'_, F>,
        layer: usize,
        flow: &mut Flow<F>,
        memory: &mut Memory<F>,
    ) -> Vec<ArrayD<F>> {
        let own = count(x.problem.spec, "self");
        let mut states = Vec::new();
        if layer < own {
            through(x, &mut flow.stream, &format!("model.self_layers.{layer}"), layer, |weights, hidden| {
                let (part, place) = (self.part(), Place { weights, states: &format!("layers.{layer}") });
                if part.spec.states.is_empty() {
                    return memory.again(weights, hidden, |hidden| part.run(x, weights, hidden));
                }
                let mut answers = part.ask(x, &place).with("x", hidden).run();
                states = part.after(x, &place, &mut answers);
                answers.matrix("o")
            });
            return states;
        }
        let Flow { stream, shared: made } = flow;
        let (k, v) = made.get_or_insert_with(|| shared(x, memory.with(BUILDER, stream.read(x, "model.shared_kv_res"))));
        through(x, stream, &format!("model.cross_layers.{}", layer - own), layer, |weights, hidden| {
            memory.again(weights, hidden, |hidden| {
                let call = CROSS.ask(x, &Place { weights, states: "" }).with("x", hidden.view());
                call.with("shared_k", k.view()).with("shared_v", v.view()).run().matrix("o")
            })
        });
        states
    }

    fn leave<F: Real>(&self, x: &Unit<'_, F>, flow: &Flow<F>) -> Array2<F> {
        flow.stream.leave(x, "model.res", "model.norm")
    }
}

/// One layer at `at`, the `index`-th of all.
fn through<F: Real>(
    x: &Unit<'_, F>,
    stream: &mut Stream<F>,
    at: &str,
    index: usize,
    mixer: impl FnOnce(&str, Array2<F>) -> Array2<F>,
) {
    let hidden = stream.enter(x, 2 * index, &format!("{at}.attn_res"), &format!("{at}.attn_norm"));
    stream.add(mixer(&format!("{at}.attn"), hidden));
    let hidden = stream.enter(x, 2 * index + 1, &format!("{at}.mlp_res"), &format!("{at}.mlp_norm"));
    stream.add(MLP.run(x, &format!("{at}.mlp"), &hidden));
}

/// The keys and values of the later layers.
fn shared<F: Real>(x: &Unit<'_, F>, hidden: Array2<F>) -> (Array3<F>, Array3<F>) {
    let mut answers = SHARED.ask(x, &Place { weights: BUILDER, states: "" }).with("x", hidden).run();
    (answers.cube("o"), answers.cube("v"))
}
