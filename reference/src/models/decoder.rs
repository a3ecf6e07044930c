//! The decoder that most models are: embedding, blocks of a mixer and a feed-forward network, norm, head.
//!
//! $$ x_0 = E_{\text{ids}}, \qquad r = x + \operatorname{mixer}(\operatorname{norm}(x)), \qquad
//! x' = r + \operatorname{MLP}(\operatorname{norm}(r)), \qquad \text{logits} = W \operatorname{norm}(x_L) $$
//!
//! The loss of a token is $-\ln \operatorname{softmax}(\text{logits}_t)_{y_t}$ with its target y, the token after it; a
//! target of −100 is none, and the loss 0. (Upstream shifts labels itself, and gives the mean.) With the flag `attnres`,
//! blocks read mixtures of what earlier ones wrote (see [`Stream`]).

use ndarray::{Array1, Array2, ArrayD, ArrayView1, Axis};

use super::blueprint::{Model, depth};
use super::stream::Stream;
use crate::algebra::{linear, rank, softmax};
use crate::call::Call;
use crate::layers;
use crate::modules::gated_mlp::mlp;
use crate::real::Real;
use crate::spec::OpSpec;
use crate::tap;
use crate::unit::{Outputs, Unit};

/// A target that counts for nothing.
const IGNORED: f64 = -100.0;

/// The function of every model that follows the skeleton; which one it is says the spec's name.
pub(super) fn decoder<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let model = super::model(x.problem.spec.name);
    let embedded = embed(x, &format!("{}.embeddings.weight", model.names.trunk));
    let mut stream = Stream::new(x, model, tap::pass(|| "embeddings".to_owned(), embedded));
    let mut states = Vec::new();
    for layer in 0..depth(x.problem.spec, model) {
        let hidden = tap::pass(|| format!("layers.{layer}.norm"), stream.enter_mixer(layer));
        let (mixed, after) = mix(x, model, layer, &hidden);
        stream.add(tap::pass(|| format!("layers.{layer}.mixer"), mixed));
        states.extend(after);
        if let Some(name) = model.names.mlp {
            let hidden = stream.enter_mlp(layer);
            let w = |part: &str| x.tensor(&format!("{}.layers.{layer}.{name}.{part}_proj.weight", model.names.trunk));
            stream.add(mlp(hidden.view(), w("gate"), w("up"), w("down")));
        }
        stream.pass(&format!("layers.{layer}"));
    }
    let head = if x.problem.flag("tie_word_embeddings") {
        x.tensor(&format!("{}.embeddings.weight", model.names.trunk))
    } else {
        x.tensor("lm_head.weight")
    };
    let hidden = tap::pass(|| "norm".to_owned(), stream.leave());
    let logits: Array2<F> = rank(linear(&hidden, head));
    let loss = losses(&logits, x.vector("targets"));
    [logits.into_dyn(), loss.into_dyn()].into_iter().chain(states).collect()
}

/// Rows of the embedding.
fn embed<F: Real>(x: &Unit<'_, F>, name: &str) -> Array2<F> {
    let rows: Vec<usize> = x.vector("input_ids").iter().map(|id| id.value() as usize).collect();
    x.matrix(name).select(Axis(0), &rows)
}

/// The mixer's output, and the states after it.
fn mix<F: Real>(x: &Unit<'_, F>, model: &Model, layer: usize, hidden: &Array2<F>) -> (Array2<F>, Vec<ArrayD<F>>) {
    let prefix = format!("{}.layers.{layer}.{}", model.names.trunk, model.names.mixer);
    if model.softmax(x.problem.spec.name, layer) {
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

/// Negative log-likelihood of each target.
pub(super) fn losses<F: Real>(logits: &Array2<F>, targets: ArrayView1<'_, F>) -> Array1<F> {
    let loss = |(row, y): (ArrayView1<'_, F>, &F)| match y.value() {
        none if none.to_bits() == IGNORED.to_bits() => F::zero(),
        y => log_sum_exp(row) - row[y as usize],
    };
    logits.rows().into_iter().zip(targets).map(loss).collect()
}

fn log_sum_exp<F: Real>(row: ArrayView1<'_, F>) -> F {
    let top = F::from_f64(row.iter().map(|x| x.value()).fold(f64::NEG_INFINITY, f64::max));
    let terms: Array1<F> = row.mapv(|x| (x - top).exp());
    top + terms.iter().copied().sum::<F>().ln()
}
