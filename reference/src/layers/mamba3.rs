//! Mamba-3: a state that turns as it decays, written to by the trapezoidal rule, with R inputs and outputs at once.
//!
//! $$ (z, x', B, C, \delta, a, \tau, \theta) = W_{in} x + b_{in}, \quad
//! \Delta = \operatorname{softplus}(\delta + b_\Delta), \quad A = \min(-\operatorname{softplus} a, -A_{floor}), \quad
//! \lambda = \sigma(\tau) $$
//! $$ \vartheta_t = \vartheta_{t-1} + \pi \Delta_t \tanh \theta_t \bmod 2\pi, \qquad
//! k_t = \Theta_{\vartheta_t} \big( \operatorname{RMSNorm}(B_t) + b_B \big), \qquad
//! q_t = \Theta_{\vartheta_t} \big( \operatorname{RMSNorm}(C_t) + b_C \big) $$
//! $$ h_t = e^{\Delta A} h_{t-1} + (1 - \lambda) \Delta e^{\Delta A} \sum_r k_{t-1}^r (v_{t-1}^r)^\top +
//! \lambda \Delta \sum_r k_t^r (v_t^r)^\top, \qquad y_t^r = h_t^\top q_t^r + D v_t^r, \qquad v^r = m_x^r \odot x' $$
//! $$ o = W_{out} \sum_r m_o^r \odot y^r \odot \operatorname{swish}(m_z^r \odot z) + b_{out} $$
//!
//! with $b_\Delta$ = `dt_bias`, $b_B$, $b_C$ = `B_bias`, `C_bias`, $m_x, m_z, m_o$ = `mimo_x`, `mimo_z`, `mimo_o`.
//! Without `is_mimo`, R is 1 and each m is 1. Θ turns the first L pairs of coordinates, which are neighbours, or with
//! `is_mimo` those K/2 apart. With `is_outproj_norm`, y passes an RMS norm over the channels of its head before the
//! gate. B and C belong to a group, of which there are H, their biases to one of the HV heads. The states are h, the
//! angles `angle` in [0, 2π), the turned key `k` and the input x′ = `v` of the last token.
//!
//! Well conditioned but where an angle is close to a whole turn: the state of the angles jumps there, though nothing
//! that is read from it does.
//!
//! # Errors
//! C1: HV is a multiple of H. C2: K is a multiple of 4. C3: L is K/4 or K/2. C4: R is 1 without `is_mimo`.
//!
//! Paper: Lahoti et al., *Mamba-3: Improved Sequence Modeling using State Space Principles*, 2026.
//! Upstream: `Mamba3` of `fla/layers/mamba3.py` in 0.6.0, whose recurrence is in the kernels of `mamba_ssm`: `head_dim`
//! is V, `state_size` K, `n_groups` H, `mimo_rank` R, `rope_fraction` 2·L/K, `expand` HV·V/D, the presence of biases
//! `use_bias`; its states are `[HV, V, K]`, `[HV, L]`, `[R, HV, K]` and `[HV, V]`. It runs on CUDA only. Since June
//! 2026 `mamba_ssm` has another activation in the place of the softplus in A. `chunk_size`, `layer_idx` and the options
//! of initialisation do not change values.

use std::f64::consts::{PI, TAU};

use ndarray::{Array2, Array3, Array4, ArrayD, ArrayView2, Axis, Ix2, Ix3};

use crate::algebra::{cos_sin, linear, plus, rank, swish, tanh, times};
use crate::modules::rms_norm::normalise;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// What the recurrence reads: numbers `[T, HV]`, angles `[T, L]`, keys and queries `[T, R, H, K]`, inputs `[T, HV, V]`.
struct Streams<F> {
    step: Array2<F>,
    rate: Array2<F>,
    trap: Array2<F>,
    angles: Array2<F>,
    keys: Array4<F>,
    queries: Array4<F>,
    input: Array3<F>,
}

