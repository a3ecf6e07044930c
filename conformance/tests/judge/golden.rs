//! The oracle agrees with what fla itself computes, to the precision of its producer: each vector is judged like a
//! candidate's answer. A vector that is evidence of a finding must fail.

use std::panic;
use std::thread;

use fla_conformance::environment::jobs;
use fla_conformance::truth::Truth;
use golden::{Loaded, Vector};
use reference::spec::Level;
use reference::tensor::{DType, Tensor};
use reports::verdict::{Fault, Measure};

/// An error within what rounds to a grid is a whole step, beside which a thousandth is nothing.
const GRIDS: [&str; 2] = ["bit_linear", "bitattn_layer"];

/// The faults of a vector's results, in words, and how many results could be judged at all.
///
/// # Panics
/// If a vector in f32 could be off by a thousandth unnoticed.
fn faults(vector: &Vector) -> (Vec<String>, usize) {
    let Loaded { problem, inputs, cotangents, expected, .. } = vector.load().unwrap_or_else(|e| panic!("{e}"));
    // TF32 has as many bits as f16
    let precision = if vector.precision == "tf32" { "f16" } else { &vector.precision };
    let precision = DType::from_name(precision).unwrap_or_else(|| panic!("{}: unknown precision", vector.file));
    let first = problem.spec.outputs[0].name;
    let truth = Truth::new(problem, precision, inputs, cotangents.clone());
    let outputs = truth.outputs().unwrap_or_else(|e| panic!("{}: {e}", vector.file));
    let gradients = truth.gradients(&cotangents).unwrap_or_else(|e| panic!("{}: {e}", vector.file));
    if vector.precision == "f32" && !GRIDS.contains(&vector.op.as_str()) {
        let wrong = Tensor::from_array(&(expected[first].to_array() * 1.001), DType::F32);
        assert!(outputs[first].judge(&wrong).is_err(), "{}: off by a thousandth, and nobody saw", vector.file);
    }
    let (mut faults, mut judged) = (Vec::new(), 0);
    for (name, answer) in &expected {
        let standard = outputs.get(name).or_else(|| gradients.get(name));
        let standard = standard.unwrap_or_else(|| panic!("{}: nothing is known of {name}", vector.file));
        if standard.doubt.is_some() || standard.is_trivial() {
            continue;
        }
        judged += 1;
        faults.extend(standard.judge(answer).err().map(words));
    }
    (faults, judged)
}

fn words(fault: Fault) -> String {
    match fault {
        Fault::Inaccurate { worst, .. } => {
            let Measure { port, statistic, error, bound, relative, runs, .. } = worst;
            format!("{statistic} of {port} is {error:.2} floors of {runs} runs, of {bound:.2}, relative {relative:.1e}")
        }
        other => format!("{other:?}"),
    }
}

/// What is wrong with a vector or the oracle.
fn wrong(vector: &Vector) -> Option<String> {
    let (faults, judged) = faults(vector);
    assert!(judged > 0, "{}: nothing could be judged", vector.file);
    match &vector.finding {
        None if !faults.is_empty() => Some(format!("{}: {faults:?}", vector.file)),
        Some(finding) if faults.is_empty() => Some(format!("{}: {finding:?} is not seen", vector.file)),
        _ => None,
    }
}

#[test]
fn the_oracle_agrees_with_every_vector_and_would_notice_a_thousandth() {
    let vectors = golden::vectors().expect("the manifest parses");
    assert!(!vectors.is_empty());
    let threads = jobs(None);
    // a share each: what rounds keeps its roundings on its thread
    let share = |first: usize| vectors.iter().skip(first).step_by(threads).filter_map(wrong).collect::<Vec<_>>();
    let wrong: Vec<String> = thread::scope(|scope| {
        let shares: Vec<_> = (0..threads).map(|first| scope.spawn(move || share(first))).collect();
        shares.into_iter().flat_map(|s| s.join().unwrap_or_else(|e| panic::resume_unwind(e))).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Ops of which fla has kernels and no PyTorch code: vectors are by those.
const WITHOUT_NAIVE: [&str; 11] = [
    "addmm",
    "beta_sigmoid",
    "cumsum",
    "local_cumsum",
    "logsumexp",
    "matmul",
    "mean_pooling",
    "rwkv4",
    "softmax",
    "softplus",
    "triangular_inverse",
];

#[test]
fn every_op_of_which_fla_has_pytorch_code_has_vectors_by_it() {
    let vectors = golden::vectors().expect("the manifest parses");
    assert!(WITHOUT_NAIVE.iter().all(|op| reference::spec(op).is_some()));
    for spec in reference::specs().filter(|s| s.level == Level::Op) {
        let mine: Vec<&Vector> = vectors.iter().filter(|v| v.op == spec.name).collect();
        assert!(mine.len() >= 4, "{}: {} vectors", spec.name, mine.len());
        let naive = mine.iter().filter(|v| v.producer == "naive").count();
        match WITHOUT_NAIVE.contains(&spec.name) {
            true => assert_eq!(naive, 0, "{} has vectors by PyTorch code", spec.name),
            false => assert!(naive >= 4, "{}: {naive} vectors by fla's PyTorch code", spec.name),
        }
    }
}

/// Models that fla does not decode with a cache, or, Mamba-3, not at all on what made the vectors.
const NOT_DECODED: [&str; 4] = ["cat_model", "deltaformer_model", "mamba3_model", "stickbreaking_attn_model"];

#[test]
fn every_model_that_decodes_has_a_decode_run() {
    let vectors = golden::vectors().expect("the manifest parses");
    for spec in reference::specs().filter(|s| s.level == Level::Model) {
        let decoded = vectors.iter().any(|v| v.op == spec.name && v.file.contains("/decode-"));
        assert_eq!(decoded, !NOT_DECODED.contains(&spec.name), "{}", spec.name);
    }
}
