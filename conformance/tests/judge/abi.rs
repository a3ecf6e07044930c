//! The C ABI: the example is built by the system's compiler and judged; libraries that break the contract are found.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::question::{hgrn, problem, question};
use fla_conformance::candidate::open::{OpenError, OpenOptions, open};
use fla_conformance::candidate::{BenchRequest, Candidate, Fill, Mode, Reply, Request};
use fla_conformance::case::Case;
use fla_conformance::truth::Truth;
use reference::problem::Problem;
use reference::spec::{Dim, Value};
use reference::tensor::{DType, Tensors};
use tempfile::TempDir;

/// Builds a shared object from a C source.
fn build(folder: &TempDir, source: &Path) -> PathBuf {
    let library = folder.path().join("candidate.so");
    let mut compiler = cc::Build::new();
    compiler.opt_level(2).pic(true).host(TARGET).target(TARGET).out_dir(folder.path()).cargo_metadata(false);
    let mut command = compiler.get_compiler().to_command();
    command.arg("-shared").arg("-I").arg(header_folder()).arg("-o").arg(&library).arg(source).arg("-lm");
    let output = command.output().expect("a C compiler");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}

const TARGET: &str =
    if cfg!(target_arch = "aarch64") { "aarch64-unknown-linux-gnu" } else { "x86_64-unknown-linux-gnu" };

fn header_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("abi")
}

fn load(library: &Path) -> Result<Box<dyn Candidate>, OpenError> {
    let program = Some(env!("CARGO_BIN_EXE_fla-conformance").into());
    open(&library.to_string_lossy(), &OpenOptions { timeout: Duration::from_secs(60), program })
}

/// A candidate for `hgrn` whose call runs `body`.
fn written(body: &str) -> (TempDir, Box<dyn Candidate>) {
    let folder = TempDir::new().expect("a writable temporary folder");
    let source = folder.path().join("candidate.c");
    let text = format!(
        r#"
        #include "candidate.h"
        #include <stdio.h>
        #include <string.h>
        int32_t fla_candidate_hello(fla_hello *h) {{
          h->abi_version = FLA_ABI_VERSION;
          h->name = "rude"; h->version = "0"; h->device = "cpu"; h->ops = "hgrn";
          return 0;
        }}
        int32_t fla_candidate_call(const fla_call *c) {{
          memset(c->outputs[0].data, 0, 48);
          {body}
        }}
        const char *fla_candidate_last_error(void) {{ return "no luck"; }}
        "#
    );
    std::fs::write(&source, text).expect("a writable temporary folder");
    let candidate = load(&build(&folder, &source)).expect("a candidate");
    (folder, candidate)
}

fn asked() -> Request {
    question(hgrn(), DType::F32, "o")
}

fn gated_delta_rule() -> Problem {
    problem("gated_delta_rule", &[(Dim::B, 2), (Dim::T, 5), (Dim::H, 2), (Dim::HV, 4), (Dim::K, 3), (Dim::V, 4)])
}

#[test]
fn the_example_is_right() {
    let folder = TempDir::new().expect("a writable temporary folder");
    let mut example = load(&build(&folder, &header_folder().join("example.c"))).expect("a candidate");
    assert_eq!(example.identity().name, "example.c");
    assert_eq!(example.ops(), ["gated_delta_rule", "hgrn"]);
    let cases = [
        "hgrn(B=2,T=70,D=5,dtype=f32)",
        "hgrn(B=1,T=0,D=3,dtype=bf16)",
        "hgrn(B=3,T=33,D=16,absent=h0,dtype=bf16,profile=slow_decay)",
        "gated_delta_rule(B=2,T=37,H=2,HV=4,K=16,V=24,dtype=f32)",
        "gated_delta_rule(B=1,T=65,H=1,K=60,V=12,scale=0.75,absent=h0,dtype=f32,profile=hard_gates)",
        "gated_delta_rule(B=1,T=33,H=2,K=32,V=32,dtype=bf16)",
    ];
    for (case, fill) in cases.iter().zip([Fill::Any, Fill::NaN, Fill::Huge].iter().cycle()) {
        judge(example.as_mut(), case, *fill);
    }
}

/// Puts the candidate's outputs before the judge's measure.
fn judge(candidate: &mut dyn Candidate, case: &str, fill: Fill) {
    let case: Case = case.parse().expect("a case");
    let truth = Truth::of(&case);
    let want = case.problem.produced().map(|p| p.name.to_owned()).collect();
    let (inputs, cotangents) = (truth.inputs.clone(), Tensors::new());
    let request = Request {
        problem: case.problem.clone(),
        dtype: case.dtype,
        inputs,
        cotangents,
        want,
        fill,
        mode: Mode::default(),
    };
    let reply = candidate.call(&request);
    let Reply::Done { tensors, .. } = reply else { panic!("{case}: {reply:?}") };
    for (name, standard) in truth.outputs().expect("a valid case").iter() {
        assert!(standard.doubt.is_none(), "{case}: {:?}", standard.doubt);
        standard.judge(&tensors[name]).unwrap_or_else(|fault| panic!("{case}: {name}: {fault:?}"));
    }
}

