//! Laws between the delta rules: two independent ways to the same outputs and gradients.

use ndarray::{ArrayD, Axis};
use reference::oracle::Answer;
use reference::problem::Problem;
use reference::spec::{Dim, Value};

use crate::question::{Question, assert_equal, assert_same};
use crate::sample::problem;

/// The problem of another op with the same extents, packing, attributes and absent inputs.
fn counterpart(op: &str, of: &Problem, also: &str) -> Problem {
    let fields: Vec<_> = of.fields().into_iter().map(|(k, v)| format!("{k}={v}")).collect();
    problem(op, &format!("{},{also}", fields.join(",")))
}

/// Every variant of an op.
fn all(op: &str) -> Vec<Problem> {
    crate::variants::all(reference::spec(op).expect("a row of the table"))
}

/// Gives `name` as many equal channels as the port has.
fn spread(question: &mut Question, name: &str, values: &ArrayD<f64>) {
    let shape = question.inputs[name].raw_dim();
    let last = Axis(values.ndim());
    let array = values.clone().insert_axis(last).broadcast(shape).expect("channels are last").to_owned();
    question.set(name, array);
}

/// Sums a gradient over the channels that were equal.
fn gather(answer: &mut Answer, name: &str) {
    if let Some(d) = answer.gradients.get_mut(name) {
        *d = d.sum_axis(Axis(d.ndim() - 1));
    }
}

#[test]
fn the_gated_delta_rule_without_decay_is_the_delta_rule() {
    for plain in all("delta_rule") {
        let heads = plain.size(Dim::H);
        let delta = Question::new(plain.clone(), 1);
        let mut gated = Question::new(counterpart("gated_delta_rule", &plain, &format!("HV={heads}")), 2);
        let no_decay = ArrayD::zeros(gated.inputs["g"].raw_dim());
        gated.inputs = delta.inputs.clone();
        gated.set("g", no_decay);
        gated.cotangents = delta.cotangents.clone();
        let mut answer = gated.answer();
        answer.gradients.remove("d_g");
        assert_equal(&plain, &answer, &delta.answer());
    }
}

#[test]
fn kda_with_equal_channels_is_the_gated_delta_rule() {
    for scalar in all("gated_delta_rule") {
        let gated = Question::new(scalar.clone(), 3);
        let mut kda = Question::new(counterpart("kda", &scalar, ""), 4);
        for (name, array) in &gated.inputs {
            match name.as_str() {
                "g" | "dt_bias" => spread(&mut kda, name, array),
                _ => kda.set(name, array.clone()),
            }
        }
        kda.cotangents = gated.cotangents.clone();
        let mut answer = kda.answer();
        gather(&mut answer, "d_g");
        gather(&mut answer, "d_dt_bias");
        assert_equal(&scalar, &answer, &gated.answer());
    }
}

#[test]
fn gdn2_with_one_strength_for_both_gates_is_kda() {
    for plain in all("kda").into_iter().filter(|p| !p.flag("beta_sigmoid")) {
        let kda = Question::new(plain.clone(), 5);
        let mut gdn2 = Question::new(counterpart("gdn2", &plain, ""), 6);
        for (name, array) in kda.inputs.iter().filter(|(name, _)| *name != "beta") {
            gdn2.set(name, array.clone());
        }
        for gate in ["b", "w"] {
            spread(&mut gdn2, gate, &kda.inputs["beta"]);
        }
        gdn2.cotangents = kda.cotangents.clone();
        let mut answer = gdn2.answer();
        let [d_b, d_w] = ["d_b", "d_w"].map(|name| {
            gather(&mut answer, name);
            answer.gradients.remove(name).expect("a gate has a gradient")
        });
        answer.gradients.insert("d_beta".to_owned(), d_b + d_w);
        assert_equal(&plain, &answer, &kda.answer());
    }
}

/// `[N, HV, K, V]` with the last two exchanged.
fn transposed(state: &ArrayD<f64>) -> ArrayD<f64> {
    let mut view = state.view();
    view.swap_axes(2, 3);
    view.as_standard_layout().into_owned()
}

/// Oja's rule, and kda with v for its key and k for its value; neither is asked about `o`.
fn oja_beside_kda(fields: &str, (k, v): (usize, usize), seed: u64) -> (Question, Question) {
    let mut oja = Question::new(problem("gated_oja_rule", &format!("{fields},K={k},V={v}")), seed);
    let mut kda = Question::new(problem("kda", &format!("{fields},K={v},V={k}")), seed + 1);
    for (to, from) in [("k", "v"), ("v", "k"), ("g", "gv"), ("beta", "beta")] {
        kda.set(to, oja.inputs[from].clone());
    }
    if let Some(h0) = oja.inputs.get("h0") {
        kda.set("h0", transposed(h0));
    }
    kda.cotangents.insert("d_ht".to_owned(), transposed(&oja.cotangents["d_ht"]));
    for question in [&mut oja, &mut kda] {
        question.cotangents.remove("d_o");
    }
    (oja, kda)
}

