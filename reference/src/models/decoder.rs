//! The decoder that most models are: embedding, blocks of a mixer and a feed-forward network, norm, head.
//!
//! $$ x_0 = E_{\text{ids}}, \qquad r = x + \operatorname{mixer}(\operatorname{norm}(x)), \qquad
//! x' = r + \operatorname{MLP}(\operatorname{norm}(r)), \qquad \text{logits} = W \operatorname{norm}(x_L) $$
//!
//! The loss of a token is that of [`modules::cross_entropy`](crate::modules::cross_entropy), whose target is the token
//! after it. (Upstream shifts labels itself, and gives the mean.) With the flag `attnres`, blocks read mixtures of what
//! earlier ones wrote (see [`Stream`]).

use ndarray::{Array2, ArrayD, Axis};

use super::blueprint::{self, Model};
use super::skeleton::{Memory, Skeleton, embedding};
use super::stack::softmax as softmax_at;
use super::stream::Stream;
use crate::algebra::{linear, rank, softmax};
use crate::call::Call;
use crate::layers;
use crate::modules::cross_entropy::{Options, losses};
use crate::modules::gated_mlp::mlp;
use crate::real::Real;
use crate::spec::OpSpec;
use crate::tap;
use crate::unit::{Outputs, Unit};

impl Skeleton for Model {
    type Flow<F: Real> = Stream<F>;

    fn trunk(&self) -> &'static str {
        self.names.trunk
    }

    fn depth(&self, spec: &OpSpec) -> usize {
        blueprint::depth(spec, self)
    }

    fn states(&self, spec: &OpSpec, layer: usize) -> Vec<[String; 2]> {
        let own = |name: &str| format!("layers.{layer}.{name}");
        let mixer = self.mixer.states.iter().filter(|_| !softmax_at(spec.name, layer));
        mixer.map(|s| [own(s.initial), own(s.last)]).filter(|[_, last]| spec.output(last).is_some()).collect()
    }

    fn enter<F: Real>(&self, x: &Unit<'_, F>) -> Stream<F> {
        let embedded = embed(x, &embedding(self.names.trunk));
        Stream::new(x.problem, tap::pass(|| "embeddings".to_owned(), embedded))
    }

    fn block<F: Real>(
        &self,
        x: &Unit<'_, F>,
        layer: usize,
        stream: &mut Stream<F>,
        memory: &mut Memory<F>,
    ) -> Vec<ArrayD<F>> {
        let names = self.names;
        let at = |part: &str| format!("{}.layers.{layer}.{part}", names.trunk);
        let hidden = stream.enter(x, 2 * layer, &at("attn_res"), &at(names.mixer_norm));
        let hidden = tap::pass(|| format!("layers.{layer}.norm"), hidden);
        let stateless = softmax_at(x.problem.spec.name, layer) || self.mixer.states.is_empty();
        let (mixed, states) = match stateless {
            true => (memory.again(&at(names.mixer), hidden, |hidden| mix(x, self, layer, hidden).0), Vec::new()),
            false => mix(x, self, layer, &hidden),
        };
        stream.add(tap::pass(|| format!("layers.{layer}.mixer"), mixed));
        if let Some(name) = names.mlp {
            let hidden = stream.enter(x, 2 * layer + 1, &at("mlp_res"), &at(names.mlp_norm));
            let w = |part: &str| x.tensor(&at(&format!("{name}.{part}_proj.weight")));
            stream.add(mlp(hidden.view(), w("gate"), w("up"), w("down")));
        }
        stream.pass(&format!("layers.{layer}"));
        states
    }

    fn leave<F: Real>(&self, x: &Unit<'_, F>, stream: &Stream<F>) -> Array2<F> {
        let trunk = self.names.trunk;
        let hidden = stream.leave(x, &format!("{trunk}.res"), &format!("{trunk}.{}", self.names.norm));
        tap::pass(|| "norm".to_owned(), hidden)
    }
}

