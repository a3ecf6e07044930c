//! What our kernels launch and allocate for each standard case, worked out without a device.

use std::collections::BTreeMap;

use optimized::{Backend, Call, Fill};
use reference::problem::Problem;
use reference::spec::Port;
use reference::tensor::{DType, Tensor, Tensors};
use serde::Serialize;

use super::{standard, table};
use crate::case::Case;
use crate::cli::Shapes;
use crate::sample::Profile;

/// What must not grow unannounced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Costs {
    /// Kernels launched.
    pub launches: usize,
    /// Bytes of device memory that are neither input nor output.
    pub workspace_bytes: u64,
}

/// By back end, case and pass. What the kernels decline is left out, and values do not matter, so one profile speaks
/// for all.
#[must_use]
pub fn all() -> BTreeMap<String, Costs> {
    let mut plans = BTreeMap::new();
    for case in standard::cases(true, &[Shapes::All]).into_iter().filter(|c| c.profile == Profile::Typical) {
        for (name, backend) in [("cuda", Backend::Cuda), ("hip", Backend::Hip)] {
            for backward in standard::passes(&case) {
                let key = || format!("{name} {case} {}", table::pass(backward));
                plans.extend(costs(backend, &case, backward).map(|costs| (key(), costs)));
            }
        }
    }
    plans
}

fn costs(backend: Backend, case: &Case, backward: bool) -> Option<Costs> {
    optimized::kernel_hash(case.problem.spec.name)?;
    let want = standard::want(&case.problem, backward);
    let inputs = case.problem.inputs().map(|p| (p.name.to_owned(), blank(case, p))).collect();
    let answered = case.problem.outputs().filter(|p| backward && p.differentiable);
    let cotangents: Tensors = answered.map(|p| (format!("d_{}", p.name), blank(case, p))).collect();
    let problem = &case.problem;
    let call =
        Call { problem, dtype: case.dtype, inputs: &inputs, cotangents: &cotangents, want: &want, fill: Fill::Any };
    let plan = optimized::plan(backend, &call).ok()?;
    Some(Costs { launches: plan.launches.len(), workspace_bytes: plan.workspace_bytes })
}

/// A tensor of the port's shape that nobody will read; untouched pages of zeros take no memory.
fn blank(case: &Case, port: &Port) -> Tensor {
    let (dtype, shape): (DType, _) = (Problem::dtype(port, case.dtype), case.problem.shape(port));
    let bytes = vec![0; shape.iter().product::<usize>() * dtype.size()];
    Tensor::from_bytes(dtype, &shape, bytes).expect("as many bytes as the shape has")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_op_with_kernels_has_a_plan_for_both_passes() {
        let plans = all();
        for op in ["hgrn", "simple_gla", "gated_delta_rule"] {
            for pass in ["forward", "forward+backward"] {
                let of = |key: &&String| key.starts_with(&format!("cuda {op}(")) && key.ends_with(&format!(" {pass}"));
                let key = plans.keys().find(of).unwrap_or_else(|| panic!("{op} {pass} has no plan"));
                assert!(plans[key].launches > 0, "{key}");
            }
        }
    }
}
