//! The oracle: every op, module, layer and model as plain code on the CPU, in `f64`, with exact gradients.
//!
//! # Glossary
//! `B` batch rows, `N` sequences, `T` tokens, `H` key heads, `HV` value heads, `K` key width, `V` value width, `D` model
//! width. `q k v` queries, keys, values; `g` natural logarithm of the decay (≤ 0); `beta` write strength; `h` state,
//! key-first `[K, V]`; `h0`, `ht` initial and final state; `o` output. Tensors are `[B, T, H, ·]`. A cotangent is `d_o`,
//! a gradient `d_q`.
//!
//! # How it fits together
//! An [`OpSpec`](spec::OpSpec) is a row of [`ops::OPS`], [`modules::MODULES`], [`layers::LAYERS`] or [`static@models::MODELS`]. A [`Problem`](problem::Problem) is an op with extents and
//! attributes. The [`oracle`] maps the op's function over what is independent and answers with outputs, gradients,
//! directional derivatives or rounded runs.

#![forbid(unsafe_code)]

pub mod algebra;
pub mod attention;
#[cfg(test)]
mod by_hand;
pub mod call;
pub mod dual;
pub mod error;
pub mod layers;
pub mod mixer;
pub mod models;
pub mod modules;
pub mod nearest;
pub mod ops;
pub mod oracle;
pub mod problem;
pub mod real;
pub mod rounded;
pub mod spec;
pub mod tap;
pub mod tape;
pub mod tensor;
mod text;
pub mod unit;

/// Every spec: ops, modules, layers, models, each table in order.
pub fn specs() -> impl Iterator<Item = &'static spec::OpSpec> {
    let models = models::MODELS.as_slice();
    [ops::OPS, modules::MODULES, layers::LAYERS, models].into_iter().flatten().copied()
}

/// The spec of that name, at any level.
#[must_use]
pub fn spec(name: &str) -> Option<&'static spec::OpSpec> {
    specs().find(|s| s.name == name)
}
