//! Cyclic flow attention with projections: a ring of slots that turns by a clock of the token's own.
//!
//! $$ q, k, v = \operatorname{conv}(W_q x, W_k x, W_v x), \quad \beta = \sigma(W_b x + b_b), \quad
//! \delta = \sigma(W_d \bar x + b_d), \quad g = -e^{A} \operatorname{softplus}(W_a x + b_\Delta) $$
//! $$ o = W_o \Big( \operatorname{RMSNorm}\big(C \cdot \operatorname{CyFA}(q, k, v, g, \delta, \beta; R)\big) \odot
//! \sigma(W_2 W_1 x + b) \Big) $$
//!
//! with A = `A_log`, $b_\Delta$ = `dt_bias`, R = `readout` and C its rows. $\bar x$ = `x_clock` is x itself, without
//! its gradient: the clock's own weights learn, what it reads does not, so it is an input apart, to which no gradient
//! belongs. The convolutions have no activation, and q and k pass the RMS norms of the op. Conditioned as the op.
//!
//! # Errors
//! C1: C is odd. C2: M is C + 1.
//!
//! Paper: upstream names *CyFA: Linear Sequence Modeling with Relative-Time-Partitioned Memory*, 2026; the code is that
//! of Chen, *CyclicFlowAttention*, 2026.
//! Upstream: `CyclicFlowAttention` of `fla/layers/cyfa.py` in 0.6.0: `num_heads` is H, `head_dim` · `expand_k` K and ·
//! `expand_v` V, `num_slots` M, `conv_size` W, the presence of biases of convolutions `conv_bias`. The first bottleneck
//! of the gate has the rank V. `mode`, `checkpoint_level` and `layer_idx` do not change values.

use ndarray::{Array2, Array3, Ix2};

use crate::algebra::{affine, linear, plus, rank};
use crate::call::Call;
use crate::mixer::stream;
use crate::modules::rms_norm_gated::gated;
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn cyfa_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let hidden = x.matrix("x");
    let [(q, q_conv), (k, k_conv), (v, v_conv)] = ["q", "k", "v"].map(|name| stream(x, hidden, name));
    let biased = |input: &str, name: &str| -> Array2<F> {
        let [weight, bias] = ["weight", "bias"].map(|part| x.tensor(&format!("{name}_proj.{part}")));
        rank(affine(&x.matrix(input), weight, bias))
    };
    let step: Array2<F> = plus(rank(linear(&hidden, x.tensor("a_proj.weight"))), x.tensor("dt_bias"));
    let rates = x.vector("A_log").mapv(|a| -a.exp());
    let eps = x.problem.number("norm_eps").unwrap_or(EPS);
    let mut answers = Call::of(&ops::cyfa::SPEC)
        .with("q", q)
        .with("k", k)
        .with("v", v)
        .with("g", step.mapv(F::softplus) * rates)
        .with("delta", biased("x_clock", "d").mapv(F::sigmoid))
        .with("beta", biased("x", "b").mapv(F::sigmoid))
        .with("readout", x.cube("readout"))
        .with("q_norm_weight", x.vector("q_norm.weight"))
        .with("k_norm_weight", x.vector("k_norm.weight"))
        .with("hk0", x.cube("hk0"))
        .with("hv0", x.cube("hv0"))
        .with("lambda0", x.vector("lambda0"))
        .number("q_norm_eps", eps)
        .number("k_norm_eps", eps)
        .run();
    let slots = F::from_f64(x.problem.size(Dim::C) as f64);
    let o = answers.cube("o").mapv(|o| o * slots);
    let inner: Array2<F> = rank(linear(&hidden, x.tensor("g_proj.0.weight")));
    let gate: Array3<F> = rank(affine(&inner, x.tensor("g_proj.1.weight"), x.tensor("g_proj.1.bias")));
    let o = gated(&o, &gate, Some(x.tensor("o_norm.weight")), eps, F::sigmoid);
    let o: Array2<F> = rank::<F, Ix2>(linear(&o, x.tensor("o_proj.weight")));
    let [hk, hv, lambda] = ["hkt", "hvt", "lambdat"].map(|name| answers.take(name));
    vec![o.into_dyn(), hk, hv, lambda, q_conv, k_conv, v_conv]
}

