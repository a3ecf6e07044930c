//! Weights as training starts from them.
//!
//! As upstream's `_init_weights` does: projections, convolutions and embeddings are normal with standard deviation
//! `initializer_range`, biases are zero, norms are one. Parameters that a layer makes in its own way (rates, lower bounds,
//! time steps) are as their spec draws them.

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
    Own,
}

fn kind(port: &Port) -> Kind {
    match port.domain {
        Domain::Weight => Kind::Weight,
        Domain::Normal if port.name.ends_with("embeddings.weight") => Kind::Embedding,
        Domain::Normal if port.name.ends_with(".bias") => Kind::Bias,
        Domain::Uniform(..) if port.name.ends_with(".weight") => Kind::Norm,
        _ => Kind::Own,
    }
}
