//! The stack that the models of RWKV are: blocks of time mixing and channel mixing, both of which look back one token.
//!
//! $$ x_0 = N_0(E_{\text{ids}}), \qquad r = x + \operatorname{time}(N(x)), \qquad
//! x' = r + \operatorname{channel}(N(r)), \qquad \text{logits} = W N(x_L) $$
//!
//! with norms N of layers, and of the embedding $N_0$ only where `norm_first`. What the time mixing of the first block
//! hands on (`v_first_out`) the others take, where they have an input for it.

use ndarray::{Array2, Ix2};

use super::decoder::{embed, judged};
use super::part::{Part, Place, SOFTMAX};
use super::stack::{EMBEDDING, HYBRID, Stack, depth, name, norm, options, places, softmax};
use super::{rwkv6, rwkv7};
use crate::algebra::{plus, times};
use crate::dims;
use crate::function;
use crate::modules::layer_norm::normalise;
use crate::real::Real;
use crate::spec::{Attr, Domain, OpSpec, Port};
use crate::unit::{Outputs, Unit};

/// What distinguishes one version from another.
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
static VERSIONS: [&Rwkv; 2] = [&rwkv6::MODEL, &rwkv7::MODEL];

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
            function: function!(rwkv),
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
    plus::<F, Ix2>(times(y, x.tensor(&format!("{at}.weight"))), x.tensor(&format!("{at}.bias")))
}

fn rwkv<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let spec = x.problem.spec;
    let version = VERSIONS.iter().find(|v| spec.name.starts_with(v.model_type)).expect("a stack of one of them");
    let mut stream = embed(x, EMBEDDING);
    if x.problem.flag("norm_first") {
        stream = normed(x, &stream, "model.layers.0.pre_norm");
    }
    let (mut first, mut states) = (None, Vec::new());
    for layer in 0..depth(spec, "model.layers", "attn_norm.weight") {
        let time = if softmax(spec.name, layer) { SOFTMAX } else { (version.time)(layer) };
        for (part, name, place) in [(time, "attn", ""), (version.channel, "ffn", ".ffn")] {
            let at = format!("model.layers.{layer}.{name}");
            let place = Place { weights: &at, states: &format!("layers.{layer}{place}") };
            let mut call = part.ask(x, &place).with("x", normed(x, &stream, &format!("{at}_norm")));
            if let (Some(first), Some(_)) = (&first, part.spec.input("v_first")) {
                call = call.with("v_first", ndarray::ArrayD::clone(first));
            }
            let mut answers = call.run();
            if answers.has("v_first_out") {
                first = Some(answers.take("v_first_out"));
            }
            states.extend(part.after(x, &place, &mut answers));
            stream = stream + answers.matrix("o");
        }
    }
    judged(x, &normed(x, &stream, "model.norm"), EMBEDDING, states)
}
