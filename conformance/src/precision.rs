//! The precision contract: to what each spec is held, in which type, and what follows. It is made from the specs and
//! from [`crate::measure`], published in `conformance/precision.json`, and its hash is in every record: who judges by
//! other limits, by another rounding or by fewer rounded operands has other hashes.

use std::sync::LazyLock;

use reference::oracle::folds;
use reference::problem::Problem;
use reference::rounded::{CHUNK, STRATA};
use reference::spec::{Domain, OpSpec, Port};
use reference::tensor::DType;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::measure::{self, Statistic};

/// Storage types that kernels have.
const TYPES: [DType; 3] = [DType::Bf16, DType::F16, DType::F32];

/// What one spec adds to what holds for all.
#[derive(Debug, Serialize)]
struct Held {
    /// Operands into which kernels fold decays, norms and write strengths before they are rounded.
    folded: Vec<&'static str>,
    /// Logarithms of decays, off as a cumulative sum over a chunk in the accumulator leaves them.
    summed: Vec<&'static str>,
    /// States that a chunk reads as operands, from the storage type's rounding on.
    read_once_a_chunk: Vec<&'static str>,
    /// States that no product of matrices reads.
    elementwise: Vec<&'static str>,
    /// Outputs and gradients in the storage type.
    stored: Vec<String>,
    /// Outputs and gradients in f32.
    single: Vec<String>,
}

/// Everything, one spec a line.
#[must_use]
pub fn published() -> String {
    let line = |(name, value): (&str, Value)| format!("  {}: {value}", Value::from(name));
    let specs: Vec<String> = reference::specs().map(|s| line((s.name, json!(held(s))))).collect();
    format!("{{\n\"all\": {:#},\n\"specs\": {{\n{}\n}}\n}}\n", all(), specs.join(",\n"))
}

/// The SHA-256 of what a spec is held to, what holds for all included.
#[must_use]
pub fn hash(spec: &OpSpec) -> String {
    static ALL: LazyLock<String> = LazyLock::new(|| all().to_string());
    format!("{:x}", Sha256::digest(format!("{} {}", *ALL, json!(held(spec)))))
}

/// What holds for all.
fn all() -> Value {
    let types: Map<String, Value> = TYPES.iter().map(|&t| (t.name().to_owned(), of_type(t))).collect();
    let statistics: Map<String, Value> =
        Statistic::ALL.iter().map(|s| (s.name().to_owned(), Value::from(s.slack()))).collect();
    json!({
        "order of sums": "any",
        "tiles": "any",
        "accumulator": "f32",
        "chunk": CHUNK,
        "rounded runs behind a floor": [measure::SAMPLES, measure::MOST_SAMPLES],
        "times as many for a second look": measure::MORE,
        "of them divide the chances of each rounding": STRATA,
        "weight of the neighbourhood": measure::PRIOR,
        "chance of a false alarm, a statistic": measure::ALPHA,
        "of the quantile, at most": measure::HELD_OUT_CAP,
        "of that, for an implementation's own choices": statistics,
        "largest floor of a gradient": measure::GRADIENT_CAP,
        "types": types,
    })
}

fn of_type(storage: DType) -> Value {
    let rounding = measure::rounding(storage, 0);
    json!({
        "unit roundoff of operands": rounding.operand,
        "smallest normal operand": rounding.least,
        "unit roundoff of other arithmetic": rounding.accumulate,
        "unit roundoff of answers": storage.unit_roundoff(),
        "largest floor of an output": measure::cap(storage),
    })
}

fn held(spec: &OpSpec) -> Held {
    let named = |test: &dyn Fn(&&Port) -> bool| spec.inputs.iter().filter(test).map(|p| p.name).collect();
    let states = |elementwise| spec.states.iter().filter(|s| s.elementwise == elementwise).map(|s| s.initial).collect();
    let outputs = spec.outputs.iter().map(|p| (p.name.to_owned(), p));
    let gradients = spec.inputs.iter().filter(|p| p.differentiable).map(|p| (format!("d_{}", p.name), p));
    let answers: Vec<(String, &Port)> = outputs.chain(gradients).collect();
    let of = |short: bool| {
        let is = |p: &Port| (Problem::dtype(p, DType::Bf16) == DType::Bf16) == short;
        answers.iter().filter(|(_, p)| is(p)).map(|(name, _)| name.clone()).collect()
    };
    Held {
        folded: named(&|p| folds(p)),
        summed: named(&|p| p.domain == Domain::LogDecay),
        read_once_a_chunk: states(false),
        elementwise: states(true),
        stored: of(true),
        single: of(false),
    }
}

#[cfg(test)]
mod tests {
    use reference::spec::Precision;

    use super::*;

    #[test]
    fn what_is_published_is_what_is_judged_by() {
        let committed = include_str!("../precision.json");
        assert!(committed == published(), "fla-conformance list --precision --write conformance/precision.json");
        let parsed: Value = serde_json::from_str(committed).expect("JSON");
        let gla = &parsed["specs"]["gla"];
        assert_eq!(gla["read_once_a_chunk"], json!(["h0"]));
        assert_eq!(gla["summed"], json!(["g", "gv"]));
    }

    #[test]
    fn specs_that_are_held_to_other_things_have_other_hashes() {
        let of = |name| hash(reference::spec(name).expect("a spec"));
        assert_ne!(of("gla"), of("hgrn"));
        assert_eq!(of("gla").len(), 64);
    }

    #[test]
    fn nothing_is_left_out_of_the_types_of_answers() {
        for spec in reference::specs() {
            let held = held(spec);
            let gradients = spec.inputs.iter().filter(|p| p.differentiable).count();
            assert_eq!(held.stored.len() + held.single.len(), spec.outputs.len() + gradients, "{}", spec.name);
            assert!(spec.inputs.iter().all(|p| p.precision != Precision::Index || !held.folded.contains(&p.name)));
        }
    }
}
