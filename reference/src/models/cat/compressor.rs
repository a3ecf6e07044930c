//! The compressor: a transformer over the tokens of each chunk, and a projection of all that it has of them.

use ndarray::{Array2, ArrayView1, ArrayView2, Axis, Slice, stack};

use super::attention;
use super::{EPS, MARKS};
use crate::algebra::{linear, matrix, rank};
use crate::dims;
use crate::models::part::{MLP, Part, Place};
use crate::models::stack::{depth, name};
use crate::modules::rms_norm::normalise;
use crate::real::Real;
use crate::spec::{Dim, Domain, Port};
use crate::unit::Unit;

/// Its heads are its own, and as many of keys as of queries.
const ATTENTION: Part = Part {
    omits: &["x", "block"],
    decided: &[("compressed", false), ("qk_norm", false)],
    renamed: &[(Dim::D, Dim::E), (Dim::HQ, Dim::AQ), (Dim::H, Dim::AQ), (Dim::K, Dim::AK)],
    ..Part::of(&attention::SPEC)
};

const FEED_FORWARD: Part = Part { renamed: &[(Dim::D, Dim::E), (Dim::I, Dim::M)], ..MLP };

/// The ports of a compressor of so many blocks.
pub(super) fn ports(blocks: usize) -> Vec<Port> {
    let table = |part: &str, dims| Port::new(named(&format!("{part}.weight")), dims, Domain::Normal);
    let norm = |part: &str| Port::new(named(&format!("{part}.weight")), dims![E], Domain::Uniform(0.5, 1.5));
    let mut ports =
        vec![table("wte", dims![S, E]), table("pos_tokens", dims![G, E]), table("adaptive_tokens", dims![L, E])];
    for layer in 0..blocks {
        // the projections are parameters of the block, not of a part of it
        ports.push(norm(&format!("layers.{layer}.attn_norm")));
        ports.extend(ATTENTION.weights(named(&format!("layers.{layer}"))));
        ports.push(norm(&format!("layers.{layer}.mlp_norm")));
        ports.extend(FEED_FORWARD.weights(named(&format!("layers.{layer}.mlp"))));
    }
    ports.push(norm("norm"));
    ports.push(Port::weight(named("proj_fx.weight"), dims![D, C, E], &[1, 2]));
    ports
}

fn named(part: &str) -> &'static str {
    name(format!("model.compressor.{part}"))
}

/// A vector `[D]` of each whole chunk.
pub(super) fn compressed<F: Real>(x: &Unit<'_, F>, chunk: usize) -> Array2<F> {
    let (at, eps) = (|part: &str| format!("model.compressor.{part}"), x.problem.number("norm_eps").unwrap_or(EPS));
    let (chunks, block) = (x.tokens / chunk, chunk + MARKS);
    let mut stream = marked(x, chunks, chunk);
    for layer in 0..depth(x.problem.spec, "model.compressor.layers", "attn_norm.weight") {
        let part = |name: &str| at(&format!("layers.{layer}{name}"));
        let normed = |stream: &Array2<F>, name| normalise(stream, Some(x.tensor(&part(name))), eps);
        let call = ATTENTION.ask(x, &Place { weights: &part(""), states: "" }).number("block", block as f64);
        stream = &stream + &call.with("x", normed(&stream, ".attn_norm.weight")).run().matrix("o");
        stream = &stream + &FEED_FORWARD.run(x, &part(".mlp"), &normed(&stream, ".mlp_norm.weight"));
    }
    let stream = normalise(&stream, Some(x.tensor(&at("norm.weight"))), eps);
    let tokens: Vec<usize> = (0..chunks * block).filter(|row| row % block >= MARKS).collect();
    let read = matrix(&stream.select(Axis(0), &tokens), chunks, chunk * stream.ncols());
    let weight = x.cube("model.compressor.proj_fx.weight");
    let weight = matrix(&weight, weight.len_of(Axis(0)), weight.len_of(Axis(1)) * weight.len_of(Axis(2)));
    rank(linear(&read, resampled(weight.view(), read.ncols()).into_dyn().view()))
}

/// What it reads of each chunk: the mark of the size, the mark of the place, the tokens.
fn marked<F: Real>(x: &Unit<'_, F>, chunks: usize, chunk: usize) -> Array2<F> {
    let of = |part: &str| x.matrix(&format!("model.compressor.{part}.weight"));
    let (tokens, places, sizes) = (of("wte"), of("pos_tokens"), of("adaptive_tokens"));
    let ids = x.vector("input_ids");
    let mut rows: Vec<ArrayView1<'_, F>> = Vec::new();
    for i in 0..chunks {
        rows.extend([sizes.row(chunk), places.row(i)]);
        let ids = ids.slice_axis(Axis(0), Slice::from(i * chunk..(i + 1) * chunk));
        rows.extend(ids.iter().map(|id| tokens.row(id.value() as usize)));
    }
    if rows.is_empty() {
        return Array2::from_elem((0, tokens.ncols()), F::zero());
    }
    stack(Axis(0), &rows).expect("rows as wide as the compressor")
}

/// As many columns as asked, each between the two whose middles lie around its own.
fn resampled<F: Real>(weight: ArrayView2<'_, F>, columns: usize) -> Array2<F> {
    let (rows, given) = weight.dim();
    let (half, ratio) = (F::from_f64(0.5), F::from_f64(given as f64) / F::from_f64(columns as f64));
    Array2::from_shape_fn((rows, columns), |(i, j)| {
        // rounded as all arithmetic is
        let middle = (F::from_f64(j as f64) + half) * ratio - half;
        let left = middle.value().max(0.0).floor();
        let (share, left) = (middle - F::from_f64(left), left as usize);
        if share.value() <= 0.0 {
            return weight[[i, left]];
        }
        let right = weight[[i, (left + 1).min(given - 1)]];
        (F::one() - share) * weight[[i, left]] + share * right
    })
}
