//! Which cases a check has something to check in, and what it asks.

use super::*;
use crate::candidate::local::Reference;
use crate::examine::{ask, judge};

/// The case of that name.
pub(super) fn case(text: &str) -> Case {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// A tensor of these numbers.
pub(super) fn tensor(dtype: DType, shape: &[usize], values: &[f64]) -> Tensor {
    let array = ndarray::ArrayD::from_shape_vec(shape, values.to_vec()).expect("as many numbers as the shape has");
    Tensor::from_array(&array, dtype)
}

/// A check, cases that it is for, and cases that lack one thing each that it needs.
type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

const OPS: [Row; 14] = [
    ("forward", &["hgrn(T=0)", "hgrn(T=3)"], &["simple_gla(T=3,profile=lattice)"]),
    ("poison", &["hgrn(T=0)"], &["simple_gla(T=3,profile=lattice)"]),
    ("repeat", &["hgrn(T=0)"], &["simple_gla(T=3,profile=lattice)"]),
    ("lattice", &["simple_gla(T=3,profile=lattice)"], &["simple_gla(T=3)"]),
    ("backward", &["hgrn(T=1)"], &["hgrn(T=0)"]),
    ("resume", &["hgrn(T=2)"], &["hgrn(T=1)", "hgrn(seqs=2+3)", "hgrn(absent=ht)", "softplus(T=2)"]),
    ("decode", &["hgrn(T=2)"], &["hgrn(T=1)", "hgrn(seqs=2+3)", "hgrn(absent=ht)", "softplus(T=2)"]),
    ("local", &["hgrn(T=3)"], &["hgrn(T=2)", "hgrn(T=3,seed=1)", "gla_layer(T=3)", "softplus(T=3)"]),
    ("varlen", &["hgrn(B=2,T=3)", "hgrn(seqs=2+3)"], &["hgrn(B=2,T=0)", "hgrn(B=0,T=3)"]),
    ("causality", &["hgrn(T=2)"], &["hgrn(T=1)", "based_layer(T=8,causal=false)"]),
    ("containment", &["hgrn(T=129)"], &["hgrn(T=128)", "hgrn(seqs=129)", "based_layer(T=129,causal=false)"]),
    ("prefix", &["hgrn(T=2)"], &["hgrn(T=1)", "gla_layer(T=2)", "long_convolution(T=2)", "l2warp(T=2)"]),
    ("reduction", &["delta_rule(T=3)"], &["delta_rule(T=0)", "hgrn(T=3)"]),
    ("append", &["simple_gla(T=3)"], &["simple_gla(T=1)", "gated_delta_rule(T=3,softplus_gate=true)"]),
];

const SLICES: [Row; 6] = [
    ("isolation", &["hgrn(B=2,T=3)", "hgrn(T=3,D=2)"], &["hgrn(B=2,T=0)", "hgrn(B=1,T=3,D=1)"]),
    ("permute", &["hgrn(B=2,T=3)"], &["hgrn(B=2,T=0)", "hgrn(B=1,T=3)"]),
    (
        "columns",
        &["simple_gla(T=3,V=2)"],
        &["simple_gla(T=0,V=2)", "simple_gla(T=3,V=1)", "hgrn(T=3)", "ttt(T=3,K=3,V=3)"],
    ),
    ("gauge", &["simple_gla(T=3)"], &["simple_gla(T=0)", "simple_gla(T=3,dtype=f16)"]),
    (
        "grouped",
        &["gated_delta_rule(T=3,H=1,HV=2)"],
        &["gated_delta_rule(T=0,H=1,HV=2)", "gated_delta_rule(T=3,H=2,HV=2)"],
    ),
    (
        "absent",
        &["simple_gla(T=3,absent=g_gamma+h0)"],
        &["simple_gla(T=0,absent=g_gamma+h0)", "simple_gla(T=3,absent=g_gamma)"],
    ),
];

const ASKED_OF_SOME: [Row; 6] = [
    ("evaluation", &["gla_layer(T=2)"], &["hgrn(T=2)"]),
    ("recompute", &["transformer_model(T=5)"], &["transformer_model(T=0)", "softplus(T=2)"]),
    (
        "graph",
        &["hgrn(T=2,seed=60)", "hgrn(T=2,seed=62)"],
        &["hgrn(T=2,seed=59)", "hgrn(T=0,seed=60)", "gla_layer(T=2,seed=60)"],
    ),
    ("cold", &["hgrn(T=2,seed=60)"], &["hgrn(T=2,seed=61)", "hgrn(T=0,seed=60)", "gla_layer(T=2,seed=60)"]),
    (
        "wide",
        &["simple_gla(B=3,seed=160)", "simple_gla(B=3,seed=161)"],
        &[
            "simple_gla(B=3,seed=162)",
            "simple_gla(B=2,seed=161)",
            "gated_delta_rule(B=3,H=1,HV=2,seed=161)",
            "gla_layer(B=3,seed=161)",
        ],
    ),
    (
        "gain",
        &["simple_gla(B=2,T=3,dtype=bf16)", "simple_gla(B=1,T=2,H=1,dtype=f16,seed=4)"],
        &[
            "simple_gla(B=2,T=3,dtype=f32)",
            "simple_gla(B=2,T=3,dtype=bf16,profile=slow_decay)",
            "simple_gla(B=2,T=1,dtype=bf16)",
            "simple_gla(B=0,T=3,dtype=bf16)",
            "simple_gla(B=2,T=3,dtype=bf16,seed=1)",
            "gla_layer(B=2,T=3,dtype=bf16)",
            "softplus(B=2,T=3,dtype=bf16)",
        ],
    ),
];

#[test]
fn a_check_is_for_the_cases_that_have_what_it_needs() {
    let rows = || OPS.iter().chain(&SLICES).chain(&ASKED_OF_SOME);
    for &(name, with, without) in rows() {
        let is_for = |text: &str| applicable(&case(text)).any(|c| c.name == name);
        with.iter().for_each(|text| assert!(is_for(text), "{name} is for {text}"));
        without.iter().for_each(|text| assert!(!is_for(text), "{name} is not for {text}"));
    }
    for c in CHECKS {
        assert!(check(c.name).is_some_and(|found| found.name == c.name), "{}", c.name);
        assert!(rows().any(|(name, ..)| *name == c.name), "{} is missing above", c.name);
    }
}

/// What a check asks about a case.
fn plan(name: &str, text: &str) -> Vec<Call> {
    let case = case(text);
    (check(name).expect("a check").plan)(&case, &Truth::of(&case))
}

#[test]
fn absent_inputs_are_given_together_and_one_by_itself() {
    let absent = |text: &str| -> Vec<Vec<&str>> {
        plan("absent", text).iter().map(|c| c.problem.absent.iter().copied().collect()).collect()
    };
    // g_gamma and g exclude one another
    let all = "simple_gla(T=2,K=1,V=1,absent=g+g_gamma+h0";
    assert_eq!(
        absent(&format!("{all})")),
        [["g_gamma"].as_slice(), &["g_gamma"], &["g_gamma", "h0"], &["g_gamma", "h0"]]
    );
    assert_eq!(absent(&format!("{all},seed=1)"))[2..], [["g", "h0"]; 2]);
    let some = "simple_gla(T=2,K=1,V=1,absent=g_gamma+h0";
    assert_eq!(absent(&format!("{some})")), [["g_gamma"]; 2], "g_gamma cannot be given by itself");
    assert_eq!(absent(&format!("{some},seed=1)")), [["g_gamma"]; 2], "the same set is not asked twice");
}

#[test]
fn a_call_is_what_it_wants_of_what_it_is_given() {
    let case = case("hgrn(T=2,D=1)");
    let truth = Truth::of(&case);
    let names = |call: &Call| (call.want.join(" "), call.cotangents.keys().cloned().collect::<Vec<_>>().join(" "));
    let forward = Call::forward(&case.problem, &truth.inputs);
    assert_eq!(names(&forward), ("o ht".into(), String::new()));
    let backward = Call::backward(&case.problem, &truth.inputs, &truth.cotangents);
    assert_eq!(names(&backward), ("d_x d_g d_h0".into(), "d_ht d_o".into()));
    let both = Call::both(&case.problem, &truth.inputs, &truth.cotangents);
    assert_eq!(names(&both), ("o ht d_x d_g d_h0".into(), "d_ht d_o".into()));
    assert_eq!(forward.request(case.dtype, &[]).map(|r| r.inputs), Some(truth.inputs.clone()));
    assert!(!forward.is_large());
}

#[test]
fn a_source_is_a_value_rows_over_and_over_or_an_earlier_answer() {
    let rows = tensor(DType::F32, &[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let five = Source::Repeated(rows.clone(), 5).resolve(&[]).expect("rows need no answer");
    assert_eq!(five.shape(), [5, 2]);
    assert_eq!(five.values().collect::<Vec<_>>(), [1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0, 1.0, 2.0]);
    assert_eq!(Source::Repeated(rows.narrow(1, 0..0), 3).resolve(&[]).map(|t| t.shape().to_vec()), Some(vec![3, 0]));
    let answer = |call, dtype| Source::Answer { call, name: "ht".into(), dtype };
    let answers = [Tensors::from([("ht".to_owned(), rows.clone())])];
    assert_eq!(answer(0, DType::F32).resolve(&answers), Some(rows.clone()));
    assert_eq!(answer(0, DType::Bf16).resolve(&answers).map(|t| t.dtype()), Some(DType::Bf16));
    assert_eq!(answer(1, DType::F32).resolve(&answers), None, "no such answer yet");
}

#[test]
fn a_stretch_starts_from_the_states_before_it() {
    let case = case("hgrn(B=1,T=4,D=1)");
    let truth = Truth::of(&case);
    let state = Tensor::filled(DType::F32, &[1, 1], 7.0);
    let states = Tensors::from([("ht".to_owned(), state.clone())]);
    let of = |range: std::ops::Range<usize>, states: &Tensors| {
        stretch(&case, &truth, &range, states).map(|r| r.inputs["h0"].clone())
    };
    assert_eq!(of(0..2, &Tensors::new()).as_ref(), Some(&truth.inputs["h0"]));
    assert_eq!((of(2..4, &states), of(2..4, &Tensors::new())), (Some(state), None));
}

/// The call that a check names when the answers to these calls differ from those to all others.
fn named(name: &str, text: &str, wrong: &[usize], answered: usize) -> Option<usize> {
    let (case, check) = (case(text), check(name).expect("a check"));
    let truth = Truth::of(&case);
    let calls = (check.plan)(&case, &truth);
    let answer = |i: usize| {
        let value = if wrong.contains(&i) { 2.0 } else { 1.0 };
        calls[i].want.iter().map(|name| (name.clone(), Tensor::filled(DType::F32, &[1, 1, 1], value))).collect()
    };
    let answers: Vec<Tensors> = (0..calls.len().min(answered)).map(answer).collect();
    match (check.judge)(&Trial { case: &case, truth: &truth, calls: &calls, answers: &answers }) {
        Ok(Verdict::Fail { call, .. }) => Some(call),
        Ok(Verdict::Pass { .. }) => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_call_that_differs_is_named() {
    let (case, all) = ("hgrn(B=1,T=1,D=1,seed=60)", usize::MAX);
    for (name, last, named_first) in [("poison", 3, 1), ("cold", 2, 1), ("graph", 4, 2)] {
        assert_eq!(named(name, case, &[], all), None, "{name}");
        assert_eq!(named(name, case, &[last], all), Some(last), "{name}");
        assert_eq!(named(name, case, &[0], all), Some(named_first), "{name}");
    }
    assert_eq!((named("graph", case, &[3], all), named("poison", case, &[1], all)), (Some(3), Some(1)));
    let rounds = "hgrn(B=1,T=1,D=1,seed=1)";
    assert_eq!((named("repeat", rounds, &[3], all), named("repeat", rounds, &[2], all)), (Some(3), Some(2)));
    assert_eq!((named("poison", case, &[], 1), named("poison", case, &[], 3)), (Some(0), Some(2)), "what is missing");
}

#[test]
fn poison_and_modes_are_asked_for() {
    let case = "hgrn(B=1,T=1,D=1,seed=60)";
    let fills: Vec<Fill> = plan("poison", case).iter().map(|c| c.fill).collect();
    assert_eq!(fills, [Fill::NaN, Fill::Huge, Fill::NaN, Fill::Huge]);
    assert_eq!(plan("cold", case).iter().map(|c| c.first).collect::<Vec<_>>(), [true, false, true]);
    let graph = plan("graph", case);
    assert!(graph.iter().map(|c| c.mode).eq([Mode::Any, Mode::Any, Mode::Graph, Mode::Graph, Mode::Graph]));
    let inputs = |i: usize| graph[i].request(DType::F32, &[]).map(|r| r.inputs);
    let other: Case = case.replace("seed=60", "seed=4294967356").parse().expect("valid");
    assert_eq!((inputs(3), inputs(4)), (Some(crate::sample::inputs(&other)), inputs(0)));
}

#[test]
fn the_widest_call_has_more_elements_than_32_bits_count() {
    let call = plan("wide", "simple_gla(B=3,seed=161)").remove(0);
    let elements = |port| call.problem.shape(port).iter().product::<usize>();
    assert!(call.is_large() && call.problem.outputs().map(elements).max() > Some(1 << 31));
}

/// The call that a check blames when of the oracle's answers one tensor is another one, or missing; none where it
/// passes.
fn blamed(name: &str, text: &str, (call, tensor, value): (usize, &str, Option<f64>)) -> Option<usize> {
    let (case, check) = (case(text), check(name).expect("a check"));
    let truth = Truth::of(&case);
    let mut asked = ask(&mut Reference::default(), &case, &truth, check);
    if let Some(right) = asked.answers.get_mut(call).and_then(|a| a.remove_entry(tensor)) {
        let wrong = |value| (right.0, Tensor::filled(right.1.dtype(), right.1.shape(), value));
        asked.answers[call].extend(value.map(wrong));
    }
    match judge(&case, &truth, check, &asked) {
        Verdict::Fail { call, .. } => Some(call),
        Verdict::Pass { .. } => None,
        other => panic!("{name} of {text}: {other:?}"),
    }
}

/// Call and tensor that are wrong, and the call that is blamed for it.
type Blame = (usize, &'static str, Option<usize>);

const WRONG: [(&str, &str, &[Blame]); 15] = [
    ("prefix", "hgrn(B=1,T=5,D=2)", &[(1, "d_x", Some(1))]),
    (
        "backward",
        "hgrn(B=1,T=3,D=2,seed=3)",
        &[(0, "d_x", Some(0)), (1, "d_g", Some(1)), (1, "o", Some(1)), (2, "d_x", Some(2))],
    ),
    ("causality", "hgrn(B=1,T=5,D=2)", &[(1, "o", Some(1))]),
    ("absent", "hgrn(B=1,T=3,D=2,absent=h0)", &[(0, "o", Some(0)), (1, "d_x", Some(1))]),
    ("decode", "simple_gla(B=1,T=10,H=1,K=2,V=2)", &[(0, "o", Some(8)), (8, "ht", Some(8))]),
    ("decode", "simple_gla(B=1,T=10,H=1,K=2,V=2,reverse=true)", &[(8, "o", Some(8)), (7, "ht", None)]),
    ("varlen", "hgrn(D=2,seqs=2+3+1)", &[(0, "o", Some(4)), (1, "d_x", Some(5))]),
    ("varlen", "hgrn(B=2,T=3,D=2)", &[(0, "o", Some(0)), (1, "d_x", Some(1))]),
    (
        "resume",
        "hgrn(B=1,T=3,D=2)",
        &[(0, "o", Some(1)), (2, "d_x", Some(3)), (4, "o", Some(5)), (6, "d_x", Some(7)), (0, "ht", None)],
    ),
    ("resume", "short_convolution(B=1,T=3,D=2,W=2)", &[(1, "xt", Some(1)), (3, "d_x0", Some(3))]),
    ("isolation", "hgrn(B=2,T=1,D=1)", &[(2, "o", Some(2)), (5, "d_x", Some(5))]),
    ("reduction", "delta_rule(B=1,T=3,H=1,K=2,V=2)", &[(0, "o", Some(0)), (1, "d_v", Some(1))]),
    (
        "lattice",
        "simple_gla(B=1,T=3,H=1,K=2,V=2,absent=g_gamma,scale=0.5,profile=lattice,seed=4)",
        &[(0, "o", Some(0)), (1, "d_v", Some(1)), (2, "o", Some(3)), (4, "d_v", Some(5))],
    ),
    ("lattice", "simple_gla(B=1,T=1,H=1,K=2,V=2,absent=g_gamma,scale=0.5,profile=lattice)", &[(1, "d_v", Some(1))]),
    // a state's cotangent is rounded in between
    (
        "lattice",
        "short_convolution(B=1,T=3,D=2,W=2,dtype=bf16,profile=lattice)",
        &[(2, "o", Some(3)), (4, "d_x", None)],
    ),
];

const MISSING: [(&str, &str, &[Blame]); 4] = [
    ("decode", "hgrn(B=1,T=3,D=2)", &[(0, "o", Some(2))]),
    ("varlen", "hgrn(D=2,seqs=2+3)", &[(0, "o", Some(3)), (1, "d_x", Some(3))]),
    ("resume", "hgrn(B=1,T=3,D=2)", &[(0, "o", Some(1)), (2, "d_x", Some(3)), (4, "o", Some(5)), (6, "d_x", Some(7))]),
    ("isolation", "hgrn(B=2,T=1,D=1)", &[(2, "o", Some(2)), (5, "d_x", Some(5))]),
];

#[test]
fn right_answers_pass_and_a_wrong_one_is_blamed_on_a_call() {
    for (name, text, blames) in WRONG {
        assert_eq!(blamed(name, text, (usize::MAX, "", None)), None, "{name} of {text}");
        for &(call, tensor, expected) in blames {
            assert_eq!(blamed(name, text, (call, tensor, Some(3.0))), expected, "{name} of {text}: {call} {tensor}");
        }
    }
    for (name, text, blames) in MISSING {
        for &(call, tensor, expected) in blames {
            assert_eq!(blamed(name, text, (call, tensor, None)), expected, "{name} of {text}: {call} {tensor}");
        }
    }
}

#[test]
fn cotangents_are_of_tokens_where_states_are_not_asked_about() {
    let asked = |name: &str, text: &str| plan(name, text).remove(0).cotangents.into_keys().collect::<Vec<_>>();
    assert_eq!(asked("prefix", "hgrn(B=1,T=5,D=2)"), ["d_o"]);
    assert_eq!(asked("recompute", "transformer_model(B=1,T=5)"), ["d_logits", "d_loss"]);
}

#[test]
fn gradients_are_asked_for_with_all_cotangents_with_some_and_alone() {
    let wanted: Vec<String> = plan("backward", "hgrn(B=1,T=3,D=2,seed=3)").iter().map(|c| c.want.join(" ")).collect();
    assert_eq!(wanted, ["d_x d_g d_h0", "o ht d_x d_g d_h0", "d_x"]);
}

#[test]
fn a_case_on_the_lattice_is_cut_where_its_seed_says() {
    let tokens =
        |text: &str| -> Vec<usize> { plan("lattice", text).iter().map(|call| call.problem.size(Dim::T)).collect() };
    assert_eq!(tokens("hgrn(B=1,T=3,D=1,profile=lattice,seed=4)"), [3, 3, 2, 1, 1, 2]);
    assert_eq!(tokens("hgrn(B=1,T=1,D=1,profile=lattice)"), [1, 1]);
}
