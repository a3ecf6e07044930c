//! A mixture of memories: every token is written to, and read from, the few of M memories that a router picks for it.
//!
//! $$ s = \operatorname{softmax}(W_{gate} x), \qquad w_m = \frac{s_m}{\sum_{n \in S} s_n} \text{ for } m \in S, \qquad
//! S = \operatorname{top}_k s $$
//! $$ y_t = \sum_{m \in S_t} w_{tm} M_m(x)_t + M_{shared}(x)_t, \qquad
//! o = W_o \big( \operatorname{RMSNorm}(y) \odot \operatorname{swish}(W_g x) \big) $$
//!
//! where memory m sees the tokens that chose it, in their order, as if there were no others: on them it is a short
//! convolution with swish of $W_q x, W^m_k x, W^m_v x$ and a gated delta rule on normalised q and k with
//! $\beta = \sigma(W^m_b x)$ and $g = -e^{A} \operatorname{softplus}(W^m_a x + b_\Delta)$. q, the convolutions, A =
//! `A_log` and $b_\Delta$ = `dt_bias` belong to all memories. With `shared_mem` one more memory sees every token; with
//! `single_kv_proj` its k, v, b and a are those of all. Each memory has states of its own.
//!
//! The choice jumps where two scores are equal; elsewhere it has no derivative, and the weights w have theirs.
//!
//! # Errors
//! C1: `topk` is from 1 to M. C2: `shared_proj`, that there are projections for all memories, is `shared_mem` or
//! `single_kv_proj`.
//!
//! Paper: Du et al., *MoM: Linear Sequence Modeling with Mixture-of-Memories*, 2025.
//! Upstream: `MomAttention` of `fla/layers/mom.py` in 0.6.0 in evaluation: `num_memories` is M, `head_dim` K,
//! `expand_v` V/K, `conv_size` W, the presence of convolution biases `conv_bias`; the weights of the M memories' lists
//! of projections are one after the other, `k_proj.*.weight` for all `k_proj.{m}.weight`. In training its convolution
//! runs over the row of all memories of all sequences, from the end of one into the beginning of the next. It sorts
//! tokens by memory with a sort that need not keep their order. Logits of the router are its fourth output.
//! `use_short_conv` must be true; `capacity`, `mode` and `layer_idx` do not change values.

use ndarray::{Array2, Array3, ArrayD, ArrayView1, ArrayView2, Axis, Ix2};

use crate::algebra::{linear, plus, rank, swish};
use crate::call::Call;
use crate::mixer::{filter, project};
use crate::modules::rms_norm::normalise;
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Presence, State, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// States in the order of the outputs.
const STATES: [&str; 4] = ["h", "q_conv", "k_conv", "v_conv"];

fn mom_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let hidden = x.matrix("x");
    let logits: Array2<F> = rank(linear(&hidden, x.tensor("gate.weight")));
    let topk = x.problem.number("topk").map_or(0, |k| k as usize);
    let routes: Vec<Vec<(usize, F)>> = logits.rows().into_iter().map(|row| route(row, topk)).collect();
    let mut y = Array3::from_elem((x.tokens, x.problem.size(Dim::H), x.problem.size(Dim::V)), F::zero());
    let mut ends = STATES.map(|name| x.tensor(&format!("{name}0")).to_owned());
    for m in 0..logits.ncols() {
        let chosen = |t: &usize| routes[*t].iter().find(|(n, _)| *n == m).map(|&(_, weight)| (*t, weight));
        let seen: Vec<(usize, F)> = (0..x.tokens).collect::<Vec<_>>().iter().filter_map(chosen).collect();
        let tokens: Vec<usize> = seen.iter().map(|&(t, _)| t).collect();
        let own = if x.problem.flag("single_kv_proj") { None } else { Some(m) };
        let starts = ends.clone().map(|end| end.index_axis_move(Axis(0), m));
        let (o, after) = memory(x, hidden.select(Axis(0), &tokens).view(), own, starts);
        for (end, after) in ends.iter_mut().zip(after) {
            end.index_axis_mut(Axis(0), m).assign(&after);
        }
        for (&(t, weight), o) in seen.iter().zip(o.outer_iter()) {
            y.index_axis_mut(Axis(0), t).zip_mut_with(&o, |y, &o| *y = *y + weight * o);
        }
    }
    let mut shared = STATES.map(|name| x.tensor(&format!("shared_{name}0")).to_owned());
    if x.problem.flag("shared_mem") {
        let (o, after) = memory(x, hidden, None, shared);
        (y, shared) = (y + o, after);
    }
    let mut o = normalise(&y, Some(x.tensor("o_norm.weight")), x.problem.number("norm_eps").unwrap_or(EPS));
    if x.problem.flag("use_output_gate") {
        o = o * project(x, hidden, "g_proj.weight").mapv(swish);
    }
    let outputs = [linear(&o, x.tensor("o_proj.weight")), logits.into_dyn()];
    outputs.into_iter().chain(ends).chain(shared).collect()
}