const EPS: f64 = 1e-5;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "cyfa_layer",
    level: Level::Layer,
    summary: "o_proj(rms_norm(C cyfa(conv q, k, v, −exp(A_log) softplus(a), σ(d), σ(b))) * σ(bottleneck x))",
    source: "Chen 2026 (arXiv 2609.36259)",
    upstream: &["fla.layers.CyclicFlowAttention"],
    sizes: dims![B, T, D, H, K, V, C, M, W],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("x_clock", dims![B, T, D], Domain::Normal).constant(),
        Port::new("dt_bias", dims![H], Domain::Uniform(-4.0, 0.0)).single(),
        Port::new("A_log", dims![H], Domain::LogRate).single(),
        Port::new("readout", dims![H, C, C], Domain::UnitKey).single(),
        Port::weight("q_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("v_proj.weight", dims![H, V, D], &[2, 1]),
        Port::weight("a_proj.weight", dims![H, D], &[1, 1]),
        Port::weight("d_proj.weight", dims![H, D], &[1, 1]),
        Port::new("d_proj.bias", dims![H], Domain::Normal),
        Port::weight("b_proj.weight", dims![H, D], &[1, 1]),
        Port::new("b_proj.bias", dims![H], Domain::Normal),
        Port::scale("q_norm.weight", dims![K]).single(),
        Port::scale("k_norm.weight", dims![K]).single(),
        Port::weight("q_conv1d.weight", dims![H, K, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("q_conv1d.bias", dims![H, K], &[2]).when("use_short_conv"),
        Port::weight("k_conv1d.weight", dims![H, K, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("k_conv1d.bias", dims![H, K], &[2]).when("use_short_conv"),
        Port::weight("v_conv1d.weight", dims![H, V, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("v_conv1d.bias", dims![H, V], &[2]).when("use_short_conv"),
        Port::weight("g_proj.0.weight", dims![V, D], &[1, 1]),
        Port::weight("g_proj.1.weight", dims![H, V, V], &[2, 1]),
        Port::new("g_proj.1.bias", dims![H, V], Domain::Normal).merged(&[2]),
        Port::scale("o_norm.weight", dims![V]),
        Port::weight("o_proj.weight", dims![D, H, V], &[1, 2]),
        Port::new("hk0", dims![N, H, K, M], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("hv0", dims![N, H, M, V], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("lambda0", dims![N, H], Domain::Uniform(0.0, 10.0)).single().presence(Presence::OrZero),
        Port::new("q_conv0", dims![N, H, K, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
        Port::new("k_conv0", dims![N, H, K, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
        Port::new("v_conv0", dims![N, H, V, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
    ],
    outputs: &[
        Port::new("o", dims![B, T, D], Domain::Normal),
        Port::new("hkt", dims![N, H, K, M], Domain::Normal).single(),
        Port::new("hvt", dims![N, H, M, V], Domain::Normal).single(),
        Port::new("lambdat", dims![N, H], Domain::Normal).single(),
        Port::new("q_convt", dims![N, H, K, W], Domain::Normal).when("use_short_conv"),
        Port::new("k_convt", dims![N, H, K, W], Domain::Normal).when("use_short_conv"),
        Port::new("v_convt", dims![N, H, V, W], Domain::Normal).when("use_short_conv"),
    ],
    attrs: &[
        Attr::flag("use_short_conv", true, "convolve q, k and v"),
        Attr::number("norm_eps", EPS, 0.25, "added to the means of squares"),
    ],
    constraints: &[
        Constraint {
            label: "C1",
            text: "C is odd",
            holds: |p| !p.size(Dim::C).is_multiple_of(2),
            break_it: |p| _ = p.sizes.insert(Dim::C, 2),
            mend: |p| _ = p.sizes.insert(Dim::C, p.size(Dim::C) + 1),
        },
        Constraint {
            label: "C2",
            text: "M is C + 1",
            holds: |p| p.size(Dim::M) == p.size(Dim::C) + 1,
            break_it: |p| p.sizes.extend([(Dim::C, 3), (Dim::M, 3)]),
            mend: |p| _ = p.sizes.insert(Dim::M, p.size(Dim::C) + 1),
        },
    ],
    independent: dims![B],
    states: &[
        State::new("hk0", "hkt"),
        State::new("hv0", "hvt"),
        State::elementwise("lambda0", "lambdat"),
        State::new("q_conv0", "q_convt"),
        State::new("k_conv0", "k_convt"),
        State::new("v_conv0", "v_convt"),
    ],
    function: function!(cyfa_layer),
};
