//! The language model of compress-and-attend transformers: tokens see those of their chunk and one vector for each
//! earlier chunk.
//!
//! A sequence is cut into chunks of c = `chunk_size` tokens, C unless given. The compressor, a transformer of its own,
//! reads a mark of the size, a mark of the place and the tokens of a chunk, in both directions, and makes a vector of
//! what it has at the tokens:
//!
//! $$ f_i = \tilde W \operatorname{N}\big(\operatorname{blocks}(A'_c, P_i, E'_{i c}, \dots, E'_{i c + c - 1})\big) $$
//!
//! with $\tilde W$ = `proj_fx.weight` of C·E columns, resampled to c·E columns by linear interpolation between their
//! middles when c < C. The decoder, blocks $r = x + \operatorname{Attn}(N(x))$, $x' = r + \operatorname{MLP}(N(r))$,
//! reads for chunk i
//!
//! $$ f_{i-1}, \; \text{sep}, \; E_{i c}, \dots, E_{i c + c - 1}, \qquad f_{-1} = A_c $$
//!
//! and looks at what came before in its chunk and at the first place, $f_{j-1}$, of each chunk j ≤ i. A token's logits
//! are those at its place, or, for the last of a chunk, those at the separator of the next: where that chunk's vector
//! has been read. Positions turn anew in each chunk.
//!
//! # Errors
//! HQ is a multiple of H; K is even and D = HQ·K; AK is even and E = AQ·AK; a chunk has between 1 and C tokens; L, the
//! rows of the tables of sizes, is C + 1; G, the rows of the table of places (`max_position_embeddings`), is at least C
//! and the tokens of a sequence in whole chunks.
//!
//! Paper: Prakash et al., *Controllably Efficient Language Models*, 2025.
//! Upstream: `CATForCausalLM` of `fla/models/cat` in 0.6.0: `max_chunk_size` is C, `compressor_hidden_size` E,
//! `compressor_num_heads` AQ; I and M are the inner widths, the same where `intermediate_size` is given. Nothing is
//! packed or resumed there. Padding (`pad_to_multiple_of`, `pad_token_id`) comes after all tokens, of which none sees
//! it; in training, `train_chunk_size_schedule` and `min_train_chunk_size` choose the `chunk_size`. `elementwise_affine`,
//! `fuse_norm`, `fuse_swiglu` and the ways to compute the loss do not change values.

mod attention;
mod compressor;
mod config;

use ndarray::{Array2, ArrayD, ArrayView1, Axis, stack};

use super::decoder::embed;
use super::part::{MLP, Part, Place};
use super::skeleton::{Home, Memory, Skeleton, plain, stack as run};
use super::stack::{EMBEDDING, Stack, depth, norm, options};
use crate::attention::as_wide_as_the_model;
use crate::modules::rms_norm::normalise;
use crate::problem::Problem;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, OpSpec, Port, Value};
use crate::unit::Unit;
use crate::{dims, function};

pub use config::CONFIG;

/// Attention of the decoder.
const ATTENTION: Part = Part { omits: &["x", "block"], decided: &[("compressed", true)], ..Part::of(&attention::SPEC) };

/// The spec of a stack with so many blocks in its compressor and its decoder.
#[must_use]
pub fn spec(compressor: usize, decoder: usize) -> OpSpec {
    let mut body = vec![
        Port::new("model.separator.weight", dims![D], Domain::Normal).merged(&[0, 1]),
        Port::new("model.adaptive_token.weight", dims![L, D], Domain::Normal),
    ];
    body.extend(compressor::ports(compressor));
    for layer in 0..decoder {
        let at = |part: &str| format!("model.layers.{layer}.{part}");
        body.push(norm(at("attn_norm.weight")));
        body.extend(ATTENTION.weights(&at("attn")));
        body.push(norm(at("mlp_norm.weight")));
        body.extend(MLP.weights(&at("mlp")));
    }
    body.push(norm("model.norm.weight".into()));
    let mut attrs = vec![Attr::auto("chunk_size", 2.0, "tokens of a chunk; auto is C, the most")];
    attrs.extend([ATTENTION, MLP].iter().flat_map(Part::attrs));
    attrs.extend(options(EPS, false));
    Stack {
        name: "cat_model".into(),
        summary: "logits and loss of a stack that sees earlier chunks as one vector each",
        source: "Prakash et al. 2025 (arXiv 2511.05313)",
        upstream: &["fla.models.CATForCausalLM", "fla.models.CATModel"],
        body,
        last: Vec::new(),
        states: Vec::new(),
        attrs,
        constraints: vec![
            Constraint::grouped_queries(""),
            crate::attention::pairs(""),
            as_wide_as_the_model(""),
            COMPRESSOR,
            CHUNK,
            ROWS,
            PLACES,
        ],
        function: function!(run),
    }
    .spec()
}

/// A stack that reads all tokens again: when a chunk ends, what its tokens are is another vector.
#[derive(Debug)]
pub(super) struct Cat;

impl Skeleton for Cat {
    type Flow<F: Real> = Array2<F>;

    const AGAIN: bool = true;

    fn depth(&self, spec: &OpSpec) -> usize {
        depth(spec, "model.layers", "attn_norm.weight")
    }

    fn home(&self, _: &OpSpec, weight: &str) -> Home {
        let marks = ["model.compressor.", "model.separator.", "model.adaptive_token."];
        if marks.iter().any(|part| weight.starts_with(part)) { Home::Embedding } else { plain("model", weight) }
    }