fn mamba3_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let streams = streams(x);
    let (y, [h, angle, k]) = scan(x, &streams);
    let z: Array3<F> = rank(part(x, "z"));
    let mut o = z.mapv(|_| F::zero());
    let eps = x.problem.number("norm_eps").unwrap_or(EPS);
    for (r, y) in y.axis_iter(Axis(1)).enumerate() {
        let norm = x.problem.flag("is_outproj_norm");
        let y = if norm { times(normalise(&y, None, eps), x.tensor("norm.weight")) } else { y.to_owned() };
        let gated = y * mimo(x, "mimo_z", r, &z).mapv(swish);
        o = o + mimo(x, "mimo_o", r, &gated);
    }
    let o: Array2<F> = plus(rank(linear(&o, x.tensor("out_proj.weight"))), x.tensor("out_proj.bias"));
    let last = streams.input.outer_iter().next_back().unwrap_or_else(|| x.matrix("v0")).to_owned().into_dyn();
    vec![o.into_dyn(), h, angle, k, last]
}

fn part<F: Real>(x: &Unit<'_, F>, name: &str) -> ArrayD<F> {
    let y = linear(&x.matrix("x"), x.tensor(&format!("in_proj.weight[{name}]")));
    plus(y, x.tensor(&format!("in_proj.bias[{name}]")))
}

fn streams<F: Real>(x: &Unit<'_, F>) -> Streams<F> {
    let floor = -x.problem.number("A_floor").unwrap_or(FLOOR);
    let eps = x.problem.number("norm_eps").unwrap_or(EPS);
    let rate = |a: F| {
        let a = -a.softplus();
        if a.value() > floor { F::from_f64(floor) } else { a }
    };
    let normed = |name: &str| rank(normalise(&part(x, name), Some(x.tensor(&format!("{name}_norm.weight"))), eps));
    Streams {
        step: plus::<F, Ix2>(rank(part(x, "dt")), x.tensor("dt_bias")).mapv(F::softplus),
        rate: rank::<F, Ix2>(part(x, "A")).mapv(rate),
        trap: rank::<F, Ix2>(part(x, "trap")).mapv(F::sigmoid),
        angles: rank::<F, Ix2>(part(x, "angles")).mapv(|a| F::from_f64(PI) * tanh(a)),
        keys: normed("B"),
        queries: normed("C"),
        input: rank::<F, Ix3>(part(x, "x")),
    }
}

/// A stream of heads times the weight of one of several inputs or outputs: `[T, HV, V]`.
fn mimo<F: Real>(x: &Unit<'_, F>, name: &str, r: usize, stream: &Array3<F>) -> Array3<F> {
    if !x.problem.flag("is_mimo") {
        return stream.clone();
    }
    times(stream.clone(), x.tensor(name).index_axis_move(Axis(1), r))
}

/// The recurrence: `[T, R, HV, V]`, and the states after it but the last input.
fn scan<F: Real>(x: &Unit<'_, F>, streams: &Streams<F>) -> (Array4<F>, [ArrayD<F>; 3]) {
    let (heads, ranks) = (x.problem.size(Dim::HV), x.problem.size(Dim::R));
    let values: Vec<Array3<F>> = (0..ranks).map(|r| mimo(x, "mimo_x", r, &streams.input)).collect();
    let before = x.matrix("v0").insert_axis(Axis(0)).to_owned();
    let before: Vec<Array3<F>> = (0..ranks).map(|r| mimo(x, "mimo_x", r, &before)).collect();
    let mut states = ["h0", "angle0", "k0"].map(|name| x.tensor(name).to_owned());
    let mut y = Array4::from_elem((x.tokens, ranks, heads, x.problem.size(Dim::V)), F::zero());
    let skip = x.vector("D");
    for head in 0..heads {
        let [h, angle, k] = &mut states;
        let mut h = h.index_axis_mut(Axis(0), head).into_dimensionality::<Ix2>().expect("[K, V]");
        let mut k = k.index_axis_mut(Axis(0), head).into_dimensionality::<Ix2>().expect("[R, K]");
        let mut angle = angle.index_axis_mut(Axis(0), head);
        for t in 0..x.tokens {
            let (step, trap) = (streams.step[[t, head]], streams.trap[[t, head]]);
            let wrapped = |a: F| a - F::from_f64((a.value() / TAU).floor() * TAU);
            angle.iter_mut().zip(streams.angles.row(t)).for_each(|(a, &turn)| *a = wrapped(*a + turn * step));
            let turns: Vec<(F, F)> = angle.iter().map(|&a| cos_sin(a)).collect();
            let [key, query] = turned(x, streams, t, head, &turns);
            let decay = (streams.rate[[t, head]] * step).exp();
            h.mapv_inplace(|h| decay * h);
            for r in 0..ranks {
                let old = |j| if t > 0 { values[r][[t - 1, head, j]] } else { before[r][[0, head, j]] };
                for ((i, j), h_ij) in h.indexed_iter_mut() {
                    let past = (F::one() - trap) * step * decay * k[[r, i]];
                    *h_ij = h_ij.mac(past, old(j)).mac(trap * step * key[[r, i]], values[r][[t, head, j]]);
                }
            }
            for (r, query) in query.outer_iter().enumerate() {
                for (j, h_j) in h.columns().into_iter().enumerate() {
                    y[[t, r, head, j]] = F::dot(query, h_j) + skip[head] * values[r][[t, head, j]];
                }
            }
            k.assign(&key);
        }
    }
    (y, states)
}

