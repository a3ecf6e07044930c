//! Laws of the preconditioner of keys and of the delta rules that write with it.

use ndarray::{ArrayD, Axis};
use reference::oracle::Answer;
use reference::problem::Problem;
use reference::spec::{Dim, Value};

use crate::beside::beside;
use crate::question::{Question, assert_equal, assert_same};
use crate::sample::problem;

/// The inputs of the preconditioner.
const ATK: [&str; 4] = ["g_atk", "beta_atk", "a0", "log_atk_scale"];

/// Every variant of an op.
fn all(op: &str) -> Vec<Problem> {
    crate::variants::all(reference::spec(op).expect("a row of the table"))
}

/// The question to another op with the extents, packing, attributes, inputs and cotangents that both have.
fn counterpart(of: &Question, op: &str, also: &str) -> Question {
    let spec = reference::spec(op).expect("a row of the table");
    let known = |key: &str| Dim::from_name(key).is_some() || key == "seqs" || spec.attr(key).is_some();
    let fields = of.problem.fields().into_iter().filter(|(k, _)| known(k)).map(|(k, v)| format!("{k}={v},"));
    let optional = |name: &&&str| spec.input(name).is_some_and(|p| p.presence.optional());
    let absent = of.problem.absent.iter().filter(optional).map(|name| format!(",absent={name}"));
    beside(of, op, &format!("{}{also}{}", fields.collect::<String>(), absent.collect::<String>()), 99)
}

/// An input, or what its absence stands for, a number for each value head.
fn given(question: &Question, name: &str, absent: f64) -> ArrayD<f64> {
    let shape = &question.inputs["v"].shape()[..3];
    question.inputs.get(name).cloned().unwrap_or_else(|| ArrayD::from_elem(shape, absent))
}

/// Compares what the first answer has.
fn assert_covers(problem: &Problem, answer: &Answer, expected: &Answer) {
    let names: Vec<_> = expected.outputs.keys().chain(expected.gradients.keys()).map(|n| (&**n, &**n)).collect();
    assert_same(problem, answer, expected, &names);
}

#[test]
fn with_a_range_of_one_the_gated_delta_rule_remains() {
    without_preconditioner("precond_gated_delta_rule", "gated_delta_rule");
}

#[test]
fn with_a_range_of_one_kimi_delta_attention_remains() {
    without_preconditioner("precond_kda", "kda");
}

fn without_preconditioner(op: &str, plain: &str) {
    for problem in all(op) {
        let mut precond = Question::new(problem, 1);
        precond.problem.attrs.insert("x", Value::Number(1.0));
        precond.cotangents.remove("d_at");
        let mut other = counterpart(&precond, plain, "");
        other.set("beta", given(&precond, "beta", 1.0));
        other.set("g", given(&precond, "g", 0.0));
        let mut answer = precond.answer();
        answer.outputs.remove("at");
        for name in ATK {
            let gradient = answer.gradients.remove(&format!("d_{name}"));
            assert!(gradient.is_none_or(|d| d.iter().all(|x| x.abs() <= 0.0)), "{}: d_{name}", precond.problem);
        }
        assert_covers(&precond.problem, &other.answer(), &answer);
    }
}

#[test]
fn with_a_range_of_one_keys_stay_as_they_are() {
    for problem in all("atk") {
        let mut atk = Question::new(problem, 2);
        atk.problem.attrs.insert("x", Value::Number(1.0));
        atk.cotangents.remove("d_at");
        let (answer, none) = (atk.answer(), ArrayD::zeros(atk.inputs["g"].raw_dim()));
        let expected = [("o", &atk.inputs["k"]), ("d_k", &atk.cotangents["d_o"]), ("d_g", &none), ("d_beta", &none)];
        for (name, array) in expected {
            let got = answer.outputs.get(name).unwrap_or_else(|| &answer.gradients[name]);
            crate::question::assert_agree(&format!("{}: {name}", atk.problem), got, array, 0.0);
        }
    }
}

fn channels(x: &ArrayD<f64>) -> ArrayD<f64> {
    x.clone().insert_axis(Axis(x.ndim()))
}

fn sum(x: &ArrayD<f64>) -> ArrayD<f64> {
    x.sum_axis(Axis(x.ndim() - 1))
}

fn shaped(x: &ArrayD<f64>, like: &ArrayD<f64>) -> ArrayD<f64> {
    x.to_shape(like.raw_dim()).expect("one size").to_owned()
}

