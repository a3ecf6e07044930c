//! Laws between ops: two independent ways to the same outputs and gradients.

use ndarray::{ArrayD, Axis, concatenate};
use reference::oracle::{self, Answer};
use reference::spec::{Dim, OpSpec, Value};
use reference::specs;

use crate::agree::largest;
use crate::question::{Question, assert_agree, assert_equal, assert_same};
use crate::sample::problem;

#[test]
fn simple_gla_at_width_one_is_hgrn() {
    for shape in ["B=2,T=9", "B=1,T=9,seqs=4+0+5"] {
        let hgrn = Question::new(problem("hgrn", &format!("{shape},D=3")), 1);
        let mut gla = Question::new(problem("simple_gla", &format!("{shape},H=3,K=1,V=1,scale=1,absent=g_gamma")), 2);
        for (to, from) in [("v", "x"), ("g", "g"), ("h0", "h0")] {
            let shape = gla.inputs[to].raw_dim();
            gla.set(to, hgrn.inputs[from].clone().into_shape_with_order(shape).expect("one size"));
        }
        for name in ["q", "k"] {
            gla.set(name, ArrayD::ones(gla.inputs[name].raw_dim()));
        }
        for (name, array) in &mut gla.cotangents {
            *array = hgrn.cotangents[name].clone().into_shape_with_order(array.raw_dim()).expect("one size");
        }
        let names = [("o", "o"), ("ht", "ht"), ("d_v", "d_x"), ("d_g", "d_g"), ("d_h0", "d_h0")];
        assert_same(&shape, &gla.answer(), &hgrn.answer(), &names);
    }
}

/// The same `q k v g h0` and cotangents for both ops.
fn gla_beside_delta(fields: &str) -> (Question, Question) {
    let delta = Question::new(problem("gated_delta_rule", &format!("{fields},H=2,HV=2")), 3);
    let mut gla = Question::new(problem("simple_gla", &format!("{fields},H=2,absent=g_gamma")), 4);
    for name in ["q", "k", "v", "g", "h0"] {
        gla.set(name, delta.inputs[name].clone());
    }
    gla.cotangents = delta.cotangents.clone();
    (gla, delta)
}

#[test]
fn the_delta_rule_with_orthogonal_keys_used_once_is_simple_gla() {
    let (mut gla, mut delta) = gla_beside_delta("B=2,T=4,K=5,V=3");
    let mut keys: ArrayD<f64> = ArrayD::zeros(delta.inputs["k"].raw_dim());
    for t in 0..4 {
        keys.index_axis_mut(Axis(3), (t + 2) % 5).index_axis_mut(Axis(1), t).fill(1.0);
    }
    // nothing is stored under the keys before they are used
    let mut h0 = delta.inputs["h0"].clone();
    for t in 0..4 {
        h0.index_axis_mut(Axis(2), (t + 2) % 5).fill(0.0);
    }
    for question in [&mut gla, &mut delta] {
        question.set("k", keys.clone());
        question.set("h0", h0.clone());
    }
    delta.set("beta", ArrayD::ones(delta.inputs["beta"].raw_dim()));
    let names = ["o", "ht", "d_q", "d_v", "d_g"].map(|n| (n, n));
    assert_same(&"one-hot keys", &delta.answer(), &gla.answer(), &names);
}

#[test]
fn the_delta_rule_that_writes_nothing_only_decays() {
    let (mut gla, mut delta) = gla_beside_delta("B=1,T=9,K=4,V=3,seqs=4+0+5");
    gla.set("v", ArrayD::zeros(gla.inputs["v"].raw_dim()));
    delta.set("beta", ArrayD::zeros(delta.inputs["beta"].raw_dim()));
    let answer = delta.answer();
    let names = ["o", "ht", "d_q", "d_g", "d_h0"].map(|n| (n, n));
    assert_same(&"beta = 0", &answer, &gla.answer(), &names);
    assert!(answer.gradients["d_v"].iter().all(|x| x.abs() <= 0.0));
}

