//! Softmax attention to the own chunk and to the earlier chunks whose mean key meets the query best.
//!
//! $$ o_t = \frac{\sum_{j \in S_t} e^{s_{tj}} v_j}{\sum_{j \in S_t} e^{s_{tj}}}, \quad s_{tj} = K^{-1/2} q_t^\top k_j $$
//!
//! A sequence is cut into chunks of `chunk_size` tokens. $S_t$ are the tokens of t's own chunk up to t, and those of
//! `topk` − 1 chunks before it: the ones with the largest $q_t^\top \bar k_c$, where $\bar k_c$ is the mean key of chunk
//! $c$; of equal ones the first. Where there are fewer, all are taken. `topk` = 1 stands for no choice at all: every token
//! up to t, as upstream documents it.
//!
//! Well conditioned but for the choice, which jumps where two chunks meet a query equally. Between these places the
//! derivative is that of the softmax over a fixed $S_t$; nothing is derived through the choice.
//!
//! # Errors
//! C1: values are as wide as keys. C2: a chunk has a token. C3: at least one chunk is seen.
//!
//! Paper: Lu et al., *MoBA: Mixture of Block Attention for Long-Context LLMs*, 2025.
//! Upstream: `fla/ops/moba` of 0.6.0, which has no defaults for chunks and their number, takes packed sequences alone,
//! none of them empty, and chooses by means that are rounded to the storage type.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, Slice};

use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn moba<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (q, k, v) = (x.matrix("q"), x.matrix("k"), x.matrix("v"));
    let number = |name| x.problem.number(name).map_or(1, |n| n as usize);
    let (size, topk) = (number("chunk_size"), number("topk"));
    let scale = F::from_f64((q.ncols() as f64).powf(-0.5));
    let means = means(&k, size);
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for t in x.asked() {
        let earlier = t / size;
        let others = if topk == 1 { earlier } else { topk - 1 };
        let chosen = best(&q.row(t), &means.slice_axis(Axis(0), Slice::from(..earlier)), others);
        let own = earlier * size..t + 1;
        let seen: Vec<usize> = chosen.into_iter().flat_map(|c| c * size..(c + 1) * size).chain(own).collect();
        let s: Array1<F> = seen.iter().map(|&j| scale * F::dot(q.row(t), k.row(j))).collect();
        let largest = F::from_f64(s.iter().fold(f64::NEG_INFINITY, |m, s| m.max(s.value())));
        let p = s.mapv(|s| (s - largest).exp());
        let total: F = p.iter().copied().sum();
        for (o_c, v_col) in o.row_mut(t).iter_mut().zip(v.select(Axis(0), &seen).columns()) {
            *o_c = F::dot(p.view(), v_col) / total;
        }
    }
    vec![o.into_dyn()]
}

/// The mean key of every chunk but the last: `[chunks, K]`.
fn means<F: Real>(k: &ArrayView2<'_, F>, size: usize) -> Array2<F> {
    let mean = |(c, i)| {
        let chunk = k.index_axis(Axis(1), i);
        let sum: F = chunk.slice_axis(Axis(0), Slice::from(c * size..(c + 1) * size)).iter().copied().sum();
        sum / F::from_f64(size as f64)
    };
    Array2::from_shape_fn((k.nrows().saturating_sub(1) / size, k.ncols()), mean)
}

/// The chunks that meet the query best, in the order of time.
fn best<F: Real>(q: &ArrayView1<'_, F>, means: &ArrayView2<'_, F>, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..means.nrows()).collect();
    if count < order.len() {
        let gate: Vec<f64> = means.rows().into_iter().map(|mean| F::dot(*q, mean).value()).collect();
        // stable: of equal ones the first
        order.sort_by(|&a, &b| gate[b].total_cmp(&gate[a]));
        order.truncate(count);
        order.sort_unstable();
    }
    order
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "moba",
    level: Level::Op,
    summary: "o = Σ softmax(q·kⱼ K^-1/2) vⱼ over the own chunk and the topk − 1 earlier ones of largest q·mean(k)",
    source: "Lu et al. 2025 (arXiv 2502.13189)",
    upstream: &["fla.ops.moba.parallel_moba"],
    sizes: dims![B, T, H, K, V],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::Normal),
        Port::new("k", dims![B, T, H, K], Domain::Normal),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
    ],
    outputs: &[Port::new("o", dims![B, T, H, V], Domain::Normal)],
    attrs: &[
        Attr::number("chunk_size", 16.0, 2.0, "tokens of a chunk"),
        Attr::number("topk", 2.0, 3.0, "chunks that a token sees, its own included; 1 is all of them"),
    ],
    constraints: &[
        Constraint {
            label: "C1",
            text: "V equals K",
            holds: |p| p.size(Dim::V) == p.size(Dim::K),
            break_it: |p| p.sizes.extend([(Dim::K, 2), (Dim::V, 3)]),
            mend: |p| _ = p.sizes.insert(Dim::V, p.size(Dim::K)),
        },
        Constraint {
            label: "C2",
            text: "chunk_size is a whole number from 1",
            holds: |p| positive(p.number("chunk_size")),
            break_it: |p| _ = p.attrs.insert("chunk_size", Value::Number(0.0)),
            mend: |p| _ = p.attrs.remove("chunk_size"),
        },
        Constraint {
            label: "C3",
            text: "topk is a whole number from 1",
            holds: |p| positive(p.number("topk")),
            break_it: |p| _ = p.attrs.insert("topk", Value::Number(1.5)),
            mend: |p| _ = p.attrs.remove("topk"),
        },
    ],
    independent: dims![B, H],
    states: &[],
    function: function!(moba),
};

fn positive(number: Option<f64>) -> bool {
    number.is_some_and(|n| n >= 1.0 && n.fract() <= 0.0)
}

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn the_better_of_two_chunks_is_seen() {
        // chunks of one token; token 2 prefers token 0 (0 > −1), token 1 has no choice; equal scores where q is 0
        let sizes = "B=1 T=3 H=1 K=1 V=1 chunk_size=1 topk=2";
        let inputs = "q=0,0,1e-300 k=1,-1,5 v=4,8,2";
        check(&SPEC, sizes, inputs, "d_o=1,1,1", "o=4,6,3 d_v=2,0.5,0.5");
        check(&SPEC, sizes, "q=0,0,-1e-300 k=1,-1,5 v=4,8,2", "d_o=1,1,1", "o=4,6,5 d_v=1.5,1,0.5");
    }

    #[test]
    fn equals_go_to_the_first_and_one_is_all() {
        let inputs = "q=0,0,0 k=3,1,5 v=4,8,3";
        let sizes = |topk: u8| format!("B=1 T=3 H=1 K=1 V=1 chunk_size=1 topk={topk}");
        check(&SPEC, &sizes(2), inputs, "", "o=4,6,3.5");
        check(&SPEC, &sizes(3), inputs, "", "o=4,6,5");
        check(&SPEC, &sizes(1), inputs, "", "o=4,6,5");
    }
}