#[test]
fn the_example_declines_what_it_lacks() {
    let folder = TempDir::new().expect("a writable temporary folder");
    let mut example = load(&build(&folder, &header_folder().join("example.c"))).expect("a candidate");
    let mut normalised = gated_delta_rule();
    normalised.attrs.insert("qk_l2norm", Value::Flag(true));
    normalised.absent.extend(["A_log", "dt_bias"]);
    let mut packed = hgrn();
    packed.sizes.insert(Dim::B, 1);
    packed.sequences = Some(vec![1, 2]);
    let no_such_op = problem("simple_gla", &[(Dim::B, 1), (Dim::T, 1), (Dim::H, 1), (Dim::K, 1), (Dim::V, 1)]);
    let mut no_constant_gate = no_such_op.clone();
    no_constant_gate.absent.insert("g_gamma");
    let declined = [
        question(hgrn(), DType::F16, "o"),
        question(hgrn(), DType::F32, "o,d_x"),
        question(normalised, DType::F32, "o"),
        question(packed, DType::F32, "o"),
        question(no_constant_gate, DType::F32, "o"),
    ];
    for asked in declined {
        let reply = example.call(&asked);
        assert!(matches!(reply, Reply::Declined(_)), "{}: {reply:?}", asked.problem);
    }
}

#[test]
fn writing_where_nothing_may_be_written_is_found() {
    let bodies = [
        ("((char *)c->outputs[0].data)[48] = 1; return 0;", "past the end of o"),
        ("((char *)c->outputs[0].data)[48 + 4000] = 1; return 0;", "past the end of o"),
        ("((char *)c->outputs[0].data)[-1] = 1; return 0;", "before the start of o"),
        ("((char *)c->inputs[1].data)[3] ^= 1; return 0;", "into its input h0"),
        ("((char *)c->inputs[0].data)[-4] = 1; return 0;", "before the start of g"),
    ];
    for (body, words) in bodies {
        let (_folder, mut candidate) = written(body);
        let reply = candidate.call(&asked());
        assert!(matches!(&reply, Reply::Trespassed(m) if m.contains(words)), "{body}: {reply:?}");
    }
}

#[test]
fn what_a_library_does_becomes_a_reply() {
    let reply = |body: &str| written(body).1.call(&asked());
    assert!(matches!(reply("printf(\"hello\\n\"); fflush(stdout); return 0;"), Reply::Done { .. }));
    assert!(matches!(reply("return FLA_DECLINED;"), Reply::Declined(m) if m == "no luck"));
    assert!(matches!(reply("return FLA_OUT_OF_MEMORY;"), Reply::OutOfMemory(m) if m == "no luck"));
    assert!(matches!(reply("return -3;"), Reply::Failed(m) if m == "status -3: no luck"));
    let (_folder, mut candidate) = written("static int n; if (n++) return 0; *(volatile int *)8 = 1; return 0;");
    for _ in 0..2 {
        let reply = candidate.call(&asked());
        assert!(matches!(&reply, Reply::Crashed(m) if m.contains("SIGSEGV")), "{reply:?}");
    }
    let (_folder, mut candidate) = written("return 0;");
    let Reply::Done { tensors, .. } = candidate.call(&question(hgrn(), DType::F32, "o,ht")) else {
        panic!("no answer")
    };
    assert!(tensors["ht"].values().all(f64::is_nan), "an output that is not written stays NaN");
}

#[test]
fn files_that_are_no_candidates() {
    let folder = TempDir::new().expect("a writable temporary folder");
    let missing = load(&folder.path().join("none.so")).err().expect("no candidate");
    assert!(matches!(missing, OpenError::File { .. }) && missing.exit_code() == 2, "{missing}");
    let text = folder.path().join("text.so");
    std::fs::write(&text, "no library").expect("a writable temporary folder");
    let text = load(&text).err().expect("no candidate");
    assert!(text.to_string().contains("text.so cannot be loaded"), "{text}");
    let source = folder.path().join("empty.c");
    std::fs::write(&source, "int fla_candidate_hello(void *h) { return h == 0; }")
        .expect("a writable temporary folder");
    let empty = load(&build(&folder, &source)).err().expect("no candidate");
    assert!(empty.to_string().contains("fla_candidate_call"), "{empty}");
    let body = "#include \"candidate.h\"\n
        int32_t fla_candidate_hello(fla_hello *h) { h->abi_version = 7; return 0; }
        int32_t fla_candidate_call(const fla_call *c) { return c == 0; }
        const char *fla_candidate_last_error(void) { return 0; }";
    std::fs::write(&source, body).expect("a writable temporary folder");
    let old = load(&build(&folder, &source)).err().expect("no candidate");
    assert!(old.to_string().contains("ABI version 7, expected 1"), "{old}");
}

#[test]
fn a_library_is_timed() {
    let (_folder, mut candidate) = written("return 0;");
    let (want, profile) = (vec!["o".to_owned()], "typical".to_owned());
    let asked = BenchRequest { problem: hgrn(), dtype: DType::F32, want, iterations: 3, profile, seed: 0 };
    let timing = candidate.bench(&asked).expect("a timing");
    assert_eq!(timing.times_ns.len(), 3);
    assert!(timing.times_ns.iter().all(|&t| t > 0.0) && timing.sample.contains_key("o"));
}
