//! What the criterion benches in `benches/` time: case strings, and the calls that they pose.
//!
//! Wall-clock times of a processor compare commits on one machine; they are no claims about speed.

#![forbid(unsafe_code)]

use fla_conformance::candidate::Request;
use fla_conformance::case::Case;
use fla_conformance::check::Call;
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
    let inputs = sample::inputs(&case);
    let call = match gradients {
        true => Call::backward(&case.problem, &inputs, &sample::cotangents(&case)),
        false => Call::forward(&case.problem, &inputs),
    };
    Ok(call.request(case.dtype, &[]).expect("a call of values needs no earlier answer"))
}
