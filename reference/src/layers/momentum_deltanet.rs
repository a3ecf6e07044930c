//! Momentum DeltaNet: the delta rule with heavy-ball momentum, with projections.
//!
//! $$ q', k = \phi(\operatorname{conv}(W x)), \quad v = \operatorname{swish}(\operatorname{conv}(W_v x)), \quad
//! q = q' - e^{D} k $$
//! $$ \eta = 1 + \tanh(W_e x / \tau), \quad y = \eta\, e^{f}, \quad
//! \beta = \tfrac{y^2}{1 + y^2}\, \sigma(W_b x), \quad
//! g = -\ln(1 + y^2) - e^{A} \ln(1 + e^{W_a x + a}), \quad \mu = -e^{M} \ln(1 + e^{W_m x + m}) $$
//! $$ o = \operatorname{MomentumDeltaRule}(\hat q, \hat k, v, g, \mu, \hat p = \hat k, \beta, \eta), \qquad
//! z = W_o \big( \operatorname{RMSNorm}(o) \odot \operatorname{swish}(W_g x) \big) $$
//!
//! with $D$, $f$, $A$, $M$ = `D_log`, `log_factor`, `A_log`, `Mu_log` of the key head, $a$, $m$ = `dt_bias`,
//! `mu_bias` of the value head, $\tau = \sqrt{D / \texttt{tau\_factor}}$ with D the width of the model, φ =
//! `qk_activation` (`elu` is 1 + ELU) and μ not below `min_log_mu`. A key head serves HV/H value heads. The hats are
//! unit length; with `qk_norm` = `sum` they are nothing, and q′ and k are over the sums of their magnitudes instead.
//! `allow_neg_eigval` doubles β; without `use_beta` its sigmoid is 1.
//!
//! The decay and β share an angle: $\beta \le \sin^2 \theta$ and $e^{g} \le \cos^2 \theta$ with $\tan \theta = y$. So
//! $e^{g} \beta \eta \le \tfrac12$, which is stable whatever μ is, and with β doubled too; without `use_p_times_alpha`
//! $\beta \eta$ may exceed what is stable, and states may grow.
//!
//! # Errors
//! C1: HV is a multiple of H. C2: `tau_factor` is positive.
//!
//! Paper: *Momentum DeltaNet* (arXiv 2605.05838).
//! Upstream: `MomentumDeltaNet` of `fla/layers/momentum_deltanet.py` in 0.6.0: `num_heads` is H, `num_v_heads` HV,
//! `expand_k` and `expand_v` are K and V over `head_dim`; minus infinity is `min_log_mu=None`; the states are one
//! tensor `[2, N, HV, K, V]`. `d_model` is another name of `hidden_size`; `mode` and `layer_idx` do not change
//! values; absent biases of the convolutions are `conv_bias=False`. It refuses packed sequences, and more than 64
//! tokens in f32.

use ndarray::{Array2, Ix2};

use crate::algebra::{linear, rank, swish, tanh};
use crate::call::Call;
use crate::mixer::{NORM_EPS, activation, head_decay, output_gate, qkv, read_out, spread, sum_normalise};
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Presence, State, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn momentum_deltanet_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let hidden = x.matrix("x");
    let each = x.problem.size(Dim::HV) / x.problem.size(Dim::H);
    let ([q, k, v], [q_conv, k_conv, v_conv]) = qkv(x, hidden, activation(x.problem.word("qk_activation")));
    let sum = x.problem.word("qk_norm") == "sum";
    let [mut q, k] = [q, k].map(|keys| if sum { sum_normalise(keys) } else { keys });
    if x.problem.flag("use_output_correction") {
        let factors = x.vector("D_log").mapv(F::exp);
        q.indexed_iter_mut().for_each(|((t, h, i), q)| *q = *q - factors[h] * k[[t, h, i]]);
    }
    let (q, k) = (spread(&q, 1, each), spread(&k, 1, each));
    let Steps { beta, eta, g, log_mu } = steps(x, each);
    let mut answers = Call::of(&ops::momentum_delta_rule::SPEC)
        .with("q", q)
        .with("k", k.view())
        .with("v", v)
        .with("g", g)
        .with("log_mu", log_mu)
        .with("p", k.view())
        .with("beta", beta)
        .with("eta", eta)
        .with("h0", x.cube("h0"))
        .with("m0", x.cube("m0"))
        .flag("qk_l2norm", !sum)
        .flag("p_times_alpha", x.problem.flag("use_p_times_alpha"))
        .run();
    let gate = x.problem.flag("use_gate").then(|| output_gate(x, hidden, swish));
    let o = read_out(x, &answers.cube("o"), gate);
    vec![o, answers.take("ht"), answers.take("mt"), q_conv, k_conv, v_conv]
}

/// What a value head does at each token, `[T, HV]`: write strength, step size, log decays of the state and of its
/// momentum.
struct Steps<F> {
    beta: Array2<F>,
    eta: Array2<F>,
    g: Array2<F>,
    log_mu: Array2<F>,
}

