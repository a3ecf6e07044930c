//! Laws between RWKV, the generalised delta rules and their neighbours.

use ndarray::{ArrayD, Axis, Slice};
use reference::oracle::Answer;
use reference::spec::Dim;

use crate::beside::beside;
use crate::question::{Question, assert_agree, assert_equal, assert_same};
use crate::sample::problem;

const SHAPES: [&str; 3] = ["B=2,T=9,H=3,K=4,V=2", "B=1,T=9,H=3,K=4,V=2,seqs=4+0+5,scale=0.3", "B=2,T=1,H=1,K=5,V=3"];
const REVERSED: &str = "B=1,T=9,H=3,K=4,V=2,seqs=4+1+4,reverse=true,scale=0.3";

/// A question to one op and the inputs of the same name and the cotangents put to another.
fn pair((op, of_op): (&str, &str), (other, of_other): (&str, &str), shape: &str) -> (Question, Question) {
    let first = Question::new(problem(op, &format!("{shape}{of_op}")), 31);
    let second = beside(&first, other, &format!("{shape}{of_other}"), 32);
    (first, second)
}

/// As many equal channels as the other operand of a product has.
fn wide(x: &ArrayD<f64>) -> ArrayD<f64> {
    x.clone().insert_axis(Axis(3))
}

fn channels(x: &ArrayD<f64>) -> ArrayD<f64> {
    x.sum_axis(Axis(3))
}

/// Outputs, and the gradients of these inputs and `q k v h0`.
fn assert_all(what: &str, a: &Answer, b: &Answer, also: &[&str]) {
    let all = ["o", "ht", "d_q", "d_k", "d_v", "d_h0"].into_iter().chain(also.iter().copied());
    assert_same(&what, a, b, &all.map(|n| (n, n)).collect::<Vec<_>>());
}

fn put(answer: &mut Answer, name: &str, array: ArrayD<f64>) {
    answer.gradients.insert(name.to_owned(), array);
}

#[test]
fn rwkv6_without_decay_and_with_a_bonus_of_one_is_linear_attention() {
    for shape in SHAPES.into_iter().chain([REVERSED]) {
        let (linear, mut rwkv) = pair(("linear_attn", ""), ("rwkv6", ""), shape);
        rwkv.set("g", ArrayD::zeros(rwkv.inputs["g"].raw_dim()));
        rwkv.set("u", ArrayD::ones(rwkv.inputs["u"].raw_dim()));
        assert_all(shape, &rwkv.answer(), &linear.answer(), &[]);
    }
}

#[test]
fn rwkv6_is_gla_with_another_weight_for_the_token_at_hand() {
    for shape in SHAPES.into_iter().chain([REVERSED]) {
        let (rwkv, mut gla) = pair(("rwkv6", ""), ("gla", ",absent=gv"), shape);
        let [q, k, v, g, u] = ["q", "k", "v", "g", "u"].map(|n| &rwkv.inputs[n]);
        let scale = rwkv.problem.number("scale").unwrap_or((rwkv.problem.size(Dim::K) as f64).powf(-0.5));
        let growth = g.mapv(|x| (-x).exp());
        gla.set("q", q * &growth);
        let weight = (u - &growth) * scale;
        let d_o = &rwkv.cotangents["d_o"];
        let read = wide(&channels(&(d_o * v)));
        let bonus = wide(&channels(&(q * &weight * k)));

        let mut answer = gla.answer();
        *answer.outputs.get_mut("o").expect("an output") += &(&bonus * v);
        let d = answer.gradients.clone();
        put(&mut answer, "d_q", &d["d_q"] * &growth + &weight * k * &read);
        put(&mut answer, "d_k", &d["d_k"] + q * &weight * &read);
        put(&mut answer, "d_v", &d["d_v"] + &bonus * d_o);
        put(&mut answer, "d_g", &d["d_g"] - &d["d_q"] * q * &growth + scale * q * k * &growth * &read);
        put(&mut answer, "d_u", (scale * q * k * &read).sum_axis(Axis(0)).sum_axis(Axis(0)));
        assert_all(shape, &answer, &rwkv.answer(), &["d_g", "d_u"]);
    }
}