/// Logits and losses of what the head reads, and the states.
pub(super) fn judged<F: Real>(
    x: &Unit<'_, F>,
    hidden: &Array2<F>,
    embedding: &str,
    states: Vec<ArrayD<F>>,
) -> Outputs<F> {
    let logits = logits(x, hidden, embedding);
    let loss = losses(&logits, x.vector("targets"), &Options::default());
    [logits.into_dyn(), loss.into_dyn()].into_iter().chain(states).collect()
}

/// The logits of what the head reads.
pub(super) fn logits<F: Real>(x: &Unit<'_, F>, hidden: &Array2<F>, embedding: &str) -> Array2<F> {
    let head = if x.problem.flag("tie_word_embeddings") { embedding } else { "lm_head.weight" };
    rank(linear(hidden, x.tensor(head)))
}

/// Rows of the embedding.
pub(super) fn embed<F: Real>(x: &Unit<'_, F>, name: &str) -> Array2<F> {
    let rows: Vec<usize> = x.vector("input_ids").iter().map(|id| id.value() as usize).collect();
    x.matrix(name).select(Axis(0), &rows)
}

/// The mixer's output, and the states after it.
fn mix<F: Real>(x: &Unit<'_, F>, model: &Model, layer: usize, hidden: &Array2<F>) -> (Array2<F>, Vec<ArrayD<F>>) {
    let prefix = format!("{}.layers.{layer}.{}", model.names.trunk, model.names.mixer);
    if softmax_at(x.problem.spec.name, layer) {
        let mut answers = ask(x, &layers::attn::SPEC, &prefix, layer, "attn.").with("x", hidden.view()).run();
        return (answers.matrix("o"), Vec::new());
    }
    let mut call = ask(x, model.mixer, &prefix, layer, "").with("x", hidden.view());
    if x.problem.flag("use_lower_bound") {
        call = call.with("lower_bound", lower_bound(x, model, layer));
    }
    if model.mixer.input("x_clock").is_some() {
        call = call.with("x_clock", hidden.mapv(|h| F::from_f64(h.value())));
    }
    let mut answers = call.run();
    // a state that the options leave out keeps its place
    let place = |name: &str| format!("layers.{layer}.{name}");
    let resumed = model.mixer.states.iter().filter(|s| x.problem.spec.output(&place(s.last)).is_some());
    let states = resumed.map(|s| match answers.has(s.last) {
        true => answers.take(s.last),
        false => x.tensor(&place(s.initial)).to_owned(),
    });
    let states = states.collect();
    (answers.matrix("o"), states)
}

/// The layer's question with its weights, states and options, but without its input.
fn ask<F: Real>(x: &Unit<'_, F>, spec: &'static OpSpec, prefix: &str, layer: usize, options: &str) -> Call<F> {
    let mut call = Call::of(spec);
    for attr in spec.attrs {
        let name = format!("{options}{}", attr.name);
        if let Some(value) = x.problem.attrs.get(name.as_str()) {
            call = call.value(attr.name, *value);
        } else if attr.name == "norm_eps" {
            call = call.value(attr.name, x.problem.attr("norm_eps"));
        }
    }
    for port in spec.inputs {
        let weight = format!("{prefix}.{}", port.name);
        let state = format!("layers.{layer}.{}", port.name);
        // a state is there even if none was given: the middle of a sequence starts from one
        let resumed = x.problem.spec.input(&state).is_some_and(|p| x.problem.allows(p)).then_some(&state);
        if let Some(name) = resumed.or(x.given(&weight).then_some(&weight)) {
            call = call.with(port.name, x.tensor(name));
        }
    }
    call
}

/// The lower bound of a layer's forget gates: shares of the layers before it, the first one's left out.
fn lower_bound<F: Real>(x: &Unit<'_, F>, model: &Model, layer: usize) -> ArrayD<F> {
    let logits = x.tensor(&format!("{}.lower_bounds", model.names.trunk));
    let shares = logits.map_axis(Axis(0), |logits| softmax(logits.to_owned()));
    shares.mapv(|shares| shares.iter().skip(1).take(layer).copied().sum())
}
