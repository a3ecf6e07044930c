//! Small problems of an op in every variant that its spec allows.

use reference::problem::Problem;
use reference::spec::{OpSpec, Presence, Value};

use crate::sample::problem;

/// Several value heads for a key head; packed with an empty sequence; no token; one token; no sequence.
const SHAPES: [&str; 5] = [
    "B=2,T=5,H=2,HV=4,K=3,V=4,D=3",
    "B=1,T=7,H=2,HV=2,K=4,V=3,D=2,seqs=3+0+4",
    "B=2,T=0,H=1,HV=2,K=2,V=3,D=2",
    "B=1,T=1,H=1,HV=1,K=2,V=1,D=1",
    "B=1,T=0,H=1,HV=1,K=2,V=2,D=1,seqs=",
];

/// Every valid combination of a shape, attribute values and absent inputs.
pub(crate) fn all(spec: &OpSpec) -> Vec<Problem> {
    SHAPES.iter().flat_map(|shape| at(spec, shape)).collect()
}

/// The same at one shape.
pub(crate) fn at(spec: &OpSpec, shape: &str) -> Vec<Problem> {
    let mut fields = vec![shape.to_owned()];
    for attr in spec.attrs {
        let other = match attr.default {
            Value::Flag(on) => format!(",{}={}", attr.name, !on),
            Value::Number(_) | Value::Auto => format!(",{}=0.7", attr.name),
        };
        fields = with_or_without(fields, &other);
    }
    for port in spec.inputs {
        if matches!(port.presence, Presence::OrZero | Presence::OrZeroWith(_)) {
            fields = with_or_without(fields, &format!(",absent={}", port.name));
        }
    }
    let problems = fields.iter().map(|f| problem(spec.name, f));
    // an input that the attributes do not allow cannot be left out either
    let meaningful = |p: &Problem| p.absent.iter().all(|n| spec.input(n).is_some_and(|port| p.allows(port)));
    problems.filter(|p| p.validate().is_ok() && meaningful(p)).collect()
}

fn with_or_without(fields: Vec<String>, more: &str) -> Vec<String> {
    fields.into_iter().flat_map(|f| [f.clone(), f + more]).collect()
}