/// Every token in the place of the one before it; the last place is empty.
fn earlier(x: &ArrayD<f64>) -> ArrayD<f64> {
    let mut moved = ArrayD::zeros(x.raw_dim());
    moved.slice_axis_mut(Axis(1), Slice::from(..-1)).assign(&x.slice_axis(Axis(1), Slice::from(1..)));
    moved
}

#[test]
fn rwkv6_without_bonus_is_gla_read_one_token_later() {
    let (mut rwkv, mut gla) = pair(("rwkv6", ",absent=h0"), ("gla", ",absent=gv,absent=h0"), "B=2,T=9,H=3,K=4,V=2");
    rwkv.set("u", ArrayD::zeros(rwkv.inputs["u"].raw_dim()));
    gla.set("q", earlier(&rwkv.inputs["q"]));
    gla.cotangents.insert("d_o".to_owned(), earlier(&rwkv.cotangents["d_o"]));
    let (answer, expected) = (gla.answer(), rwkv.answer());
    assert_same(&"u = 0", &answer, &expected, &["ht", "d_k", "d_v", "d_g"].map(|n| (n, n)));
    assert!(expected.outputs["o"].index_axis(Axis(1), 0).iter().all(|x| x.abs() <= 0.0), "nothing is there at first");
    let but_last = |x: &ArrayD<f64>| x.slice_axis(Axis(1), Slice::from(..-1)).to_owned();
    for (got, later) in
        [(&answer.outputs["o"], &expected.outputs["o"]), (&answer.gradients["d_q"], &expected.gradients["d_q"])]
    {
        assert_agree("one token later", &but_last(got), &but_last(&earlier(later)), 0.0);
    }
}

#[test]
fn dplr_without_decay_is_iplr() {
    for shape in SHAPES {
        let (iplr, mut dplr) = pair(("iplr", ""), ("dplr", ""), shape);
        dplr.set("g", ArrayD::zeros(dplr.inputs["g"].raw_dim()));
        assert_all(shape, &dplr.answer(), &iplr.answer(), &["d_a", "d_b"]);
    }
}

#[test]
fn dplr_that_reads_or_rewrites_nothing_is_gla() {
    for shape in SHAPES.into_iter().chain([REVERSED]) {
        for zero in ["a", "b"] {
            let (gla, mut dplr) = pair(("gla", ",absent=gv"), ("dplr", ""), shape);
            dplr.set(zero, ArrayD::zeros(dplr.inputs[zero].raw_dim()));
            assert_all(&format!("{shape}: {zero} = 0"), &dplr.answer(), &gla.answer(), &["d_g"]);
        }
    }
}

/// `b = −β k` and `v` written with the strength β.
fn write_with_strength(general: &mut Question, special: &Question) {
    let [k, v, beta] = ["k", "v", "beta"].map(|n| &special.inputs[n]);
    general.set("b", -(k * &wide(beta)));
    general.set("v", v * &wide(beta));
}

/// The gradients by `k v beta` of what [`write_with_strength`] does, beside those by `a`.
fn through_strength(answer: &mut Answer, special: &Question) {
    let [k, v, beta] = ["k", "v", "beta"].map(|n| &special.inputs[n]);
    let d = answer.gradients.clone();
    put(answer, "d_beta", channels(&(&d["d_v"] * v)) - channels(&(&d["d_b"] * k)));
    put(answer, "d_v", &d["d_v"] * &wide(beta));
    put(answer, "d_k", &d["d_k"] - &d["d_b"] * &wide(beta));
}

#[test]
fn iplr_that_replaces_what_its_key_reads_is_the_delta_rule() {
    for shape in SHAPES {
        let (delta, mut iplr) = pair(("delta_rule", ""), ("iplr", ""), shape);
        iplr.set("a", delta.inputs["k"].clone());
        write_with_strength(&mut iplr, &delta);
        let mut answer = iplr.answer();
        through_strength(&mut answer, &delta);
        let d_k = &answer.gradients["d_k"] + &answer.gradients["d_a"];
        put(&mut answer, "d_k", d_k);
        assert_all(shape, &answer, &delta.answer(), &["d_beta"]);
    }
}

