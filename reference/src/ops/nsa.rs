//! Three softmax attentions side by side: to averages of blocks, to the tokens of chosen blocks, to the last tokens.
//!
//! $$ o_t = g^{\mathrm{cmp}}_t\, A_t(C_t; \bar k, \bar v) + g^{\mathrm{slc}}_t\, A_t(S_t; k, v)
//!        + g^{\mathrm{swa}}_t\, A_t(W_t; k, v), \quad
//!    A_t(J; k, v) = \frac{\sum_{j \in J} e^{s\, q_t^\top k_j} v_j}{\sum_{j \in J} e^{s\, q_t^\top k_j}} $$
//!
//! with $s$ = `scale` and $A_t(\emptyset) = 0$. A sequence is cut into blocks of $b$ = `block_size` tokens; $\bar k_c$ and
//! $\bar v_c$ are the means of block $c$, and $C_t$ are the blocks that end at t or before. $S_t$ are the tokens up to t of
//! the blocks in `block_indices`, which the query heads of a key head share; −1 stands for no block. $W_t$ are the last
//! `window_size` tokens, t included. Without `g_cmp` or `g_swa` there is no such part; without `g_slc` it is 1. Well
//! conditioned, like every average; the choice of blocks is an input and has no derivative.
//!
//! # Errors
//! C1: the query heads are a multiple of the key heads. C2: blocks have a token. C3: the window is a whole number. An
//! index beyond the sequence, or twice for one token.
//!
//! Paper: Yuan et al., *Native Sparse Attention*, 2025, whose compression blocks overlap and are learned, not averages.
//! Upstream: `fla/ops/nsa` of 0.6.0, which chooses the blocks itself where it gets none, has blocks of 64 tokens and no
//! window by default, does not pass `scale` on to the window, and wants 16 or more query heads for a key head, a power of
//! two.

use ndarray::{Array1, Array2, ArrayView2, Axis, Slice};

use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Presence, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn nsa<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (q, k, v, blocks) = (x.matrix("q"), x.matrix("k"), x.matrix("v"), x.matrix("block_indices"));
    let (size, window) = (whole(x, "block_size"), whole(x, "window_size"));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let (k_mean, v_mean) = (means(&k, size), means(&v, size));
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for t in x.asked() {
        let q_t = q.row(t).mapv(|q_i| scale * q_i);
        let mut add = |gate: &str, k: &ArrayView2<'_, F>, v: &ArrayView2<'_, F>, seen: &[usize]| {
            let (g, part) = (x.vector(gate)[t], attend(&q_t, k, v, seen));
            o.row_mut(t).zip_mut_with(&part, |o_c, &part_c| *o_c = *o_c + g * part_c);
        };
        if x.given("g_cmp") {
            add("g_cmp", &k_mean.view(), &v_mean.view(), &(0..(t + 1) / size).collect::<Vec<_>>());
        }
        let chosen = blocks.row(t).into_iter().map(|c| c.value()).filter(|&c| c >= 0.0).map(|c| c as usize);
        let tokens = chosen.flat_map(|c| c * size..(c + 1) * size).filter(|&j| j <= t);
        add("g_slc", &k, &v, &tokens.collect::<Vec<_>>());
        if x.given("g_swa") {
            add("g_swa", &k, &v, &((t + 1).saturating_sub(window)..=t).collect::<Vec<_>>());
        }
    }
    vec![o.into_dyn()]
}

fn whole<F: Real>(x: &Unit<'_, F>, attr: &str) -> usize {
    x.problem.number(attr).map_or(0, |n| n as usize)
}

/// The mean of the rows of every full block; one that is not full ends after every token.
fn means<F: Real>(rows: &ArrayView2<'_, F>, size: usize) -> Array2<F> {
    let mean = |(c, i)| {
        let block = rows.index_axis(Axis(1), i);
        let sum: F = block.slice_axis(Axis(0), Slice::from(c * size..(c + 1) * size)).iter().copied().sum();
        sum / F::from_f64(size as f64)
    };
    Array2::from_shape_fn((rows.nrows() / size, rows.ncols()), mean)
}