/// The memories of one token and their weights, which add up to 1.
fn route<F: Real>(logits: ArrayView1<'_, F>, topk: usize) -> Vec<(usize, F)> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].value().total_cmp(&logits[a].value()));
    order.truncate(topk);
    let Some(largest) = order.first().map(|&m| F::from_f64(logits[m].value())) else { return Vec::new() };
    let weights: Vec<F> = order.iter().map(|&m| (logits[m] - largest).exp()).collect();
    let total: F = weights.iter().copied().sum();
    order.into_iter().zip(weights).map(|(m, weight)| (m, weight / total)).collect()
}

/// One memory on the tokens that it sees, with the projections of its own number or of all, and the states after it.
fn memory<F: Real>(
    x: &Unit<'_, F>,
    seen: ArrayView2<'_, F>,
    own: Option<usize>,
    [h, q_conv, k_conv, v_conv]: [ArrayD<F>; 4],
) -> (Array3<F>, [ArrayD<F>; 4]) {
    let weight = |name: &str| match own {
        Some(m) => x.tensor(&format!("{name}_proj.*.weight")).index_axis_move(Axis(0), m).to_owned(),
        None => x.tensor(&format!("shared_{name}.weight")).to_owned(),
    };
    let convolved = |projected: ArrayD<F>, name: &str, state: ArrayD<F>| {
        let (weight, bias) = (x.tensor(&format!("{name}_conv1d.weight")), x.tensor(&format!("{name}_conv1d.bias")));
        let (y, end) = filter(&rank(projected), weight, bias, state);
        (y.mapv(swish), end)
    };
    let (q, q_conv) = convolved(linear(&seen, x.tensor("q_proj.weight")), "q", q_conv);
    let (k, k_conv) = convolved(linear(&seen, weight("k").view()), "k", k_conv);
    let (v, v_conv) = convolved(linear(&seen, weight("v").view()), "v", v_conv);
    let beta = rank::<F, Ix2>(linear(&seen, weight("b").view())).mapv(F::sigmoid);
    let step = plus::<F, Ix2>(rank(linear(&seen, weight("a").view())), x.tensor("dt_bias")).mapv(F::softplus);
    let mut answers = Call::of(&ops::gated_delta_rule::SPEC)
        .with("q", q)
        .with("k", k)
        .with("v", v)
        .with("g", step * x.vector("A_log").mapv(|a| -a.exp()))
        .with("beta", beta)
        .with("h0", h)
        .flag("qk_l2norm", true)
        .run();
    (answers.cube("o"), [answers.take("ht"), q_conv, k_conv, v_conv])
}

const EPS: f64 = 1e-5;

