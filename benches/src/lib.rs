//! What the criterion benches in `benches/` time: case strings, and the calls that they pose.
//!
//! Wall-clock times of a processor compare commits on one machine; they are no claims about speed.

#![forbid(unsafe_code)]

use fla_conformance::candidate::{Fill, Request};
use fla_conformance::case::Case;
use fla_conformance::sample;

/// One case for each op, small enough for a laptop and large enough to keep two cores busy.
pub const CASES: [&str; 3] = [
    "gated_delta_rule(B=1,T=512,H=4,K=64,V=64,dtype=bf16)",
    "hgrn(B=1,T=2048,D=512,dtype=bf16)",
    "simple_gla(B=1,T=512,H=4,K=64,V=64,dtype=bf16)",
];

/// A case of [`CASES`], with its outputs or all its gradients wanted.
///
/// # Errors
/// Text that is no case.
pub fn request(text: &str, gradients: bool) -> Result<Request, fla_conformance::case::Error> {
    let case: Case = text.parse()?;
    let outputs = || case.problem.spec.outputs.iter().map(|p| p.name.to_owned()).collect();
    let wanted = || case.problem.differentiable().map(|p| format!("d_{}", p.name)).collect();
    let (want, cotangents) =
        if gradients { (wanted(), sample::cotangents(&case)) } else { (outputs(), Default::default()) };
    let inputs = sample::inputs(&case);
    Ok(Request { problem: case.problem, dtype: case.dtype, inputs, cotangents, want, fill: Fill::Any })
}
