//! MesaNet: online ridge regression with projections.
//!
//! $$ q, k = \operatorname{swish}(\operatorname{conv}(W x)), \quad v = W_v x, \quad g = \ln \sigma(W_a x + a), \quad
//! \beta = \sigma(W_b x + b), \quad \lambda = \ln(1 + e^{p}) + \lambda_0 $$
//! $$ o = \operatorname{Mesa}(\hat q, \hat k, v, g, \beta, \lambda), \qquad
//! y = W_o \operatorname{RMSNorm}(o) $$
//!
//! per head, with $p$ = `lambda_params` of each key channel, $\lambda_0$ = `lambda_lower_bound`, and the hats for
//! unit length; with `use_output_gate`, swish of $W_g x$ multiplies the normed outputs. Keys and values of a head
//! have the same width. v has no convolution and no activation. The equations that each token solves have a condition
//! number of at most $1 + \lVert C \rVert / \min \lambda$, and $\lVert C \rVert$ is at most the sum of the decayed β.
//!
//! # Errors
//! C1: `lambda_lower_bound` is not negative.
//!
//! Paper: von Oswald et al., *MesaNet: Sequence Modeling by Locally Optimal Test-Time Training*, 2025.
//! Upstream: `MesaNet` of `fla/layers/mesa_net.py` in 0.6.0: `num_heads` is H, `head_dim` K. It solves by at most
//! `max_cg_step_training`, or for one token after a cache `max_cg_step_decoding`, steps of conjugate gradients with an
//! addend in both denominators, and rounds q and k to f16: here the solution is exact. `use_short_conv`, `mode` and
//! `layer_idx` do not change values; absent biases of the convolutions are `conv_bias=False`.

use ndarray::Ix2;

use crate::algebra::{log_sigmoid, swish};
use crate::attention::biased;
use crate::call::Call;
use crate::mixer::{NORM_EPS, convolve, output_gate, project, read_out};
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Presence, State, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn mesa_net_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let hidden = x.matrix("x");
    let [(q, q_conv), (k, k_conv)] = ["q", "k"].map(|name| {
        let state = x.tensor(&format!("{name}_conv0")).to_owned();
        convolve(x, &project(x, hidden, &format!("{name}_proj.weight")), &format!("{name}_conv1d"), state)
    });
    let [a, b] = ["a", "b"].map(|name| biased::<F, Ix2>(x, name));
    let least = F::from_f64(x.problem.number("lambda_lower_bound").unwrap_or(LEAST));
    let mut answers = Call::of(&ops::mesa_net::SPEC)
        .with("q", q.mapv(swish))
        .with("k", k.mapv(swish))
        .with("v", project(x, hidden, "v_proj.weight"))
        .with("g", a.mapv(log_sigmoid))
        .with("beta", b.mapv(F::sigmoid))
        .with("lamb", x.matrix("lambda_params").mapv(|p| p.softplus() + least))
        .with("h_kk0", x.cube("h_kk0"))
        .with("h0", x.cube("h0"))
        .flag("qk_l2norm", true)
        .run();
    let gate = x.problem.flag("use_output_gate").then(|| output_gate(x, hidden, swish));
    let o = read_out(x, &answers.cube("o"), gate);
    vec![o, answers.take("h_kkt"), answers.take("ht"), q_conv, k_conv]
}

const LEAST: f64 = 0.25;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "mesa_net_layer",
    level: Level::Layer,
    summary: "o_proj(rms_norm(mesa_net(q, k, v, ln σ(a_proj x), σ(b_proj x), softplus(lambda_params) + lower bound)))",
    source: "von Oswald et al. 2025 (arXiv 2506.05233)",
    upstream: &["fla.layers.MesaNet"],
    sizes: dims![B, T, D, H, K, W],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("lambda_params", dims![H, K], Domain::Normal).single().merged(&[2]),
        Port::weight("q_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("v_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("a_proj.weight", dims![H, D], &[]),
        Port::new("a_proj.bias", dims![H], Domain::Normal),
        Port::weight("b_proj.weight", dims![H, D], &[]),
        Port::new("b_proj.bias", dims![H], Domain::Normal),
        Port::weight("q_conv1d.weight", dims![H, K, W], &[2, 0, 1]),
        Port::bias("q_conv1d.bias", dims![H, K], &[2]),
        Port::weight("k_conv1d.weight", dims![H, K, W], &[2, 0, 1]),
        Port::bias("k_conv1d.bias", dims![H, K], &[2]),
        Port::weight("g_proj.weight", dims![H, K, D], &[2, 1]).when("use_output_gate"),
        Port::scale("o_norm.weight", dims![K]),
        Port::weight("o_proj.weight", dims![D, H, K], &[1, 2]),
        // equal elements: symmetric and semi-definite, which independent ones are not
        Port::new("h_kk0", dims![N, H, K, K], Domain::Uniform(0.0625, 0.0625)).single().presence(Presence::OrZero),
        Port::new("h0", dims![N, H, K, K], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("q_conv0", dims![N, H, K, W], Domain::Normal).presence(Presence::OrZero),
        Port::new("k_conv0", dims![N, H, K, W], Domain::Normal).presence(Presence::OrZero),
    ],
    outputs: &[
        Port::new("o", dims![B, T, D], Domain::Normal),
        Port::new("h_kkt", dims![N, H, K, K], Domain::Normal).single(),
        Port::new("ht", dims![N, H, K, K], Domain::Normal).single(),
        Port::new("q_convt", dims![N, H, K, W], Domain::Normal),
        Port::new("k_convt", dims![N, H, K, W], Domain::Normal),
    ],
    attrs: &[
        Attr::flag("use_output_gate", false, "gate the normed outputs"),
        Attr::number("lambda_lower_bound", LEAST, 0.75, "added to every λ"),
        Attr::number("norm_eps", NORM_EPS, 0.25, "added to the mean of squares"),
    ],
    constraints: &[Constraint {
        label: "C1",
        text: "lambda_lower_bound is not negative",
        holds: |p| p.number("lambda_lower_bound").is_some_and(|least| least >= 0.0),
        break_it: |p| _ = p.attrs.insert("lambda_lower_bound", Value::Number(-1.0)),
        mend: |p| _ = p.attrs.remove("lambda_lower_bound"),
    }],
    independent: dims![B],
    states: &[
        State::new("h_kk0", "h_kkt"),
        State::new("h0", "ht"),
        State::new("q_conv0", "q_convt"),
        State::new("k_conv0", "k_convt"),
    ],
    function: function!(mesa_net_layer),
};
