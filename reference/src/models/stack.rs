//! What every stack has, whatever its blocks are: tokens and targets, an embedding, a head, and their names.

use crate::dims;
use crate::problem::Problem;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, State, Value};
use crate::unit::Function;

/// A stack whose blocks are ports already.
pub(super) struct Stack {
    pub(super) name: String,
    pub(super) summary: &'static str,
    pub(super) source: &'static str,
    pub(super) upstream: &'static [&'static str],
    /// What lies between the embedding and the head.
    pub(super) body: Vec<Port>,
    /// Final states.
    pub(super) last: Vec<Port>,
    /// Through which a stack is resumed.
    pub(super) states: Vec<State>,
    /// Those of its parts; what several parts have counts once.
    pub(super) attrs: Vec<Attr>,
    pub(super) constraints: Vec<Constraint>,
    pub(super) function: Function,
}

impl Stack {
    /// The spec of the stack.
    pub(super) fn spec(self) -> OpSpec {
        let inputs = [&tokens(EMBEDDING)[..], &self.body, &[head()]].concat();
        let outputs = [&logits_and_loss()[..], &self.last].concat();
        let mut sizes = vec![Dim::B, Dim::T, Dim::S, Dim::D];
        for &dim in inputs.iter().chain(&outputs).flat_map(|p| p.dims) {
            if dim != Dim::N && !sizes.contains(&dim) {
                sizes.push(dim);
            }
        }
        let mut attrs: Vec<Attr> = Vec::new();
        for attr in self.attrs {
            if attrs.iter().all(|a| a.name != attr.name) {
                attrs.push(attr);
            }
        }
        OpSpec {
            name: name(self.name),
            level: Level::Model,
            summary: self.summary,
            source: self.source,
            upstream: self.upstream,
            sizes: kept(sizes),
            inputs: kept(inputs),
            outputs: kept(outputs),
            attrs: kept(attrs),
            constraints: kept(labelled(self.constraints)),
            independent: dims![B],
            states: kept(self.states),
            function: self.function,
        }
    }
}

/// The embedding of the models that are no [`Model`](super::blueprint::Model).
pub(super) const EMBEDDING: &str = "model.embeddings.weight";

/// Tokens, targets and embedding.
pub(super) fn tokens(embedding: &'static str) -> [Port; 3] {
    [
        Port::new("input_ids", dims![B, T], Domain::Symbols(false)).index(),
        Port::new("targets", dims![B, T], Domain::Symbols(true)).index(),
        Port::new(embedding, dims![S, D], Domain::Normal),
    ]
}

/// The head, unless it is the embedding.
pub(super) fn head() -> Port {
    Port::weight("lm_head.weight", dims![S, D], &[1, 1]).unless("tie_word_embeddings")
}

pub(super) fn logits_and_loss() -> [Port; 2] {
    [Port::new("logits", dims![B, T, S], Domain::Normal), Port::new("loss", dims![B, T], Domain::Normal).single()]
}

/// What every configuration has: ε of the norms, and whether the head is the embedding.
pub(super) fn options(norm_eps: f64, tied: bool) -> [Attr; 2] {
    [
        Attr::number("norm_eps", norm_eps, 0.25, "added to the mean of squares in every norm"),
        Attr::flag("tie_word_embeddings", tied, "the head is the embedding"),
    ]
}

/// Options of attention residuals.
pub(super) const RESIDUALS: [Attr; 2] = [
    Attr::flag("attnres", false, "blocks read mixtures of earlier sums"),
    Attr::number("attnres_block_size", 2.0, 1.0, "half-blocks after which a sum begins anew"),
];

/// The weight of a norm.
pub(super) fn norm(text: String) -> Port {
    Port::new(name(text), dims![D], Domain::Uniform(0.5, 1.5))
}

/// The query of an attention residual, and the weight of its norm.
pub(super) fn residual(prefix: &str) -> [Port; 2] {
    let query = Port { merged: &[0, 1], ..Port::new(name(format!("{prefix}_proj.weight")), dims![D], Domain::Weight) };
    [query.when("attnres"), norm(format!("{prefix}_norm.weight")).when("attnres")]
}