/// A number for each channel of `k`.
fn spread(x: &ArrayD<f64>, k: &ArrayD<f64>) -> ArrayD<f64> {
    if x.ndim() < k.ndim() { ArrayD::zeros(k.raw_dim()) + channels(x) } else { x.clone() }
}

/// The preconditioner by hgrn for A, and the chain rule.
fn by_hgrn(atk: &Question) -> Answer {
    let (problem, x) = (&atk.problem, |name: &str| &atk.inputs[name]);
    let (k, beta) = (x("k"), channels(x("beta")));
    let absent = if problem.absent.contains("a0") { ",absent=h0" } else { "" };
    let mut hgrn = counterpart(atk, "hgrn", &format!("D={}{absent}", problem.size(Dim::H) * problem.size(Dim::K)));
    hgrn.set("x", shaped(&(k * k * &beta), &hgrn.inputs["x"]));
    hgrn.set("g", shaped(&spread(x("g"), k), &hgrn.inputs["g"]));
    if let Some(a0) = atk.inputs.get("a0") {
        hgrn.set("h0", shaped(a0, &hgrn.inputs["h0"]));
    }
    let a = shaped(&hgrn.answer().outputs["o"], k) + problem.number("eps").expect("a number");
    let (log_range, r) = (problem.number("x").expect("a number").ln(), a.mapv(f64::ln) - channels(x("log_atk_scale")));
    let m = r.mapv(|r| (-log_range * r / (1.0 + r.abs())).exp());
    let d_o = &atk.cotangents["d_o"];
    let d_r = d_o * k * &m * r.mapv(|r| -log_range / (1.0 + r.abs()).powi(2));
    hgrn.cotangents.insert("d_o".to_owned(), shaped(&(&d_r / &a), &hgrn.inputs["x"]));
    hgrn.cotangents.insert("d_ht".to_owned(), shaped(&atk.cotangents["d_at"], &hgrn.cotangents["d_ht"]));
    let of_a = hgrn.answer();
    let d_x = shaped(&of_a.gradients["d_x"], k);
    let mut answer = Answer::default();
    answer.outputs.extend([("o".to_owned(), k * &m), ("at".to_owned(), of_a.outputs["ht"].clone())]);
    answer.gradients.extend(of_a.gradients.get("d_h0").map(|d| ("d_a0".to_owned(), d.clone())));
    let chained = [
        ("d_k", d_o * &m + &d_x * k * &beta * 2.0),
        ("d_g", sum(&shaped(&of_a.gradients["d_g"], k))),
        ("d_beta", sum(&(&d_x * k * k))),
        ("d_log_atk_scale", -sum(&d_r).sum_axis(Axis(0)).sum_axis(Axis(0))),
    ];
    answer.gradients.extend(chained.map(|(name, d)| (name.to_owned(), d)));
    answer
}

#[test]
fn the_preconditioner_is_hgrn_and_a_function_of_its_output() {
    for problem in all("atk") {
        let atk = Question::new(problem, 3);
        assert_equal(&atk.problem, &by_hgrn(&atk), &atk.answer());
    }
}

/// Every variant of an op whose key heads have one value head each.
fn ungrouped(op: &str) -> impl Iterator<Item = Problem> {
    all(op).into_iter().filter(|p| p.size(Dim::H) == p.size(Dim::HV))
}

/// What a preconditioned op answers without prologues, by atk for the key, dplr for the state, and the chain rule.
fn composed(precond: &Question) -> Answer {
    let (k, v) = (&precond.inputs["k"], &precond.inputs["v"]);
    let (g, beta) = (spread(&given(precond, "g", 0.0), k), channels(&given(precond, "beta", 1.0)));
    let mut atk = counterpart(precond, "atk", "");
    atk.set("g", precond.inputs["g_atk"].clone());
    atk.set("beta", precond.inputs["beta_atk"].clone());
    let w = atk.answer().outputs["o"].clone();

    let mut dplr = counterpart(precond, "dplr", "");
    dplr.set("k", w.clone());
    dplr.set("v", v * &beta);
    dplr.set("a", k * &g.mapv(f64::exp));
    dplr.set("b", -(&w * &beta));
    dplr.set("g", g.clone());
    let mut answer = dplr.answer();
    let d = answer.gradients.clone();
    atk.cotangents.insert("d_o".to_owned(), &d["d_k"] - &(&d["d_b"] * &beta));
    let of_key = atk.answer();

    let d_g = &d["d_g"] + &(&d["d_a"] * &dplr.inputs["a"]);
    let by_channel = precond.inputs.get("g").is_some_and(|g| g.ndim() == k.ndim());
    let chained = [
        ("d_k", &d["d_a"] * &g.mapv(f64::exp) + &of_key.gradients["d_k"]),
        ("d_v", &d["d_v"] * &beta),
        ("d_g", if by_channel { d_g } else { sum(&d_g) }),
        ("d_beta", sum(&(&d["d_v"] * v)) - sum(&(&d["d_b"] * &w))),
        ("d_g_atk", of_key.gradients["d_g"].clone()),
        ("d_beta_atk", of_key.gradients["d_beta"].clone()),
        ("d_log_atk_scale", of_key.gradients["d_log_atk_scale"].clone()),
    ];
    answer.outputs.insert("at".to_owned(), of_key.outputs["at"].clone());
    answer.gradients.extend(of_key.gradients.get("d_a0").map(|d| ("d_a0".to_owned(), d.clone())));
    answer.gradients.extend(chained.map(|(name, d)| (name.to_owned(), d)));
    answer
}

