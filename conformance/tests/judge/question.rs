//! Small calls with numbers that are easy to look at.

use std::str::FromStr;

use fla_conformance::candidate::{Fill, Mode, Request};
use ndarray::{ArrayD, IxDyn};
use reference::problem::Problem;
use reference::spec::{Dim, Port};
use reference::tensor::{DType, Tensor, Tensors};

/// A problem of `op` with the given sizes.
pub(crate) fn problem(op: &str, sizes: &[(Dim, usize)]) -> Problem {
    Problem::new(reference::spec(op).expect("a known op"), sizes)
}

/// `hgrn` with two rows of three tokens and two channels.
pub(crate) fn hgrn() -> Problem {
    problem("hgrn", &[(Dim::B, 2), (Dim::T, 3), (Dim::D, 2)])
}

/// Every input and cotangent of `problem`: multiples of 1/8 in (−1, 1), gates ≤ 0.
pub(crate) fn question(problem: Problem, dtype: DType, want: &str) -> Request {
    let inputs = problem.inputs().map(|p| (p.name.to_owned(), tensor(&problem, p, dtype))).collect();
    let outputs = problem.produced();
    let cotangents = outputs.map(|p| (format!("d_{}", p.name), tensor(&problem, p, dtype))).collect();
    let want: Vec<_> = want.split(',').map(|w| String::from_str(w).expect("infallible")).collect();
    let gradients = want.iter().any(|w| w.starts_with("d_"));
    let cotangents = if gradients { cotangents } else { Tensors::new() };
    Request { problem, dtype, inputs, cotangents, want, fill: Fill::Any, mode: Mode::Any }
}

fn tensor(problem: &Problem, port: &Port, dtype: DType) -> Tensor {
    let shape = problem.shape(port);
    let count = shape.iter().product();
    let offset = port.name.len() as i64;
    let value = |i: usize| {
        let x = ((i as i64 * 5 + offset) % 15 - 7) as f64 / 8.0;
        if port.name == "g" { -x.abs() } else { x }
    };
    let array = ArrayD::from_shape_vec(IxDyn(&shape), (0..count).map(value).collect());
    Tensor::from_array(&array.expect("as many values as the shape has"), Problem::dtype(port, dtype))
}
