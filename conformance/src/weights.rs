//! Weights as training starts from them.
//!
//! As upstream's `_init_weights` does: projections, convolutions and embeddings are normal with standard deviation
//! `initializer_range`, biases are zero, norms are one, and time steps between a thousandth and a tenth, so that states
//! remember. Other parameters that a layer makes in its own way (rates, lower bounds) are as their spec draws them.

use reference::spec::{Domain, Port};
use reference::tensor::{DType, Tensor, Tensors};

use crate::case::Case;
use crate::sample;

/// Inputs of a model's case with weights at the start of training, in `f64`.
#[must_use]
pub fn initial(case: &Case, initializer_range: f64) -> Tensors {
    let fine = Case { dtype: DType::F64, ..case.clone() };
    let mut inputs = sample::inputs(&fine);
    for port in case.problem.differentiable() {
        let Some(tensor) = inputs.get_mut(port.name) else { continue };
        let factor = match kind(port) {
            // drawn with a deviation of one over the root of the fan-in
            Kind::Weight => initializer_range * (case.problem.fan_in(port).max(1) as f64).sqrt(),
            Kind::Embedding => initializer_range,
            Kind::Bias => 0.0,
            Kind::Norm => {
                *tensor = Tensor::from_array(&tensor.to_array().mapv(|_| 1.0), DType::F64);
                continue;
            }
            Kind::TimeStep(low, high) => {
                let step = |x| time_step((x - low) / (high - low));
                *tensor = Tensor::from_array(&tensor.to_array().mapv(step), DType::F64);
                continue;
            }
            Kind::Own => continue,
        };
        *tensor = Tensor::from_array(&tensor.to_array().mapv(|x| factor * x), DType::F64);
    }
    inputs
}

/// The same in the element types that the storage type of the case gives each port.
#[must_use]
pub fn stored(case: &Case, inputs: &Tensors) -> Tensors {
    let dtype = |name: &str| {
        let port = case.problem.spec.input(name);
        port.map_or(case.dtype, |p| reference::problem::Problem::dtype(p, case.dtype))
    };
    inputs.iter().map(|(name, t)| (name.clone(), Tensor::from_array(&t.to_array(), dtype(name)))).collect()
}

enum Kind {
    Weight,
    Embedding,
    Bias,
    Norm,
    /// Drawn evenly between two numbers.
    TimeStep(f64, f64),
    Own,
}

/// Of a number between 0 and 1, the bias whose softplus is a time step, spread evenly over the logarithms.
fn time_step(even: f64) -> f64 {
    let step = STEPS[0] * (STEPS[1] / STEPS[0]).powf(even);
    step.exp_m1().ln()
}

/// The shortest and the longest time step.
const STEPS: [f64; 2] = [1e-3, 1e-1];

fn kind(port: &Port) -> Kind {
    match port.domain {
        Domain::Weight => Kind::Weight,
        Domain::Normal if port.name.ends_with("embeddings.weight") => Kind::Embedding,
        Domain::Normal if port.name.ends_with(".bias") => Kind::Bias,
        Domain::Uniform(low, high) if port.name.ends_with("dt_bias") || port.name.ends_with("dt_proj.bias") => {
            Kind::TimeStep(low, high)
        }
        Domain::Uniform(..) if port.name.ends_with(".weight") => Kind::Norm,
        _ => Kind::Own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_have_the_deviation_that_was_asked_for_and_states_remember() {
        let case: Case = "gated_deltanet_model(D=32,H=2,K=16)".parse().expect("a model");
        let drawn = initial(&case, 0.02);
        let of = |end: &str| -> Vec<f64> {
            let (_, tensor) = drawn.iter().find(|(name, _)| name.ends_with(end)).expect(end);
            tensor.values().collect()
        };
        for end in ["q_proj.weight", "embeddings.weight", "lm_head.weight"] {
            let values = of(end);
            let deviation = (values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64).sqrt();
            assert!((deviation / 0.02 - 1.0).abs() < 0.1, "{end}: {deviation}");
        }
        assert!(of("attn_norm.weight").iter().all(|x| x.to_bits() == 1f64.to_bits()));
        let steps = of("dt_bias").into_iter().map(|b| b.exp().ln_1p());
        assert!(steps.into_iter().all(|step| (0.999 * STEPS[0]..1.001 * STEPS[1]).contains(&step)));
    }
}