/// Softmax attention of a query to these rows.
fn attend<F: Real>(q: &Array1<F>, k: &ArrayView2<'_, F>, v: &ArrayView2<'_, F>, rows: &[usize]) -> Array1<F> {
    if rows.is_empty() {
        return Array1::from_elem(v.ncols(), F::zero());
    }
    let s: Array1<F> = rows.iter().map(|&j| F::dot(q.view(), k.row(j))).collect();
    let largest = F::from_f64(s.iter().fold(f64::NEG_INFINITY, |m, s| m.max(s.value())));
    let p = s.mapv(|s| (s - largest).exp());
    let total: F = p.iter().copied().sum();
    v.select(Axis(0), rows).columns().into_iter().map(|v_col| F::dot(p.view(), v_col) / total).collect()
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "nsa",
    level: Level::Op,
    summary: "o = g_cmp attn(means of blocks) + g_slc attn(chosen blocks) + g_swa attn(window)",
    source: "Yuan et al. 2025 (arXiv 2502.11089)",
    upstream: &["fla.ops.nsa.naive_nsa", "fla.ops.nsa.parallel_nsa"],
    sizes: dims![B, T, H, HQ, K, V, L],
    inputs: &[
        Port::new("q", dims![B, T, HQ, K], Domain::Normal),
        Port::new("k", dims![B, T, H, K], Domain::Normal),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
        Port::new("g_cmp", dims![B, T, HQ], Domain::Fraction).presence(Presence::OrZero),
        Port::new("g_slc", dims![B, T, HQ], Domain::Fraction).presence(Presence::OrOne),
        Port::new("g_swa", dims![B, T, HQ], Domain::Fraction).presence(Presence::OrZero),
        Port::new("block_indices", dims![B, T, H, L], Domain::Blocks(Some("block_size"))).index(),
    ],
    outputs: &[Port::new("o", dims![B, T, HQ, V], Domain::Normal)],
    attrs: &[
        Attr::auto("scale", 0.375, "factor on q; auto is K^-1/2"),
        Attr::number("block_size", 16.0, 2.0, "tokens of a block"),
        Attr::number("window_size", 32.0, 3.0, "tokens of the window, the last one included"),
    ],
    constraints: &[
        Constraint::grouped_queries("C1"),
        Constraint {
            label: "C2",
            text: "block_size is a whole number from 1",
            holds: |p| p.number("block_size").is_some_and(|n| n >= 1.0 && n.fract() <= 0.0),
            break_it: |p| _ = p.attrs.insert("block_size", Value::Number(0.0)),
            mend: |p| _ = p.attrs.remove("block_size"),
        },
        Constraint {
            label: "C3",
            text: "window_size is a whole number from 0",
            holds: |p| p.number("window_size").is_some_and(|n| n >= 0.0 && n.fract() <= 0.0),
            break_it: |p| _ = p.attrs.insert("window_size", Value::Number(1.5)),
            mend: |p| _ = p.attrs.remove("window_size"),
        },
    ],
    independent: dims![B, HQ],
    states: &[],
    function: function!(nsa),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn one_token_is_its_own_block_and_window() {
        let sizes = "B=1 T=1 H=1 HQ=1 K=1 V=1 L=2 block_size=1";
        let inputs = "q=1 k=1 v=6 g_cmp=0.5 g_slc=2 g_swa=3 block_indices=-1,0";
        let gradients = "d_v=5.5 d_g_cmp=6 d_g_slc=6 d_g_swa=6 d_q=0 d_k=0";
        check(&SPEC, sizes, inputs, "d_o=1", &format!("o=33 {gradients}"));
    }

    #[test]
    fn parts_see_what_they_should() {
        // all scores are equal: means of the block of tokens 0 and 1, of chosen block 1 up to each token, of two tokens
        let sizes = "B=1 T=4 H=1 HQ=1 K=1 V=1 L=1 block_size=2 window_size=2";
        let inputs = "q=0,0,0,0 k=1,1,1,1 v=1,3,5,9 block_indices=-1,-1,1,1";
        let gates = |cmp: u8, slc: u8, swa: u8| {
            let gate = |name, g: u8| format!("g_{name}={}", vec![g.to_string(); 4].join(","));
            format!("{inputs} {} {} {}", gate("cmp", cmp), gate("slc", slc), gate("swa", swa))
        };
        check(&SPEC, sizes, &gates(1, 0, 0), "d_o=0,0,1,1", "o=0,2,2,4.5 d_v=0.75,0.75,0.25,0.25");
        check(&SPEC, sizes, &gates(0, 1, 0), "d_o=1,1,1,1", "o=0,0,5,7 d_v=0,0,1.5,0.5");
        check(&SPEC, sizes, &gates(0, 0, 1), "d_o=1,0,0,1", "o=1,2,4,7 d_v=1,0,0.5,0.5");
    }
}