/// Blocks of a stack, as its ports tell: those at `<prefix>.<i>` that have the port `<part>`.
pub(super) fn depth(spec: &OpSpec, prefix: &str, part: &str) -> usize {
    (0..).take_while(|layer| spec.input(&format!("{prefix}.{layer}.{part}")).is_some()).count()
}

/// Whether a block of the stack of that name has softmax attention.
pub(super) fn softmax(spec: &str, layer: usize) -> bool {
    spec.split_once('@').is_some_and(|(_, places)| places.split('+').any(|place| place.parse() == Ok(layer)))
}

/// What follows the name of a stack: the places of its blocks of softmax attention.
pub(super) fn places(softmax: &[bool]) -> String {
    let places: Vec<_> = (0..softmax.len()).filter(|&i| softmax[i]).map(|i| i.to_string()).collect();
    if places.is_empty() { String::new() } else { format!("@{}", places.join("+")) }
}

/// C1, C2, …
pub(super) fn labelled(constraints: Vec<Constraint>) -> Vec<Constraint> {
    let label = |(i, c): (usize, Constraint)| Constraint { label: name(format!("C{}", i + 1)), ..c };
    constraints.into_iter().enumerate().map(label).collect()
}

pub(super) fn kept<T>(items: Vec<T>) -> &'static [T] {
    Vec::leak(items)
}

pub(super) fn name(text: String) -> &'static str {
    String::leak(text)
}

/// Of the softmax attention beside other mixers.
pub(super) const HYBRID: Constraint = Constraint {
    label: "",
    text: "softmax attention: D = AQ·AK, AK is even, AQ is a positive multiple of AH, and a window has a token",
    holds: fits,
    break_it: |p| p.sizes.extend([(Dim::AH, 2), (Dim::AQ, 3)]),
    mend: |p| {
        p.attrs.remove("attn.window_size");
        let shared = p.size(Dim::D) == p.size(Dim::H).saturating_mul(p.size(Dim::V));
        if !p.size(Dim::D).is_multiple_of(2) {
            // heads that share the channels out among themselves go on doing so
            let doubled = [Some(Dim::D), shared.then_some(Dim::V)].into_iter().flatten();
            let doubled: Vec<_> = doubled.map(|d| (d, p.size(d).saturating_mul(2))).collect();
            p.sizes.extend(doubled);
        }
        let (width, heads) = (p.size(Dim::D), p.size(Dim::AQ));
        if heads > 0 && width.is_multiple_of(2 * heads) {
            p.sizes.insert(Dim::AK, width / heads);
        } else {
            p.sizes.extend([(Dim::AQ, 1), (Dim::AH, 1), (Dim::AK, width)]);
        }
        if !p.size(Dim::AQ).is_multiple_of(p.size(Dim::AH).max(1)) {
            p.sizes.insert(Dim::AH, 1);
        }
    },
};

fn fits(p: &Problem) -> bool {
    let (queries, keys, width) = (p.size(Dim::AQ), p.size(Dim::AH), p.size(Dim::AK));
    let seen = p.number("attn.window_size").is_none_or(|w| w >= 1.0);
    let grouped = keys > 0 && queries >= keys && queries.is_multiple_of(keys);
    seen && grouped && p.size(Dim::D) == queries * width && width.is_multiple_of(2)
}

/// Sums begin anew between blocks, or at every half of one.
pub(super) const EVEN: Constraint = Constraint {
    label: "",
    text: "attnres_block_size is 1 or even",
    holds: |p| {
        p.number("attnres_block_size").is_some_and(|b| b.to_bits() == 1f64.to_bits() || (b >= 2.0 && b % 2.0 == 0.0))
    },
    break_it: |p| _ = p.attrs.insert("attnres_block_size", Value::Number(3.0)),
    mend: |p| _ = p.attrs.remove("attnres_block_size"),
};