/// What the state of Oja's rule and that of kda have in common, in kda's terms.
fn assert_transposed(what: &str, oja: &Answer, kda: &Answer) {
    let mut turned = oja.clone();
    for (name, array) in turned.outputs.iter_mut().chain(&mut turned.gradients) {
        if matches!(name.as_str(), "ht" | "d_h0") {
            *array = transposed(array);
        }
    }
    let names = [("ht", "ht"), ("d_k", "d_v"), ("d_v", "d_k"), ("d_gv", "d_g"), ("d_beta", "d_beta"), ("d_h0", "d_h0")];
    let given: Vec<_> =
        names.into_iter().filter(|(_, name)| *name != "d_h0" || kda.gradients.contains_key(*name)).collect();
    assert_same(&what, &turned, kda, &given);
}

#[test]
fn the_state_of_ojas_rule_is_that_of_kda_transposed() {
    for (i, shape) in ["B=2,T=9", "B=1,T=9,seqs=4+0+5", "B=1,T=1", "B=2,T=7,absent=h0"].into_iter().enumerate() {
        let (oja, kda) = oja_beside_kda(&format!("{shape},H=2,HV=2"), (4, 3), 7 + i as u64);
        assert_transposed(shape, &oja.answer(), &kda.answer());
    }
}

#[test]
fn ojas_rule_reads_the_state_from_the_side_of_k() {
    // the last token is read with s q, so that its cotangent is one of the state: s q d_oᵀ
    let (scale, tokens) = (0.7, 6);
    let (mut oja, mut kda) = oja_beside_kda(&format!("B=2,T={tokens},H=2,HV=2"), (4, 3), 11);
    oja.problem.attrs.insert("scale", Value::Number(scale));
    oja.cotangents.remove("d_ht");
    let mut d_o: ArrayD<f64> = ArrayD::zeros(oja.inputs["v"].raw_dim());
    let mut d_ht: ArrayD<f64> = ArrayD::zeros(oja.inputs["h0"].raw_dim());
    d_o.index_axis_mut(Axis(1), tokens - 1).fill(1.0);
    d_o *= &oja.inputs["gv"];
    let (q, d) = (oja.inputs["q"].index_axis(Axis(1), tokens - 1), d_o.index_axis(Axis(1), tokens - 1).to_owned());
    for (i, mut row) in d_ht.axis_iter_mut(Axis(2)).enumerate() {
        row.assign(&(&d * &q.index_axis(Axis(2), i).insert_axis(Axis(2)) * scale));
    }
    kda.cotangents.insert("d_ht".to_owned(), transposed(&d_ht));
    oja.cotangents.insert("d_o".to_owned(), d_o);
    let answer = oja.answer();
    assert_transposed("the last token", &answer, &kda.answer());

    let (o, ht) = (answer.outputs["o"].index_axis(Axis(1), tokens - 1), &answer.outputs["ht"]);
    let read = (ht * &q.insert_axis(Axis(3)) * scale).sum_axis(Axis(2));
    crate::question::assert_agree("o = s hᵀ q", &o.to_owned(), &read, 0.0);
    let d_q = (ht * &d.insert_axis(Axis(2)) * scale).sum_axis(Axis(3));
    crate::question::assert_agree(
        "d_q = s h d_o",
        &answer.gradients["d_q"].index_axis(Axis(1), tokens - 1).to_owned(),
        &d_q,
        0.0,
    );
}

#[test]
fn ojas_rule_is_linear_in_keys_and_state() {
    for shape in ["B=2,T=9,H=2,HV=4,K=4,V=3", "B=1,T=9,H=1,HV=2,K=3,V=4,seqs=4+0+5"] {
        let oja = Question::new(problem("gated_oja_rule", shape), 13);
        let mut twice = Question::new(oja.problem.clone(), 13);
        for name in ["k", "h0"] {
            twice.set(name, &oja.inputs[name] * 2.0);
        }
        let (mut once, twice) = (oja.answer(), twice.answer());
        let doubled = ["q", "v", "gv", "beta"].map(|name| format!("d_{name}"));
        once.outputs.values_mut().for_each(|x| *x *= 2.0);
        once.gradients.iter_mut().filter(|(name, _)| doubled.contains(name)).for_each(|(_, x)| *x *= 2.0);
        assert_equal(&shape, &once, &twice);
    }
}

#[test]
fn a_delta_rule_that_writes_with_full_strength_reads_back_what_it_wrote() {
    let mut delta = Question::new(problem("delta_rule", "B=2,T=9,H=2,K=4,V=3,scale=1"), 14);
    delta.set("beta", ArrayD::ones(delta.inputs["beta"].raw_dim()));
    delta.set("q", delta.inputs["k"].clone());
    crate::question::assert_agree("o = v", &delta.answer().outputs["o"], &delta.inputs["v"], 0.0);
}