/// Key and query of a token and a head, with their biases, turned: `[R, K]` each.
fn turned<F: Real>(x: &Unit<'_, F>, streams: &Streams<F>, t: usize, head: usize, turns: &[(F, F)]) -> [Array2<F>; 2] {
    let group = head * x.problem.size(Dim::H) / x.problem.size(Dim::HV);
    [(&streams.keys, "B_bias"), (&streams.queries, "C_bias")].map(|(stream, bias)| {
        let bias = x.cube(bias);
        let bias: ArrayView2<'_, F> = bias.index_axis(Axis(0), head);
        let mut rows = &stream.index_axis(Axis(0), t).index_axis_move(Axis(1), group) + &bias;
        let half = rows.ncols() / 2;
        for mut row in rows.rows_mut() {
            for (pair, &(cos, sin)) in turns.iter().enumerate() {
                let (a, b) = if x.problem.flag("is_mimo") { (pair, pair + half) } else { (2 * pair, 2 * pair + 1) };
                (row[a], row[b]) = (row[a] * cos - row[b] * sin, row[a] * sin + row[b] * cos);
            }
        }
        rows
    })
}

const EPS: f64 = 1e-5;
const FLOOR: f64 = 1e-4;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "mamba3_layer",
    level: Level::Layer,
    summary: "h = α h + (1−λ) Δ α k'v'ᵀ + λ Δ k vᵀ, α = exp(ΔA), k, q turned;  o = out_proj((hᵀ q + D v) * swish(z))",
    source: "Lahoti et al. 2026 (arXiv 2603.15569)",
    upstream: &["fla.layers.Mamba3"],
    sizes: dims![B, T, D, HV, H, K, V, R, L],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("in_proj.weight[z]", dims![HV, V, D], &[2, 1]),
        Port::weight("in_proj.weight[x]", dims![HV, V, D], &[2, 1]),
        Port::weight("in_proj.weight[B]", dims![R, H, K, D], &[3, 1]),
        Port::weight("in_proj.weight[C]", dims![R, H, K, D], &[3, 1]),
        Port::weight("in_proj.weight[dt]", dims![HV, D], &[1, 1]),
        Port::weight("in_proj.weight[A]", dims![HV, D], &[1, 1]),
        Port::weight("in_proj.weight[trap]", dims![HV, D], &[1, 1]),
        Port::weight("in_proj.weight[angles]", dims![L, D], &[1, 1]),
        Port::bias("in_proj.bias[z]", dims![HV, V], &[2]),
        Port::bias("in_proj.bias[x]", dims![HV, V], &[2]),
        Port::bias("in_proj.bias[B]", dims![R, H, K], &[3]),
        Port::bias("in_proj.bias[C]", dims![R, H, K], &[3]),
        Port::bias("in_proj.bias[dt]", dims![HV], &[1]),
        Port::bias("in_proj.bias[A]", dims![HV], &[1]),
        Port::bias("in_proj.bias[trap]", dims![HV], &[1]),
        Port::bias("in_proj.bias[angles]", dims![L], &[1]),
        Port::new("dt_bias", dims![HV], Domain::Uniform(-4.0, 0.0)).single(),
        Port::new("B_bias", dims![HV, R, K], Domain::Normal).single(),
        Port::new("C_bias", dims![HV, R, K], Domain::Normal).single(),
        Port::scale("B_norm.weight", dims![K]),
        Port::scale("C_norm.weight", dims![K]),
        Port::new("mimo_x", dims![HV, R, V], Domain::Normal).when("is_mimo"),
        Port::new("mimo_z", dims![HV, R, V], Domain::Normal).when("is_mimo"),
        Port::new("mimo_o", dims![HV, R, V], Domain::Normal).when("is_mimo"),
        Port::new("D", dims![HV], Domain::Normal),
        Port::scale("norm.weight", dims![HV, V]).merged(&[2]).when("is_outproj_norm"),
        Port::weight("out_proj.weight", dims![D, HV, V], &[1, 2]),
        Port::bias("out_proj.bias", dims![D], &[1]),
        Port::new("h0", dims![N, HV, K, V], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("angle0", dims![N, HV, L], Domain::Uniform(0.0, 6.0)).single().presence(Presence::OrZero),
        Port::new("k0", dims![N, HV, R, K], Domain::Normal).presence(Presence::OrZero),
        Port::new("v0", dims![N, HV, V], Domain::Normal).presence(Presence::OrZero),
    ],
    outputs: &[
        Port::new("o", dims![B, T, D], Domain::Normal),
        Port::new("ht", dims![N, HV, K, V], Domain::Normal).single(),
        Port::new("anglet", dims![N, HV, L], Domain::Normal).single(),
        Port::new("kt", dims![N, HV, R, K], Domain::Normal),
        Port::new("vt", dims![N, HV, V], Domain::Normal),
    ],
    attrs: &[
        Attr::flag("is_mimo", false, "R inputs and outputs"),
        Attr::flag("is_outproj_norm", false, "norm each head before the gate"),
        Attr::number("A_floor", FLOOR, 0.5, "least rate"),
        Attr::number("norm_eps", EPS, 0.25, "added to the means of squares"),
    ],
    constraints: &[
        Constraint::grouped_values("C1"),
        Constraint {
            label: "C2",
            text: "K is a positive multiple of 4",
            holds: |p| p.size(Dim::K) > 0 && p.size(Dim::K).is_multiple_of(4),
            break_it: |p| _ = p.sizes.insert(Dim::K, 2),
            mend: |p| _ = p.sizes.insert(Dim::K, p.size(Dim::K).max(1).next_multiple_of(4)),
        },
        Constraint {
            label: "C3",
            text: "L is K/4 or K/2",
            holds: |p| [2, 4].iter().any(|of| of * p.size(Dim::L) == p.size(Dim::K)),
            break_it: |p| _ = p.sizes.insert(Dim::L, p.size(Dim::K) + 1),
            mend: |p| _ = p.sizes.insert(Dim::L, p.size(Dim::K) / if p.size(Dim::L) > 1 { 2 } else { 4 }),
        },
        Constraint {
            label: "C4",
            text: "R is 1 without is_mimo",
            holds: |p| p.flag("is_mimo") || p.size(Dim::R) == 1,
            break_it: |p| {
                p.attrs.remove("is_mimo");
                p.sizes.insert(Dim::R, 2);
            },
            mend: |p| _ = p.sizes.insert(Dim::R, 1),
        },
    ],
    independent: dims![B],
    states: &[State::new("h0", "ht"), State::new("angle0", "anglet"), State::new("k0", "kt"), State::new("v0", "vt")],
    function: function!(mamba3_layer),
};