#[test]
fn what_was_just_written_with_full_strength_is_read_back() {
    let mut delta = Question::new(problem("gated_delta_rule", "B=2,T=9,H=2,HV=2,K=4,V=3,scale=1"), 5);
    delta.set("beta", ArrayD::ones(delta.inputs["beta"].raw_dim()));
    delta.set("q", delta.inputs["k"].clone());
    let outputs = oracle::forward(&delta.problem, &delta.inputs).expect("a valid question");
    assert_agree("o = v", &outputs["o"], &delta.inputs["v"], 0.0);
}

#[test]
fn g_gamma_is_a_constant_g() {
    for shape in ["B=2,T=9,H=3,K=4,V=2", "B=1,T=9,H=3,K=4,V=2,seqs=4+0+5,reverse=true"] {
        let constant = Question::new(problem("simple_gla", &format!("{shape},absent=g")), 6);
        let mut each = Question::new(problem("simple_gla", &format!("{shape},absent=g_gamma")), 7);
        let g = constant.inputs["g_gamma"].broadcast(each.inputs["g"].raw_dim()).expect("heads are last").to_owned();
        each.inputs = constant.inputs.clone();
        each.inputs.remove("g_gamma");
        each.set("g", g);
        each.cotangents = constant.cotangents.clone();
        let names = ["o", "ht", "d_q", "d_k", "d_v", "d_h0"].map(|n| (n, n));
        assert_same(&shape, &constant.answer(), &each.answer(), &names);
    }
}

#[test]
fn value_heads_share_a_key_head_as_if_it_were_repeated() {
    let grouped = Question::new(problem("gated_delta_rule", "B=2,T=6,H=2,HV=6,K=4,V=3,qk_l2norm=true"), 8);
    let mut repeated = Question::new(problem("gated_delta_rule", "B=2,T=6,H=6,HV=6,K=4,V=3,qk_l2norm=true"), 9);
    repeated.inputs = grouped.inputs.clone();
    repeated.cotangents = grouped.cotangents.clone();
    for name in ["q", "k"] {
        repeated.set(name, grouped.inputs[name].select(Axis(2), &[0, 0, 0, 1, 1, 1]));
    }
    let mut answer = repeated.answer();
    for name in ["d_q", "d_k"] {
        let each = &answer.gradients[name];
        let summed = [0..3, 3..6].map(|j| each.slice_axis(Axis(2), j.into()).sum_axis(Axis(2)).insert_axis(Axis(2)));
        answer.gradients.insert(
            name.to_owned(),
            concatenate(Axis(2), &summed.each_ref().map(|x| x.view())).expect("two key heads"),
        );
    }
    assert_equal(&"grouped heads", &answer, &grouped.answer());
}

/// Ops in which the scale is not a factor on q: they scale gates too, or normalise q first.
const SCALED_OTHERWISE: [&str; 2] = ["cyfa", "path_attn"];

#[test]
fn scale_is_a_factor_on_q() {
    let on_q = |s: &&OpSpec| s.attr("scale").is_some() && s.input("q").is_some() && !SCALED_OTHERWISE.contains(&s.name);
    for spec in specs().filter(on_q) {
        for plain in crate::variants::all(spec) {
            if plain.flag("qk_l2norm") || plain.flag("q_l2norm") {
                continue;
            }
            let given = plain.number("scale").unwrap_or((plain.size(Dim::K) as f64).powf(-0.5));
            let with = Question::new(plain.clone(), 10);
            let mut without = Question::new(plain, 10);
            without.problem.attrs.insert("scale", Value::Number(1.0));
            without.set("q", &with.inputs["q"] * given);
            let mut answer = without.answer();
            answer.gradients.get_mut("d_q").expect("q has a gradient").mapv_inplace(|x| x * given);
            let expected = with.answer();
            // scale cancels from a normalised sum, and nearly nothing remains of d_q when that has one term
            let beside = largest(&expected.outputs["o"]);
            assert_eq!(answer.gradients.len(), expected.gradients.len(), "{}", with.problem);
            for (name, x) in expected.outputs.iter().chain(&expected.gradients) {
                let got = answer.outputs.get(name).or(answer.gradients.get(name)).expect("the same question");
                assert_agree(&format!("{}: {name}", with.problem), got, x, beside);
            }
        }
    }
}

