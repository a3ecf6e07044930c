//! Commands about a model's training step find what was planted: where a swapped layer goes wrong, where the first NaN
//! is, whose gradient is off.

use std::process::Command;

use fla_conformance::account::account;
use fla_conformance::candidate::local::Reference;
use fla_conformance::candidate::open::in_process;
use fla_conformance::candidate::{Abilities, BenchRequest, Candidate, Reply, Request, Timing};
use fla_conformance::step::Step;
use fla_conformance::swap::{Error, Outcome, Plug, Row, swap};
use fla_conformance::twin::{Plan, twins};
use fla_conformance::weights::initial;
use ndarray::Axis;
use reference::oracle;
use reference::tensor::{DType, Tensor, Tensors};
use reports::record::Identity;
use tempfile::TempDir;

/// The oracle at `f32`, with one fault before and one after.
struct Broken {
    honest: Reference,
    before: fn(&mut Tensors),
    after: fn(&mut Tensors),
}

impl Broken {
    fn new(before: fn(&mut Tensors), after: fn(&mut Tensors)) -> Box<Self> {
        Box::new(Self { honest: Reference::default(), before, after })
    }
}

impl Candidate for Broken {
    fn identity(&self) -> &Identity {
        self.honest.identity()
    }

    fn ops(&self) -> &[String] {
        self.honest.ops()
    }

    fn abilities(&self) -> Abilities {
        Abilities::default()
    }

    fn call(&mut self, request: &Request) -> Reply {
        let mut request = request.clone();
        (self.before)(&mut request.inputs);
        match self.honest.call(&request) {
            Reply::Done { mut tensors, ran } => {
                (self.after)(&mut tensors);
                Reply::Done { tensors, ran }
            }
            other => other,
        }
    }

    fn bench(&mut self, _: &BenchRequest) -> Result<Timing, Reply> {
        Err(Reply::Declined("nothing to time".into()))
    }
}

fn nothing(_: &mut Tensors) {}

/// Every element of a tensor that is there, changed.
fn change(tensors: &mut Tensors, name: &str, f: fn(f64) -> f64) {
    if let Some(tensor) = tensors.get_mut(name) {
        *tensor = Tensor::from_array(&tensor.to_array().mapv(f), tensor.dtype());
    }
}

fn honest(layer: usize) -> Plug {
    Plug::new(layer, Box::new(Reference::default()), None)
}

fn swapped(model: &str, plugs: Vec<Plug>) -> Outcome {
    let step = Step::parse(model).expect(model);
    swap(&step, plugs).expect("layers that are there, and specs that the candidates have")
}

fn row<'a>(outcome: &'a Outcome, place: &str) -> &'a Row {
    outcome.rows.iter().find(|r| r.place == place).unwrap_or_else(|| panic!("no row {place}"))
}

const GLA: &str = "gla_model(B=2,T=24,D=8,S=12,F=12,K=4,V=4,H=2,HQ=2)";

#[test]
fn what_is_watched_is_the_run_that_everybody_else_sees() {
    let step = Step::parse(GLA).expect("a model");
    let trace = step.run(None).expect("its own inputs");
    let inputs = step.inputs.iter().map(|(name, t)| (name.clone(), t.to_array())).collect();
    let want: Vec<&str> = step.case.problem.differentiable().map(|p| p.name).collect();
    let plain = oracle::gradients(&step.case.problem, &inputs, &step.cotangents(), &want).expect("the same question");
    for (name, gradient) in &plain.gradients {
        let apart = (gradient - &trace.answer.gradients[name]).iter().fold(0.0, |m: f64, e| m.max(e.abs()));
        assert!(apart <= 1e-13, "{name}: {apart}");
    }
    // the gradient by the residual stream at the start is that by the embeddings, row by row
    let (ids, start) = (step.inputs["input_ids"].to_i64(), &trace.places[0]);
    let mut embeddings = plain.gradients["d_model.embeddings.weight"].clone();
    for (id, row) in ids.iter().zip(start.gradient.rows()) {
        let mut left = embeddings.index_axis_mut(Axis(0), *id as usize);
        left -= &row;
    }
    assert_eq!(start.name, "embeddings");
    assert!(embeddings.iter().all(|e| e.abs() <= 1e-13));
}