#[test]
fn dplr_that_replaces_what_its_decayed_key_reads_is_kda() {
    for shape in SHAPES {
        let heads = if shape.contains("H=3") { ",HV=3" } else { ",HV=1" };
        let (kda, mut dplr) = pair(("kda", heads), ("dplr", ""), shape);
        let decay = kda.inputs["g"].mapv(f64::exp);
        dplr.set("a", &kda.inputs["k"] * &decay);
        write_with_strength(&mut dplr, &kda);
        let mut answer = dplr.answer();
        through_strength(&mut answer, &kda);
        let d = answer.gradients.clone();
        put(&mut answer, "d_k", &d["d_k"] + &d["d_a"] * &decay);
        put(&mut answer, "d_g", &d["d_g"] + &d["d_a"] * &dplr.inputs["a"]);
        assert_all(shape, &answer, &kda.answer(), &["d_g", "d_beta"]);
    }
}

#[test]
fn dplr_with_one_decay_and_a_key_for_reading_is_comba() {
    for shape in SHAPES {
        let heads = if shape.contains("H=3") { ",HV=3" } else { ",HV=1" };
        let (comba, mut dplr) = pair(("comba", heads), ("dplr", ""), shape);
        let every = dplr.inputs["k"].raw_dim();
        dplr.set("g", wide(&comba.inputs["g"]).broadcast(every).expect("channels are last").to_owned());
        dplr.set("a", comba.inputs["p"].clone());
        write_with_strength(&mut dplr, &comba);
        let mut answer = dplr.answer();
        through_strength(&mut answer, &comba);
        let d = answer.gradients.clone();
        put(&mut answer, "d_p", d["d_a"].clone());
        put(&mut answer, "d_g", channels(&d["d_g"]));
        assert_all(shape, &answer, &comba.answer(), &["d_p", "d_g", "d_beta"]);
    }
}

#[test]
fn dplr_with_an_erase_and_a_write_gate_is_gdn2() {
    for shape in SHAPES {
        let heads = if shape.contains("H=3") { ",HV=3" } else { ",HV=1" };
        let (gdn2, mut dplr) = pair(("gdn2", heads), ("dplr", ""), shape);
        let [k, v, g, b, w] = ["k", "v", "g", "b", "w"].map(|n| &gdn2.inputs[n]);
        let decay = g.mapv(f64::exp);
        dplr.set("a", &decay * b * k);
        dplr.set("b", -k);
        dplr.set("v", w * v);
        let mut answer = dplr.answer();
        let d = answer.gradients.clone();
        put(&mut answer, "d_k", &d["d_k"] + &d["d_a"] * &decay * b - &d["d_b"]);
        put(&mut answer, "d_v", &d["d_v"] * w);
        put(&mut answer, "d_w", &d["d_v"] * v);
        put(&mut answer, "d_b", &d["d_a"] * &decay * k);
        put(&mut answer, "d_g", &d["d_g"] + &d["d_a"] * &dplr.inputs["a"]);
        assert_all(shape, &answer, &gdn2.answer(), &["d_g", "d_b", "d_w"]);
    }
}

#[test]
fn dplr_that_removes_what_a_key_reads_is_rwkv7() {
    for shape in ["B=2,T=9,H=3,K=4,V=2,scale=1", SHAPES[1], REVERSED] {
        let (rwkv, mut dplr) = pair(("rwkv7", ""), ("dplr", ""), shape);
        let (kk, a) = (&rwkv.inputs["kk"], &rwkv.inputs["a"]);
        dplr.set("a", -kk);
        dplr.set("b", kk * a);
        let mut answer = dplr.answer();
        let d = answer.gradients.clone();
        put(&mut answer, "d_kk", &d["d_b"] * a - &d["d_a"]);
        put(&mut answer, "d_a", &d["d_b"] * kk);
        answer.gradients.remove("d_b");
        assert_equal(&shape, &answer, &rwkv.answer());
    }
}
