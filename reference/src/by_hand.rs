//! Numbers that a reader can check, put to an op.

use approx::assert_relative_eq;
use ndarray::ArrayD;

use crate::oracle;
use crate::problem::Problem;
use crate::spec::{OpSpec, Port};
use crate::tensor::Arrays;

/// Logarithm of the decay by half.
pub(crate) const HALF: f64 = -std::f64::consts::LN_2;

/// Asks the problem of these fields, and compares the outputs and gradients that are named in `expected`.
///
/// Arrays are written `q=1,2 h0=4`: a name and its values in row-major order.
pub(crate) fn check(spec: &'static OpSpec, fields: &str, inputs: &str, cotangents: &str, expected: &str) {
    let mut problem = Problem::new(spec, &[]);
    for (key, value) in pairs(fields) {
        assert_eq!(problem.set(key, value), Ok(true), "{key}={value}");
    }
    let shaped = |given, port: fn(&OpSpec, &str) -> Option<&'static Port>| -> Arrays {
        let array = |(name, values)| {
            let shape = problem.shape(port(spec, name).expect("a port of the op"));
            (name.to_owned(), ArrayD::from_shape_vec(shape, numbers(values)).expect("a value for each element"))
        };
        pairs(given).map(array).collect()
    };
    let inputs = shaped(inputs, OpSpec::input);
    let cotangents = shaped(cotangents, |spec, name| spec.output(name.strip_prefix("d_")?));
    let want: Vec<_> = problem.differentiable().map(|p| p.name).collect();
    let answer = oracle::gradients(&problem, &inputs, &cotangents, &want).expect("a valid question");
    for (name, values) in pairs(expected) {
        let got = answer.outputs.get(name).or(answer.gradients.get(name)).expect("an output or a gradient");
        let (got, values): (Vec<f64>, _) = (got.iter().copied().collect(), numbers(values));
        assert_relative_eq!(got[..], values[..], epsilon = 1e-14, max_relative = 1e-14);
    }
}

fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split_whitespace().map(|field| field.split_once('=').expect("key=value"))
}

fn numbers(text: &str) -> Vec<f64> {
    text.split(',').filter(|x| !x.is_empty()).map(|x| x.parse().expect("a number")).collect()
}
