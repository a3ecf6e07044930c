//! Lightning attention: linear attention with a constant decay for each head and layer.
//!
//! $$ h_t = e^{g_\eta} h_{t-1} + k_t v_t^\top, \qquad o_t = s\, h_t^\top q_t, \qquad
//! g_\eta = -\frac{8 \eta}{H} \left(1 - \frac{\ell}{L}\right) $$
//!
//! with $s$ = `scale`, $\eta = 0, 1, \ldots, H - 1$ the number of the head, $\ell$ = `layer_idx`, $L$ = `num_layers`.
//! Well conditioned: nothing grows but by what is written. Head 0 never decays, whatever the layer, and its absolute
//! rounding error grows with the number of tokens.
//!
//! # Errors
//! C1: $L > 0$ and $0 \le \ell \le L$, so that no state grows by itself.
//!
//! Paper: Qin et al., *TransNormerLLM: A Faster and Better Large Language Model with Improved TransNormer*, 2023, §3.1
//! (the decay of a head and layer, with $H$ heads and $L$ layers); *Lightning Attention-2*, 2024, is the algorithm.
//! Upstream: `fla/ops/lightning_attn` of 0.6.0, which must be given both layer attributes. Only its recurrent form has
//! `reverse`.

use ndarray::Array2;

use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Presence, State, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn lightning_attn<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (q, k, v) = (x.matrix("q"), x.matrix("k"), x.matrix("v"));
    let [layer, layers] = ["layer_idx", "num_layers"].map(|name| x.problem.number(name).unwrap_or(0.0));
    let head = x.index(Dim::H) as f64 / x.problem.size(Dim::H) as f64;
    let decay = F::from_f64(-8.0 * head * (1.0 - layer / layers)).exp();
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let mut h = x.matrix("h0").to_owned();
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for t in 0..x.tokens {
        for (mut h_row, &k_i) in h.rows_mut().into_iter().zip(k.row(t)) {
            for (h_ij, &v_j) in h_row.iter_mut().zip(v.row(t)) {
                *h_ij = (decay * *h_ij).mac(k_i, v_j);
            }
        }
        for (o_j, h_col) in o.row_mut(t).iter_mut().zip(h.columns()) {
            *o_j = scale * F::dot(q.row(t), h_col);
        }
    }
    vec![o.into_dyn(), h.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "lightning_attn",
    level: Level::Op,
    summary: "h = exp(g) h + k vᵀ;  o = scale hᵀ q;  g = −8 head/H (1 − layer_idx/num_layers)",
    source: "Qin et al. 2023 (arXiv 2307.14995), §3.1; Qin et al. 2024 (arXiv 2401.04658)",
    upstream: &["fla.ops.lightning_attn.chunk_lightning_attn", "fla.ops.lightning_attn.fused_recurrent_lightning_attn"],
    sizes: dims![B, T, H, K, V],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::Normal),
        Port::new("k", dims![B, T, H, K], Domain::Normal),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
        Port::new("h0", dims![N, H, K, V], Domain::Normal).single().presence(Presence::OrZero),
    ],
    outputs: &[
        Port::new("o", dims![B, T, H, V], Domain::Normal),
        Port::new("ht", dims![N, H, K, V], Domain::Normal).single(),
    ],
    attrs: &[
        Attr::number("layer_idx", 0.0, 1.0, "the layer, from 0: later ones decay less"),
        Attr::number("num_layers", 1.0, 4.0, "how many layers there are"),
        Attr::auto("scale", 0.375, "factor on q; auto is K^-1/2"),
        Attr::flag("reverse", false, "run each sequence from its last token to its first"),
    ],
    constraints: &[Constraint {
        label: "C1",
        text: "num_layers is positive and layer_idx is between 0 and num_layers",
        holds: |p| match (p.number("layer_idx"), p.number("num_layers")) {
            (Some(layer), Some(layers)) => layers > 0.0 && (0.0..=layers).contains(&layer),
            _ => false,
        },
        break_it: |p| p.attrs.extend([("layer_idx", Value::Number(3.0)), ("num_layers", Value::Number(2.0))]),
        mend: |p| p.attrs.clear(),
    }],
    independent: dims![B, H],
    states: &[State::new("h0", "ht")],
    function: function!(lightning_attn),
};

#[cfg(test)]
mod tests {
    use std::f64::consts::LN_2;

    use super::SPEC;
    use crate::by_hand::check;

    /// The last of two heads halves its state where 8/2 (1 − layer_idx/num_layers) is ln 2.
    fn halving() -> String {
        format!("B=1 H=2 K=1 V=1 scale=1 num_layers=4 layer_idx={}", 4.0 - LN_2)
    }

    #[test]
    fn the_first_head_forgets_nothing() {
        check(&SPEC, &format!("{} T=1", halving()), "q=1,1 k=1,1 v=1,1 h0=8,8", "", "o=9,5 ht=9,5");
        let last = "B=1 T=1 H=2 K=1 V=1 scale=1 layer_idx=3 num_layers=3";
        check(&SPEC, last, "q=1,1 k=1,1 v=1,1 h0=8,8", "", "o=9,9 ht=9,9");
    }

    #[test]
    fn two_tokens_and_their_gradients() {
        // of the second head: h = 4/2 + 1·2, then 4/2 + 3·1; d_h is 2 at both tokens
        check(
            &SPEC,
            &format!("{} T=2", halving()),
            "q=1,1,1,2 k=1,1,1,3 v=1,2,1,1 h0=0,4",
            "d_o=0,1,0,1",
            "o=1,4,2,10 ht=2,5 d_q=0,4,0,5 d_k=0,4,0,2 d_v=0,2,0,6 d_h0=0,1",
        );
    }
}