fn shares(p: &crate::problem::Problem) -> bool {
    p.flag("shared_mem") || p.flag("single_kv_proj")
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "mom_layer",
    level: Level::Layer,
    summary: "o_proj(rms_norm(Σ over the topk memories of w gated_delta_rule(of the tokens that chose it)) * swish(g))",
    source: "Du et al. 2025 (arXiv 2502.13685)",
    upstream: &["fla.layers.MomAttention"],
    sizes: dims![B, T, D, H, K, V, M, W],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("A_log", dims![H], Domain::LogRate).single(),
        Port::new("dt_bias", dims![H], Domain::Uniform(-4.0, 0.0)).single(),
        Port::weight("q_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("gate.weight", dims![M, D], &[1, 1]),
        Port::weight("shared_k.weight", dims![H, K, D], &[2, 1]).when("shared_proj"),
        Port::weight("shared_v.weight", dims![H, V, D], &[2, 1]).when("shared_proj"),
        Port::weight("shared_b.weight", dims![H, D], &[1, 1]).when("shared_proj"),
        Port::weight("shared_a.weight", dims![H, D], &[1, 1]).when("shared_proj"),
        Port::weight("k_proj.*.weight", dims![M, H, K, D], &[3, 1]).unless("single_kv_proj"),
        Port::weight("v_proj.*.weight", dims![M, H, V, D], &[3, 1]).unless("single_kv_proj"),
        Port::weight("b_proj.*.weight", dims![M, H, D], &[2, 1]).unless("single_kv_proj"),
        Port::weight("a_proj.*.weight", dims![M, H, D], &[2, 1]).unless("single_kv_proj"),
        Port::weight("q_conv1d.weight", dims![H, K, W], &[2, 0, 1]),
        Port::bias("q_conv1d.bias", dims![H, K], &[2]),
        Port::weight("k_conv1d.weight", dims![H, K, W], &[2, 0, 1]),
        Port::bias("k_conv1d.bias", dims![H, K], &[2]),
        Port::weight("v_conv1d.weight", dims![H, V, W], &[2, 0, 1]),
        Port::bias("v_conv1d.bias", dims![H, V], &[2]),
        Port::weight("g_proj.weight", dims![H, V, D], &[2, 1]).when("use_output_gate"),
        Port::scale("o_norm.weight", dims![V]),
        Port::weight("o_proj.weight", dims![D, H, V], &[1, 2]),
        Port::new("h0", dims![N, M, H, K, V], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("q_conv0", dims![N, M, H, K, W], Domain::Normal).presence(Presence::OrZero),
        Port::new("k_conv0", dims![N, M, H, K, W], Domain::Normal).presence(Presence::OrZero),
        Port::new("v_conv0", dims![N, M, H, V, W], Domain::Normal).presence(Presence::OrZero),
        Port::new("shared_h0", dims![N, H, K, V], Domain::Normal)
            .single()
            .presence(Presence::OrZero)
            .when("shared_mem"),
        Port::new("shared_q_conv0", dims![N, H, K, W], Domain::Normal).presence(Presence::OrZero).when("shared_mem"),
        Port::new("shared_k_conv0", dims![N, H, K, W], Domain::Normal).presence(Presence::OrZero).when("shared_mem"),
        Port::new("shared_v_conv0", dims![N, H, V, W], Domain::Normal).presence(Presence::OrZero).when("shared_mem"),
    ],
    outputs: &[
        Port::new("o", dims![B, T, D], Domain::Normal),
        Port::new("router_logits", dims![B, T, M], Domain::Normal),
        Port::new("ht", dims![N, M, H, K, V], Domain::Normal).single(),
        Port::new("q_convt", dims![N, M, H, K, W], Domain::Normal),
        Port::new("k_convt", dims![N, M, H, K, W], Domain::Normal),
        Port::new("v_convt", dims![N, M, H, V, W], Domain::Normal),
        Port::new("shared_ht", dims![N, H, K, V], Domain::Normal).single().when("shared_mem"),
        Port::new("shared_q_convt", dims![N, H, K, W], Domain::Normal).when("shared_mem"),
        Port::new("shared_k_convt", dims![N, H, K, W], Domain::Normal).when("shared_mem"),
        Port::new("shared_v_convt", dims![N, H, V, W], Domain::Normal).when("shared_mem"),
    ],
    attrs: &[
        Attr::number("topk", 2.0, 1.0, "memories of each token"),
        Attr::flag("use_output_gate", true, "gate the normed outputs"),
        Attr::number("norm_eps", EPS, 0.25, "added to the mean of squares"),
        Attr::flag("shared_mem", false, "one more memory sees every token"),
        Attr::flag("shared_proj", false, "there are projections for all memories"),
        Attr::flag("single_kv_proj", false, "the memories have no projections of their own"),
    ],
    constraints: &[
        Constraint {
            label: "C1",
            text: "topk is a whole number from 1 to M",
            holds: |p| {
                p.number("topk").is_some_and(|k| k >= 1.0 && k <= p.size(Dim::M) as f64 && k.fract().abs() <= 0.0)
            },
            break_it: |p| _ = p.attrs.insert("topk", Value::Number(0.0)),
            mend: |p| _ = p.sizes.insert(Dim::M, p.size(Dim::M).max(2)),
        },
        Constraint {
            label: "C2",
            text: "shared_proj is shared_mem or single_kv_proj",
            holds: |p| p.flag("shared_proj") == shares(p),
            break_it: |p| _ = p.attrs.insert("shared_proj", Value::Flag(!shares(p))),
            mend: |p| match shares(p) {
                true => _ = p.attrs.insert("shared_proj", Value::Flag(true)),
                false => _ = p.attrs.remove("shared_proj"),
            },
        },
    ],
    independent: dims![B],
    states: &[
        State::new("h0", "ht"),
        State::new("q_conv0", "q_convt"),
        State::new("k_conv0", "k_convt"),
        State::new("v_conv0", "v_convt"),
        State::new("shared_h0", "shared_ht"),
        State::new("shared_q_conv0", "shared_q_convt"),
        State::new("shared_k_conv0", "shared_k_convt"),
        State::new("shared_v_conv0", "shared_v_convt"),
    ],
    function: function!(mom_layer),
};