#[test]
fn an_honest_layer_is_within_its_limits_everywhere() {
    let outcome = swapped(GLA, vec![honest(0), honest(1)]);
    assert!(outcome.first().is_none(), "{:?}", outcome.first());
    for place in ["layers.0 gla_layer o", "layers.1 gla_layer d_x", "layers.1", "logits", "loss", "d_lm_head.weight"] {
        assert_eq!(row(&outcome, place).verdict.kind(), "pass", "{place}");
    }
}

#[test]
fn a_layer_that_drops_its_decay_is_named() {
    let fault = |inputs: &mut Tensors| {
        change(inputs, "gk_proj.1.weight", |_| 0.0);
        change(inputs, "gk_proj.1.bias", |_| 40.0);
    };
    let outcome = swapped(GLA, vec![honest(0), Plug::new(1, Broken::new(fault, nothing), None)]);
    let first = outcome.first().map(|r| r.place.as_str());
    assert!(first.is_some_and(|place| place.starts_with("layers.1 gla_layer ")), "{first:?}");
    for place in ["layers.1.mixer", "layers.1", "logits", "loss"] {
        assert!(row(&outcome, place).failed(), "{place}");
    }
    for place in ["embeddings", "layers.0", "layers.1.norm", "layers.0 gla_layer o"] {
        assert!(!row(&outcome, place).failed(), "{place}");
    }
}

#[test]
fn an_op_inside_a_layer_is_handed_over_when_the_layer_is_not_there() {
    let model = "hgrn_model(B=2,T=24,D=8,S=12,I=12)";
    let cpu = || in_process("cpu").expect("our kernels on this processor");
    let fine = swapped(model, vec![Plug::new(1, cpu(), None)]);
    assert!(fine.first().is_none(), "{:?}", fine.first());
    assert_eq!(row(&fine, "layers.1 hgrn o").verdict.kind(), "pass");
    let fault = |inputs: &mut Tensors| change(inputs, "g", |_| 0.0);
    let wrong = swapped(model, vec![Plug::new(0, Broken::new(fault, nothing), Some("hgrn".into()))]);
    let first = wrong.first().map(|r| r.place.as_str());
    assert!(first.is_some_and(|place| place.starts_with("layers.0 hgrn ")), "{first:?}");
    let step = Step::parse("gsa_model(T=8)").expect("a model");
    assert!(matches!(swap(&step, vec![Plug::new(0, cpu(), None)]), Err(Error::Lacks { .. })));
    assert!(matches!(swap(&step, vec![honest(2)]), Err(Error::Layer { depth: 2, .. })));
}

#[test]
fn a_wrong_gradient_of_a_right_layer_is_named_backwards() {
    let fault = |answers: &mut Tensors| change(answers, "d_x", |x| 1.5 * x);
    let outcome = swapped(GLA, vec![Plug::new(1, Broken::new(nothing, fault), None)]);
    assert_eq!(outcome.first().map(|r| r.place.as_str()), Some("layers.1 gla_layer d_x"));
    assert!(!row(&outcome, "loss").failed() && !row(&outcome, "d_layers.1.mixer").failed());
    assert!(row(&outcome, "d_layers.1.norm").failed() && row(&outcome, "d_layers.0").failed());
}

#[test]
fn the_account_names_the_first_nan_and_what_only_f16_cannot_hold() {
    let step = Step::parse(GLA).expect("a model");
    let fresh = initial(&step.case, 0.02);
    let with = |name: &str, f: fn(f64) -> f64| {
        let mut inputs = fresh.clone();
        change(&mut inputs, name, f);
        let step = Step::new(step.case.clone(), inputs).expect("the same model");
        account(&[(0.02, step)], &[DType::F32, DType::F16]).expect("the same shapes")
    };
    let first = |account: &fla_conformance::account::Account| -> Vec<(String, &str)> {
        account.first().iter().map(|r| (r.place.clone(), r.dtype)).collect()
    };
    assert!(first(&with("model.norm.weight", |x| x)).is_empty());
    let planted = with("model.layers.1.mlp.up_proj.weight", |_| f64::NAN);
    assert_eq!(first(&planted), ["f64", "f32", "f16"].map(|d| ("layers.1".to_owned(), d)));
    let huge = with("model.layers.0.attn.o_proj.weight", |x| 1e9 * x);
    assert_eq!(first(&huge), [("layers.0.mixer".to_owned(), "f16")]);
}