/// `d_x` of `y = x / √(Σx² + ε)` from `d_y`, row by row.
fn through_l2norm(x: &ArrayD<f64>, d_y: &ArrayD<f64>) -> (ArrayD<f64>, ArrayD<f64>) {
    let (mut y, mut d_x) = (x.clone(), d_y.clone());
    let last = Axis(x.ndim() - 1);
    for (mut y, mut d) in y.lanes_mut(last).into_iter().zip(d_x.lanes_mut(last)) {
        let norm = (y.dot(&y) + 1e-6).sqrt();
        y /= norm;
        let along = y.dot(&d);
        d.scaled_add(-along, &y);
        d /= norm;
    }
    (y, d_x)
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Replaces the prologues of a question by arithmetic on its inputs, and the gradients of an answer accordingly.
fn without_prologues(with: &Question) -> Answer {
    let flag = |name| with.problem.flag(name);
    let mut plain =
        Question { problem: with.problem.clone(), inputs: with.inputs.clone(), cotangents: with.cotangents.clone() };
    plain.problem.attrs.retain(|name, _| *name == "scale");
    plain.problem.absent.remove("dt_bias");
    let (a_log, dt_bias) = (plain.inputs.remove("A_log"), plain.inputs.remove("dt_bias"));
    let raw = &with.inputs["g"] + &dt_bias.clone().unwrap_or_else(|| ArrayD::zeros(vec![1]));
    let rate = a_log.as_ref().map(|a| -a.mapv(f64::exp));
    if let Some(rate) = &rate {
        plain.set("g", raw.mapv(|x| x.exp().ln_1p()) * rate);
    }
    let strength = if flag("allow_neg_eigval") { 2.0 } else { 1.0 };
    if flag("beta_sigmoid") {
        plain.set("beta", with.inputs["beta"].mapv(|x| strength * sigmoid(x)));
    }
    for name in ["q", "k"].into_iter().filter(|_| flag("qk_l2norm")) {
        let x = &with.inputs[name];
        plain.set(name, through_l2norm(x, x).0);
    }
    let mut answer = plain.answer();
    let d = &mut answer.gradients;
    if let Some(rate) = rate {
        let per_head = |x: ArrayD<f64>| x.sum_axis(Axis(0)).sum_axis(Axis(0));
        d.insert("d_A_log".to_owned(), per_head(&d["d_g"] * &plain.inputs["g"]));
        let d_raw = &d["d_g"] * &(raw.mapv(sigmoid) * rate);
        if dt_bias.is_some() {
            d.insert("d_dt_bias".to_owned(), per_head(d_raw.clone()));
        }
        d.insert("d_g".to_owned(), d_raw);
    }
    if flag("beta_sigmoid") {
        let slope = with.inputs["beta"].mapv(|x| strength * sigmoid(x) * sigmoid(-x));
        d.insert("d_beta".to_owned(), &d["d_beta"] * &slope);
    }
    for name in ["q", "k"].into_iter().filter(|_| flag("qk_l2norm")) {
        let key = format!("d_{name}");
        let d_x = through_l2norm(&with.inputs[name], &d[&key]).1;
        d.insert(key, d_x);
    }
    answer
}

#[test]
fn prologues_are_arithmetic_on_the_inputs() {
    let spec = reference::spec("gated_delta_rule").expect("a row of the table");
    for problem in crate::variants::all(spec) {
        let with = Question::new(problem, 12);
        assert_equal(&with.problem, &without_prologues(&with), &with.answer());
    }
}