    fn states(&self, _: &OpSpec, _: usize) -> Vec<[String; 2]> {
        Vec::new()
    }

    fn enter<F: Real>(&self, x: &Unit<'_, F>) -> Array2<F> {
        interleaved(x, chunk(x.problem))
    }

    fn block<F: Real>(
        &self,
        x: &Unit<'_, F>,
        layer: usize,
        stream: &mut Array2<F>,
        _: &mut Memory<F>,
    ) -> Vec<ArrayD<F>> {
        let eps = x.problem.number("norm_eps").unwrap_or(EPS);
        let at = |part: &str| format!("model.layers.{layer}.{part}");
        let normed = |stream: &Array2<F>, part| normalise(stream, Some(x.tensor(&at(part))), eps);
        let call = ATTENTION.ask(x, &Place { weights: &at("attn"), states: "" });
        let call =
            call.number("block", (chunk(x.problem) + MARKS) as f64).with("x", normed(stream, "attn_norm.weight"));
        *stream = &*stream + &call.run().matrix("o");
        *stream = &*stream + &MLP.run(x, &at("mlp"), &normed(stream, "mlp_norm.weight"));
        Vec::new()
    }

    fn leave<F: Real>(&self, x: &Unit<'_, F>, stream: &Array2<F>) -> Array2<F> {
        let (chunk, eps) = (chunk(x.problem), x.problem.number("norm_eps").unwrap_or(EPS));
        let stream = normalise(stream, Some(x.tensor("model.norm.weight")), eps);
        // where the token after this one is told
        let place = |t: usize| match t % chunk + 1 == chunk {
            true => (t / chunk + 1) * (chunk + MARKS) + MARKS - 1,
            false => t / chunk * (chunk + MARKS) + MARKS + t % chunk,
        };
        let places: Vec<usize> = (0..x.tokens).map(place).collect();
        stream.select(Axis(0), &places)
    }
}

/// What the decoder reads: before the tokens of each chunk the vector of the chunk before it, and the separator; and
/// once more after the last whole chunk.
fn interleaved<F: Real>(x: &Unit<'_, F>, chunk: usize) -> Array2<F> {
    let tokens = embed(x, EMBEDDING);
    let (sizes, separator) = (x.matrix("model.adaptive_token.weight"), x.vector("model.separator.weight"));
    let vectors = compressor::compressed(x, chunk);
    let mut rows: Vec<ArrayView1<'_, F>> = Vec::new();
    for i in 0..=x.tokens / chunk {
        rows.push(if i == 0 { sizes.row(chunk) } else { vectors.row(i - 1) });
        rows.push(separator);
        rows.extend((i * chunk..((i + 1) * chunk).min(x.tokens)).map(|t| tokens.row(t)));
    }
    stack(Axis(0), &rows).expect("rows as wide as the model")
}

/// Tokens of a chunk.
fn chunk(p: &Problem) -> usize {
    p.number("chunk_size").map_or(p.size(Dim::C), |c| c as usize)
}

/// What comes before the tokens of a chunk.
const MARKS: usize = 2;
const EPS: f64 = 1e-6;

const COMPRESSOR: Constraint = Constraint {
    label: "",
    text: "compressor: E = AQ·AK and AK is even",
    holds: |p| {
        let width = p.size(Dim::AK);
        width.is_multiple_of(2) && p.size(Dim::AQ).checked_mul(width) == Some(p.size(Dim::E))
    },
    break_it: |p| _ = p.sizes.insert(Dim::E, p.size(Dim::AQ) * p.size(Dim::AK) + 1),
    mend: |p| {
        let width = p.size(Dim::AK).next_multiple_of(2);
        p.sizes.extend([(Dim::AK, width), (Dim::E, p.size(Dim::AQ).saturating_mul(width))]);
    },
};

const CHUNK: Constraint = Constraint {
    label: "",
    text: "chunk_size is a whole number between 1 and C",
    holds: |p| p.number("chunk_size").is_none_or(|c| c >= 1.0 && c.fract() <= 0.0 && c <= p.size(Dim::C) as f64),
    break_it: |p| _ = p.attrs.insert("chunk_size", Value::Number(0.5)),
    mend: |p| match p.number("chunk_size") {
        Some(c) if c >= 1.0 && c.fract() <= 0.0 => _ = p.sizes.insert(Dim::C, c as usize),
        _ => _ = p.attrs.remove("chunk_size"),
    },
};

const ROWS: Constraint = Constraint {
    label: "",
    text: "L is C + 1",
    holds: |p| Some(p.size(Dim::L)) == p.size(Dim::C).checked_add(1),
    break_it: |p| _ = p.sizes.insert(Dim::L, p.size(Dim::C)),
    mend: |p| _ = p.sizes.insert(Dim::L, p.size(Dim::C).saturating_add(1)),
};

const PLACES: Constraint = Constraint {
    label: "",
    text: "G is at least C, and at least the tokens of a sequence in whole chunks",
    holds: |p| p.size(Dim::G) >= least(p),
    break_it: |p| {
        // one chunk less than there is room for
        let most = p.size(Dim::C);
        p.sizes.insert(Dim::G, 1);
        if most < 2 {
            p.sizes.extend([(Dim::C, 2), (Dim::L, 3)]);
        }
    },
    mend: |p| _ = p.sizes.insert(Dim::G, least(p)),
};

fn least(p: &Problem) -> usize {
    p.longest().checked_next_multiple_of(chunk(p)).unwrap_or(usize::MAX).max(p.size(Dim::C))
}