#[test]
fn a_wrong_gradient_of_one_parameter_parts_twins_and_an_honest_one_does_not() {
    let spec = reference::spec("hgrn_model").expect("a model");
    let plan = Plan { steps: 30, dtype: DType::F32, seed: 1 };
    let honest = twins(spec, &mut Reference::default(), &plan).expect("steps");
    assert_eq!(honest.parted, None);
    assert!(honest.oracle.last() < honest.oracle.losses[0]);
    assert!(honest.fine(), "{:?}", honest.wrong);
    let fault = |answers: &mut Tensors| change(answers, "d_model.layers.0.attn.f_proj.weight", |x| -x);
    let turned = twins(spec, &mut *Broken::new(nothing, fault), &plan).expect("steps");
    assert!(turned.parted.is_some_and(|step| step < 5), "{:?}", turned.parted);
    // the optimiser divides a factor away: the gradients of the first step tell
    let fault = |answers: &mut Tensors| change(answers, "d_model.layers.0.attn.f_proj.weight", |x| 1.1 * x);
    let scaled = twins(spec, &mut *Broken::new(nothing, fault), &Plan { steps: 2, ..plan }).expect("steps");
    assert!(scaled.wrong.len() == 1 && scaled.wrong[0].contains("d_model.layers.0.attn.f_proj.weight"));
}

/// Runs the program with its report in a folder of its own; gives the exit code, all that it says, and the folder.
fn program(args: &[&str]) -> (Option<i32>, String, TempDir) {
    let folder = TempDir::new().expect("a writable temporary folder");
    let ran = Command::new(env!("CARGO_BIN_EXE_fla-conformance")).args(args).current_dir(folder.path()).output();
    let ran = ran.expect("this package's own program starts");
    let text = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    assert!(!text.contains("panicked"), "{args:?}: {text}");
    (ran.status.code(), text, folder)
}

#[test]
fn commands_say_what_they_found_and_leave_a_page_and_its_lines() {
    let asked: [(&str, i32, &str, &[&str]); 4] = [
        ("swap", 0, "nothing is beyond its limit", &["hgrn_model(T=16,D=8,S=12,I=12)", "--swap", "1=cpu"]),
        ("account", 0, "no NaN, no Inf", &["hgrn_model(T=16,D=8,S=12,I=12)"]),
        ("account", 1, "in f16 with 1000000", &["hgrn_model(T=16,D=8,S=12,I=12)", "--initializer-range", "1e6"]),
        ("twin", 0, "families trained: 1; none", &["--families", "hgrn", "--steps", "3"]),
    ];
    for (command, code, words, args) in asked {
        let (exit, text, folder) = program(&[&[command], args].concat());
        assert_eq!(exit, Some(code), "{command}: {text}");
        assert!(text.contains(words), "{command}: {text}");
        let read = |end: &str| std::fs::read_to_string(folder.path().join(format!("out/{command}.{end}"))).expect(end);
        assert!(read("html").contains("<svg"), "{command}");
        let lines = read("jsonl");
        assert!(lines.lines().all(|l| serde_json::from_str::<serde_json::Value>(l).is_ok()) && !lines.is_empty());
    }
}

#[test]
fn bad_input_is_one_sentence() {
    let refused: [(&[&str], &str); 7] = [
        (&["swap", "hgrn(T=4)", "--swap", "0=cpu"], "hgrn is of level op, expected a model"),
        (&["swap", "hgrn_model(T=4)", "--swap", "7=nobody"], "no layer 7, expected 0 to 1"),
        (&["swap", "hgrn_model(T=4)", "--swap", "0=cpu", "--swap", "0=reference"], "replaced twice"),
        (&["swap", "hgrn_model(T=4)", "--swap", "cpu"], "is not LAYER=CANDIDATE"),
        (&["swap", "gsa_model(T=4)", "--swap", "0=cpu"], "layer 0 asks gsa, gsa_layer"),
        (&["account", "hgrn_model(T=1)"], "no target"),
        (&["twin", "--families", "hgnr"], "the nearest is \"hgrn\""),
    ];
    for (args, words) in refused {
        let (exit, text, _) = program(args);
        assert!(exit == Some(2) && text.contains(words), "{args:?}: {text}");
        // before anything is announced; but what a layer asks is known when it has been asked
        let first = ["error: ", "fla-conformance: "].iter().any(|start| text.starts_with(start));
        assert!(words.contains("asks") || first, "{args:?}: {text}");
    }
}