fn chains_atk_and_dplr(op: &str) {
    for problem in ungrouped(op).filter(|p| !p.flag("qk_l2norm") && !p.flag("softplus_gate")) {
        let precond = Question::new(problem, 5);
        assert_covers(&precond.problem, &composed(&precond), &precond.answer());
    }
}

#[test]
fn the_gated_rule_is_atk_for_the_key_and_dplr_for_the_state() {
    chains_atk_and_dplr("precond_gated_delta_rule");
}

#[test]
fn kda_is_atk_for_the_key_and_dplr_for_the_state() {
    chains_atk_and_dplr("precond_kda");
}

#[test]
fn kda_with_equal_channels_is_the_gated_rule() {
    for problem in all("precond_gated_delta_rule").into_iter().filter(|p| !p.absent.contains("g")) {
        let gated = Question::new(problem, 6);
        let mut kda = counterpart(&gated, "precond_kda", "");
        let g = kda.inputs["g"].clone();
        kda.set("g", spread(&gated.inputs["g"], &g));
        let mut answer = kda.answer();
        let d_g = sum(&answer.gradients["d_g"]);
        answer.gradients.insert("d_g".to_owned(), d_g);
        assert_equal(&gated.problem, &answer, &gated.answer());
    }
}

/// A sum over the value heads of each key head, along an axis.
fn by_key_head(x: &ArrayD<f64>, axis: usize, heads: usize) -> ArrayD<f64> {
    let group = x.len_of(Axis(axis)) / heads;
    let parts = (0..heads).map(|j| x.slice_axis(Axis(axis), (j * group..(j + 1) * group).into()).sum_axis(Axis(axis)));
    let parts: Vec<_> = parts.collect();
    ndarray::stack(Axis(axis), &parts.iter().map(|p| p.view()).collect::<Vec<_>>()).expect("parts of one shape")
}

#[test]
fn value_heads_share_a_preconditioner_as_if_their_key_head_were_repeated() {
    let shared = [("q", 2), ("k", 2), ("g_atk", 2), ("beta_atk", 2), ("a0", 1), ("log_atk_scale", 0)];
    for op in ["precond_gated_delta_rule", "precond_kda"] {
        for shape in ["B=2,T=5,H=2,HV=6,K=3,V=4", "B=1,T=7,H=2,HV=6,K=4,V=2,seqs=3+0+4,qk_l2norm=true"] {
            let grouped = Question::new(problem(op, shape), 8);
            let mut repeated = beside(&grouped, op, &shape.replace("H=2,", "H=6,"), 9);
            for (name, axis) in shared {
                repeated.set(name, grouped.inputs[name].select(Axis(axis), &[0, 0, 0, 1, 1, 1]));
            }
            // the state of a key head is one, and so is its cotangent, which the heads here have a third of each
            let d_at = grouped.cotangents["d_at"].select(Axis(1), &[0, 0, 0, 1, 1, 1]) / 3.0;
            repeated.cotangents.insert("d_at".to_owned(), d_at);
            let (mut answer, expected) = (repeated.answer(), grouped.answer());
            for (name, axis) in shared {
                let summed = by_key_head(&answer.gradients[&format!("d_{name}")], axis, 2);
                answer.gradients.insert(format!("d_{name}"), summed);
            }
            let at = by_key_head(&answer.outputs["at"], 1, 2) / 3.0;
            answer.outputs.insert("at".to_owned(), at);
            assert_equal(&format!("{op}({shape})"), &answer, &expected);
        }
    }
}