fn steps<F: Real>(x: &Unit<'_, F>, each: usize) -> Steps<F> {
    let hidden = x.matrix("x");
    let project = |weight: &str| rank::<F, Ix2>(linear(&hidden, x.tensor(weight)));
    let factor = x.problem.number("tau_factor").unwrap_or(TAU_FACTOR);
    let tau = F::from_f64((x.problem.size(Dim::D) as f64 / factor).sqrt());
    let eta = project("e_proj.weight").mapv(|e| F::one() + tanh(e / tau));
    // tan² θ
    let ratio = spread(&x.vector("log_factor").mapv(F::exp), 0, each) * &eta;
    let ratio = ratio.mapv(|y| y * y);
    let all = if x.problem.flag("allow_neg_eigval") { 2.0 } else { 1.0 };
    let mut beta = ratio.mapv(|r| F::from_f64(all) * (r / (F::one() + r)));
    if x.problem.flag("use_beta") {
        beta = beta * project("b_proj.weight").mapv(F::sigmoid);
    }
    let g = head_decay(x, hidden, ["a_proj.weight", "A_log", "dt_bias"]) - ratio.mapv(F::ln_1p);
    let least = x.problem.number("min_log_mu").unwrap_or(MIN_LOG_MU);
    let log_mu = head_decay(x, hidden, ["m_proj.weight", "Mu_log", "mu_bias"]);
    let log_mu = log_mu.mapv(|mu| if mu.value() < least { F::from_f64(least) } else { mu });
    Steps { beta, eta, g, log_mu }
}

const MIN_LOG_MU: f64 = -2.0;
const TAU_FACTOR: f64 = 1.0;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "momentum_deltanet_layer",
    level: Level::Layer,
    summary: "o_proj(rms_norm(momentum_delta_rule(q − exp(D_log) k, k, v, g, μ, β, η)) * swish(g_proj x))",
    source: "Momentum DeltaNet (arXiv 2605.05838)",
    upstream: &["fla.layers.MomentumDeltaNet"],
    sizes: dims![B, T, D, H, HV, K, V, W],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("A_log", dims![H], Domain::LogRate).single(),
        Port::new("dt_bias", dims![HV], Domain::Uniform(-5.0, 0.0)).single(),
        Port::new("mu_bias", dims![HV], Domain::Uniform(-5.0, 0.0)).single(),
        Port::new("Mu_log", dims![H], Domain::LogRate).single(),
        Port::new("log_factor", dims![H], Domain::Uniform(-2.0, 1.0)).single(),
        Port::new("D_log", dims![H], Domain::Uniform(-3.0, 0.0)).single().when("use_output_correction"),
        Port::weight("q_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("v_proj.weight", dims![HV, V, D], &[2, 1]),
        Port::weight("b_proj.weight", dims![HV, D], &[]).when("use_beta"),
        Port::weight("a_proj.weight", dims![HV, D], &[]),
        Port::weight("m_proj.weight", dims![HV, D], &[]),
        Port::weight("e_proj.weight", dims![HV, D], &[]),
        Port::weight("q_conv1d.weight", dims![H, K, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("q_conv1d.bias", dims![H, K], &[2]).when("use_short_conv"),
        Port::weight("k_conv1d.weight", dims![H, K, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("k_conv1d.bias", dims![H, K], &[2]).when("use_short_conv"),
        Port::weight("v_conv1d.weight", dims![HV, V, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("v_conv1d.bias", dims![HV, V], &[2]).when("use_short_conv"),
        Port::weight("g_proj.weight", dims![HV, V, D], &[2, 1]).when("use_gate"),
        Port::scale("o_norm.weight", dims![V]),
        Port::weight("o_proj.weight", dims![D, HV, V], &[1, 2]),
        Port::new("h0", dims![N, HV, K, V], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("m0", dims![N, HV, K, V], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("q_conv0", dims![N, H, K, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
        Port::new("k_conv0", dims![N, H, K, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
        Port::new("v_conv0", dims![N, HV, V, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
    ],
    outputs: &[
        Port::new("o", dims![B, T, D], Domain::Normal),
        Port::new("ht", dims![N, HV, K, V], Domain::Normal).single(),
        Port::new("mt", dims![N, HV, K, V], Domain::Normal).single(),
        Port::new("q_convt", dims![N, H, K, W], Domain::Normal).when("use_short_conv"),
        Port::new("k_convt", dims![N, H, K, W], Domain::Normal).when("use_short_conv"),
        Port::new("v_convt", dims![N, HV, V, W], Domain::Normal).when("use_short_conv"),
    ],
    attrs: &[
        Attr::flag("use_beta", true, "β has a sigmoid as a factor"),
        Attr::flag("use_gate", true, "gate the normed outputs"),
        Attr::flag("use_short_conv", true, "convolve q, k and v"),
        Attr::flag("allow_neg_eigval", false, "β in (0, 2): doubled"),
        Attr::word("qk_activation", &["silu", "relu", "elu", "identity"], "on q and k"),
        Attr::word("qk_norm", &["l2", "sum"], "q and k have unit length, or magnitudes that add up to 1"),
        Attr::number("norm_eps", NORM_EPS, 0.25, "added to the mean of squares"),
        Attr::flag("use_p_times_alpha", true, "read the decayed state"),
        Attr::flag("use_output_correction", true, "take exp(D_log) k from the query"),
        Attr::number("min_log_mu", MIN_LOG_MU, -0.25, "least log decay of the momentum"),
        Attr::number("tau_factor", TAU_FACTOR, 4.0, "D over the square of what divides the projection for η"),
    ],
    constraints: &[
        Constraint::grouped_values("C1"),
        Constraint {
            label: "C2",
            text: "tau_factor is positive",
            holds: |p| p.number("tau_factor").is_some_and(|x| x > 0.0),
            break_it: |p| _ = p.attrs.insert("tau_factor", Value::Number(0.0)),
            mend: |p| _ = p.attrs.insert("tau_factor", Value::Number(TAU_FACTOR)),
        },
    ],
    independent: dims![B],
    states: &[
        State::new("h0", "ht"),
        State::new("m0", "mt"),
        State::new("q_conv0", "q_convt"),
        State::new("k_conv0", "k_convt"),
        State::new("v_conv0", "v_convt"),
    ],
    function: function!(momentum_deltanet_layer),
};
