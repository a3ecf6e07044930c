//! Mamba-2 with a memory that keeps blocks of the past apart, each weighted by the token that reads.
//!
//! $$ (z, x', B, C, \delta, \ell) = W_{in} x + b_{in}, \quad
//! (x', B, C) \leftarrow \operatorname{swish}(\operatorname{conv}(x', B, C)), \quad
//! \Delta = \operatorname{softplus}(\delta + b_\Delta), \quad
//! \lambda = \operatorname{softplus}(\Lambda \odot \ell) $$
//! $$ y = \operatorname{LogLinear}(C, B, \Delta x', -\Delta e^{A}, \lambda) + D\, x', \qquad
//! o = W_{out} \operatorname{RMSNorm}(y \odot \operatorname{swish} z) + b_{out} $$
//!
//! with Λ = `L`, and groups, norm and the other names as in [Mamba-2](super::mamba2). Well conditioned.
//!
//! # Errors
//! C1: HV is a multiple of H. C2: levels for every token of a sequence; more are never read.
//!
//! Paper: Guo et al., *Log-Linear Attention*, 2025, log-linear Mamba-2.
//! Upstream: `LogLinearMamba2` of `fla/layers/log_linear_mamba2.py` in 0.6.0: `num_heads` is HV, `head_dim` V,
//! `state_size` K, `n_groups` H, `conv_kernel` W, `expand` HV·V/D, `D_has_hdim` the port `D[channels]`, the presence of
//! biases `use_conv_bias` and `use_bias`, and L is always 15, enough for 16384 tokens. It runs on CUDA only;
//! `cu_seqlens` is ignored, `dt_limit` and `hidden_act` refused unless default. Its state is an object with buffered
//! tokens and cannot be resumed from another's, so this layer has none. `chunk_size` must be 64; `backend`, `layer_idx`
//! and the options of initialisation do not change values.

use super::mamba2::{finished, log_decay, skipped, step, stream, stretched};
use crate::algebra::{linear, plus, rank, swish, times};
use crate::call::Call;
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn log_linear_mamba2_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let nothing = |part: &str| x.tensor(&format!("conv1d.weight[{part}]")).mapv(|_| F::zero());
    let [u, b, c] = ["x", "B", "C"].map(|part| stream(x, part, nothing(part)).0.mapv(swish));
    let step = step(x);
    let levels = rank::<F, ndarray::Ix3>(linear(&x.matrix("x"), x.tensor("in_proj.weight[dl]")));
    let levels = times(plus(levels, x.tensor("in_proj.bias[dl]")), x.tensor("L")).mapv(F::softplus);
    let y = Call::of(&ops::log_linear_attn::SPEC)
        .with("q", c)
        .with("k", b)
        .with("v", stretched(&u, &step))
        .with("g", log_decay(x, &step))
        .with("level_scales", levels)
        .run()
        .cube("o");
    let y = y + skipped(x, u);
    vec![finished(x, y, swish)]
}

const EPS: f64 = 1e-5;

/// The levels that as many tokens fill: ⌈log₂ T⌉ + 1.
fn needed(tokens: usize) -> usize {
    1 + (usize::BITS - tokens.saturating_sub(1).leading_zeros()) as usize
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "log_linear_mamba2_layer",
    level: Level::Layer,
    summary: "out_proj(rms_norm((log_linear_attn(C, B, Δ x, −Δ exp(A_log), softplus(L l)) + D x) * swish(z)))",
    source: "Guo et al. 2025 (arXiv 2506.04761)",
    upstream: &["fla.layers.LogLinearMamba2"],
    sizes: dims![B, T, D, HV, H, K, V, L, W],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("in_proj.weight[z]", dims![HV, V, D], &[2, 1]),
        Port::weight("in_proj.weight[x]", dims![HV, V, D], &[2, 1]),
        Port::weight("in_proj.weight[B]", dims![H, K, D], &[2, 1]),
        Port::weight("in_proj.weight[C]", dims![H, K, D], &[2, 1]),
        Port::weight("in_proj.weight[dt]", dims![HV, D], &[1, 1]),
        Port::weight("in_proj.weight[dl]", dims![HV, L, D], &[2, 1]),
        Port::bias("in_proj.bias[z]", dims![HV, V], &[2]),
        Port::bias("in_proj.bias[x]", dims![HV, V], &[2]),
        Port::bias("in_proj.bias[B]", dims![H, K], &[2]),
        Port::bias("in_proj.bias[C]", dims![H, K], &[2]),
        Port::bias("in_proj.bias[dt]", dims![HV], &[1]),
        Port::bias("in_proj.bias[dl]", dims![HV, L], &[2]),
        Port::weight("conv1d.weight[x]", dims![HV, V, W], &[2, 0, 1]),
        Port::weight("conv1d.weight[B]", dims![H, K, W], &[2, 0, 1]),
        Port::weight("conv1d.weight[C]", dims![H, K, W], &[2, 0, 1]),
        Port::bias("conv1d.bias[x]", dims![HV, V], &[2]),
        Port::bias("conv1d.bias[B]", dims![H, K], &[2]),
        Port::bias("conv1d.bias[C]", dims![H, K], &[2]),
        Port::new("dt_bias", dims![HV], Domain::Uniform(-4.0, 0.0)).single(),
        Port::new("A_log", dims![HV], Domain::LogRate).single(),
        Port::new("L", dims![HV, L], Domain::Uniform(0.5, 1.5)),
        Port::new("D", dims![HV], Domain::Normal).unless("D_has_hdim"),
        Port::new("D[channels]", dims![HV, V], Domain::Normal).merged(&[2]).when("D_has_hdim"),
        Port::scale("norm.weight", dims![HV, V]).merged(&[2]).when("rmsnorm"),
        Port::weight("out_proj.weight", dims![D, HV, V], &[1, 2]),
        Port::bias("out_proj.bias", dims![D], &[1]),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[
        Attr::flag("D_has_hdim", false, "the skip has a weight for each channel of a head"),
        Attr::flag("rmsnorm", true, "norm the gated outputs"),
        Attr::flag("norm_before_gate", false, "gate the normed outputs instead"),
        Attr::number("norm_eps", EPS, 0.25, "added to the mean of squares"),
    ],
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
    independent: dims![B],
    states: &[],
    function: function!(log_linear_mamba2_layer),
};
