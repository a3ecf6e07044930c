//! The stack that the models of RWKV are: blocks of time mixing and channel mixing, both of which look back one token.
//!
//! $$ x_0 = N_0(E_{\text{ids}}), \qquad r = x + \operatorname{time}(N(x)), \qquad
//! x' = r + \operatorname{channel}(N(r)), \qquad \text{logits} = W N(x_L) $$
//!
//! with norms N of layers, and of the embedding $N_0$ only where `norm_first`. What the time mixing of the first block
//! hands on (`v_first_out`) the others take, where they have an input for it.

use ndarray::{Array2, ArrayD, Ix2};

use super::config::Inner;
use super::decoder::embed;
use super::part::{Part, Place, SOFTMAX};
use super::skeleton::{Memory, Skeleton, stack, states_of};
use super::stack::{EMBEDDING, HYBRID, Stack, depth, name, norm, options, places, softmax};
use super::{rwkv6, rwkv7};
use crate::algebra::{plus, stored, times};
use crate::dims;
use crate::function;
use crate::modules::layer_norm::normalise;
use crate::real::Real;
use crate::spec::{Attr, Dim, Domain, OpSpec, Port};
use crate::unit::Unit;

/// What distinguishes one version from another.
#[derive(Debug)]
pub(super) struct Rwkv {
    /// Upstream's `model_type`.
    pub(super) model_type: &'static str,
    pub(super) upstream: &'static [&'static str],
    pub(super) source: &'static str,
    /// The time mixing of a block.
    pub(super) time: fn(layer: usize) -> Part,
    pub(super) channel: Part,
}

/// The versions.
pub(super) static VERSIONS: [&Rwkv; 2] = [&rwkv6::MODEL, &rwkv7::MODEL];

/// The width of the channel mixing, unless given.
pub(super) const INNER: Inner = Inner { dim: Dim::I, of: Dim::D, ratio: 4.0, fraction: [1.0, 1.0], multiple: 32 };

impl Rwkv {
    /// The spec of a stack; `softmax` says for each block whether it has softmax attention instead of time mixing.
    pub(super) fn spec(&self, softmax: &[bool]) -> OpSpec {
        let hybrid = softmax.contains(&true);
        let (mut body, mut last, mut states, mut attrs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (layer, &softmax) in softmax.iter().enumerate() {
            if layer == 0 {
                body.extend(affine("model.layers.0.pre_norm").map(|p| p.when("norm_first")));
            }
            let time = if softmax { SOFTMAX } else { (self.time)(layer) };
            for (part, name, place) in [(time, "attn", ""), (self.channel, "ffn", ".ffn")] {
                let at = format!("model.layers.{layer}.{name}");
                let place = Place { weights: &at, states: &format!("layers.{layer}{place}") };
                body.extend(affine(&format!("{at}_norm")));
                body.extend(part.inputs(&place));
                last.extend(part.last(&place));
                states.extend(part.states(&place).into_iter().filter(|_| !hybrid));
                attrs.extend(part.attrs());
            }
        }
        body.extend(affine("model.norm"));
        attrs.extend([
            Attr::flag("norm_first", true, "norm the embedding"),
            Attr::flag("norm_bias", true, "norms of layers have biases"),
        ]);
        attrs.extend(options(1e-5, false));
        let mut constraints = (self.time)(0).spec.constraints.to_vec();
        constraints.extend(hybrid.then_some(HYBRID));
        Stack {
            name: format!("{}_model{}", self.model_type, places(softmax)),
            summary: name(format!(
                "logits and loss of a stack of {} and {}",
                (self.time)(0).spec.name,
                self.channel.spec.name
            )),
            source: self.source,
            upstream: self.upstream,
            body,
            last,
            states,
            attrs,
            constraints,
            function: function!(stack),
        }
        .spec()
    }
}

/// Weight and bias of a norm of layers.
fn affine(at: &str) -> [Port; 2] {
    let bias = Port::new(name(format!("{at}.bias")), dims![D], Domain::Normal);
    [norm(format!("{at}.weight")), bias.when("norm_bias")]
}

fn normed<F: Real>(x: &Unit<'_, F>, hidden: &Array2<F>, at: &str) -> Array2<F> {
    let y = normalise(hidden, x.problem.number("norm_eps").unwrap_or(1e-5));
    let (y, bias) = (times::<F, Ix2>(y, x.tensor(&format!("{at}.weight"))), format!("{at}.bias"));
    if x.given(&bias) { plus(y, x.tensor(&bias)) } else { y }
}

/// What runs through the blocks.
#[derive(Debug)]
pub(super) struct Flow<F> {
    sum: Array2<F>,
    /// What the first block hands on.
    first: Option<ArrayD<F>>,
}

impl Rwkv {
    /// The parts of a block, with their names and what comes before the names of their states.
    fn parts(&self, spec: &OpSpec, layer: usize) -> [(Part, &'static str, String); 2] {
        let time = if softmax(spec.name, layer) { SOFTMAX } else { (self.time)(layer) };
        [(time, "attn", format!("layers.{layer}")), (self.channel, "ffn", format!("layers.{layer}.ffn"))]
    }
}

impl Skeleton for Rwkv {
    type Flow<F: Real> = Flow<F>;

    fn depth(&self, spec: &OpSpec) -> usize {
        depth(spec, "model.layers", "attn_norm.weight")
    }

    fn states(&self, spec: &OpSpec, layer: usize) -> Vec<[String; 2]> {
        self.parts(spec, layer).iter().flat_map(|(part, _, place)| states_of(part, place)).collect()
    }

    fn enter<F: Real>(&self, x: &Unit<'_, F>) -> Flow<F> {
        Flow { sum: embed(x, EMBEDDING), first: None }
    }

    fn block<F: Real>(
        &self,
        x: &Unit<'_, F>,
        layer: usize,
        flow: &mut Flow<F>,
        memory: &mut Memory<F>,
    ) -> Vec<ArrayD<F>> {
        if layer == 0 && x.problem.flag("norm_first") {
            flow.sum = stored(normed(x, &flow.sum, "model.layers.0.pre_norm"));
        }
        let mut states = Vec::new();
        for (part, name, place) in self.parts(x.problem.spec, layer) {
            let at = format!("model.layers.{layer}.{name}");
            let hidden = normed(x, &flow.sum, &format!("{at}_norm"));
            if part.spec.states.is_empty() {
                flow.sum = stored(&flow.sum + &memory.again(&at, hidden, |hidden| part.run(x, &at, hidden)));
                continue;
            }
            let place = Place { weights: &at, states: &place };
            let mut call = part.ask(x, &place).with("x", hidden);
            if let (Some(first), Some(_)) = (&flow.first, part.spec.input("v_first")) {
                call = call.with("v_first", ArrayD::clone(first));
            }
            let mut answers = call.run();
            if answers.has("v_first_out") {
                flow.first = Some(answers.take("v_first_out"));
            }
            states.extend(part.after(x, &place, &mut answers));
            flow.sum = stored(&flow.sum + &answers.matrix("o"));
        }
        states
    }

    fn leave<F: Real>(&self, x: &Unit<'_, F>, flow: &Flow<F>) -> Array2<F> {
        normed(x, &flow.sum, "model.norm")
    }
}
