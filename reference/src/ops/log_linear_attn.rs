//! Linear attention whose memory keeps blocks of the past apart, one for each level of a Fenwick tree.
//!
//! $$ o_t = s \sum_{j \le t} e^{g_{j+1} + \dots + g_t} \lambda_t^{\ell(t, j)} (q_t \cdot k_j)\, v_j $$
//!
//! with $s$ = `scale`, $\lambda$ = `level_scales` and $\ell(t, t) = 0$. The ones among the binary digits of t, counted
//! from 0, cut the tokens before it into blocks, the largest first; $\ell$ is 1 for a block of one token, 2 for two, 3
//! for four. As a recurrence: every level decays; the lowest levels, one more than t ends in zeros, merge into the one
//! above them; and level 0 is $k_t v_t^\top$. Well conditioned for $g \le 0$.
//!
//! # Errors
//! C1: the value heads are a multiple of the key heads. C2: levels for every token of a sequence; more are never read.
//!
//! Paper: Guo et al., *Log-Linear Attention*, 2025, with scalar gates.
//! Upstream: `fla/ops/log_linear_attn` of 0.6.0, whose state is an object with buffered tokens and cannot be resumed
//! from another's.

use ndarray::Array2;

use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn log_linear_attn<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (q, k, v, g) = (x.matrix("q"), x.matrix("k"), x.matrix("v"), x.vector("g"));
    let level_scales = x.matrix("level_scales");
    let scale = F::from_f64(x.problem.number("scale").unwrap_or(1.0));
    let mut levels: Vec<Option<Array2<F>>> = vec![None; level_scales.ncols()];
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for t in 0..x.tokens {
        let decay = g[t].exp();
        for h in levels.iter_mut().flatten() {
            h.mapv_inplace(|h_ij| decay * h_ij);
        }
        if t > 0 {
            let level = 1 + t.trailing_zeros() as usize;
            levels[level] = levels[..level].iter_mut().filter_map(Option::take).reduce(|sum, h| sum + h);
        }
        let written = |(i, j)| F::zero().mac(k[[t, i]], v[[t, j]]);
        levels[0] = Some(Array2::from_shape_fn((k.ncols(), v.ncols()), written));
        for (h, &weight) in levels.iter().zip(level_scales.row(t)) {
            let Some(h) = h else { continue };
            let read = q.row(t).mapv(|q_i| weight * q_i);
            for (o_j, h_col) in o.row_mut(t).iter_mut().zip(h.columns()) {
                *o_j = *o_j + scale * F::dot(read.view(), h_col);
            }
        }
    }
    vec![o.into_dyn()]
}

/// The levels that as many tokens fill: ⌈log₂ T⌉ + 1.
fn needed(tokens: usize) -> usize {
    1 + (usize::BITS - tokens.saturating_sub(1).leading_zeros()) as usize
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "log_linear_attn",
    level: Level::Op,
    summary: "o = scale Σⱼ exp(g of j+1…t) λ[level(t, j)] (q·kⱼ) vⱼ, levels of a Fenwick tree",
    source: "Guo et al. 2025 (arXiv 2506.04761)",
    upstream: &["fla.ops.log_linear_attn.chunk_log_linear_attn"],
    sizes: dims![B, T, H, HV, K, V, L],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::Normal),
        Port::new("k", dims![B, T, H, K], Domain::Normal),
        Port::new("v", dims![B, T, HV, V], Domain::Normal),
        Port::new("g", dims![B, T, HV], Domain::LogDecay).single(),
        Port::new("level_scales", dims![B, T, HV, L], Domain::Normal),
    ],
    outputs: &[Port::new("o", dims![B, T, HV, V], Domain::Normal)],
    attrs: &[Attr::number("scale", 1.0, 0.375, "factor on q")],
    constraints: &[
        Constraint::grouped_values("C1"),
        Constraint {
            label: "C2",
            text: "L is at least ceil(log2 T) + 1, T being the tokens of the longest sequence",
            holds: |p| p.size(Dim::L) >= needed(p.longest()),
            // two tokens need two levels
            break_it: |p| {
                p.sequences = None;
                p.sizes.extend([(Dim::T, 2), (Dim::L, 1)]);
            },
            mend: |p| _ = p.sizes.insert(Dim::L, needed(p.longest())),
        },
    ],
    independent: dims![B, HV],
    states: &[],
    function: function!(log_linear_attn),
};

#[cfg(test)]
mod tests {
    use super::{SPEC, needed};
    use crate::by_hand::{HALF, check};

    #[test]
    fn the_last_of_five_tokens_looks_at_itself_and_at_four_together() {
        // weights of the tokens by level, with no decay; token 4 is 100 in binary
        check(
            &SPEC,
            "B=1 T=5 H=1 HV=1 K=1 V=1 L=4",
            "q=1,1,1,1,1 k=1,1,1,1,1 v=1,2,4,8,16 g=0,0,0,0,0 \
             level_scales=1,0,0,0,1,10,0,0,1,10,100,0,1,10,100,0,1,10,100,1000",
            "",
            "o=1,12,304,348,15016",
        );
    }

    #[test]
    fn three_tokens_and_their_gradients() {
        // what token 2 reads has decayed: (8/2 + 4)/2 = 4 on level 2, and 2 on level 0
        check(
            &SPEC,
            "B=1 T=3 H=1 HV=1 K=1 V=1 L=3",
            &format!("q=1,1,2 k=1,1,1 v=8,4,2 g=0,{HALF},{HALF} level_scales=1,1,1,1,1,1,5,7,3"),
            "d_o=0,0,1",
            "o=8,8,44 d_q=0,0,22 d_k=12,12,20 d_v=1.5,3,10 d_g=0,12,24 d_level_scales=0,0,0,0,0,0,4,0,8",
        );
    }

    #[test]
    fn levels_for_so_many_tokens() {
        let tokens = [0, 1, 2, 3, 4, 5, 8, 9, 64, 65];
        assert_eq!(tokens.map(needed), [1, 1, 2, 3, 3, 4, 4, 5, 7, 8]);
    }
}
