//! Laws of the attentions over all earlier tokens, or a window of them.

use ndarray::{ArrayD, Axis, Slice, concatenate, stack};
use reference::oracle::{self, Answer};
use reference::spec::Dim;
use reference::tensor::Arrays;

use crate::beside::beside;
use crate::question::{Question, assert_agree, assert_equal, assert_same, each};
use crate::sample::problem;

const OPS: [&str; 5] = ["attn", "forgetting_attn", "parallax", "stickbreaking_attn", "wall_attn"];
const SHAPES: [&str; 2] = ["B=2,T=6,H=2,HQ=4,K=4,V=3", "B=1,T=7,H=1,HQ=3,K=3,V=4,seqs=3+0+4"];
/// One width, as parallax has it.
const SQUARE: [&str; 2] = ["B=2,T=6,H=2,HQ=4,K=4,V=4", "B=1,T=7,H=1,HQ=3,K=3,V=3,seqs=3+0+4"];
const ATTRIBUTES: [&str; 3] = ["", ",window=3", ",scale=0.7"];

fn variants(shapes: [&str; 2]) -> Vec<String> {
    shapes.iter().flat_map(|shape| ATTRIBUTES.map(|a| format!("{shape}{a}"))).collect()
}

fn zeroed(question: &mut Question, name: &str) {
    question.set(name, ArrayD::zeros(question.inputs[name].raw_dim()));
}

fn inner(a: &ArrayD<f64>, b: &ArrayD<f64>) -> f64 {
    (a * b).sum()
}

fn scale(question: &Question) -> f64 {
    question.problem.number("scale").unwrap_or_else(|| (question.problem.size(Dim::K) as f64).powf(-0.5))
}

#[test]
fn attention_with_a_gate_is_forgetting_attention() {
    for fields in variants(SHAPES) {
        let forgetting = Question::new(problem("forgetting_attn", &fields), 1);
        let attn = beside(&forgetting, "attn", &format!("{fields},absent=sink_bias"), 2);
        assert_equal(&fields, &attn.answer(), &forgetting.answer());
    }
}

#[test]
fn forgetting_attention_that_forgets_nothing_is_attention() {
    for fields in variants(SHAPES) {
        let attn = Question::new(problem("attn", &format!("{fields},absent=g+sink_bias")), 3);
        let mut forgetting = beside(&attn, "forgetting_attn", &fields, 4);
        zeroed(&mut forgetting, "g");
        assert_same(&fields, &forgetting.answer(), &attn.answer(), &each(["o", "d_q", "d_k", "d_v"]));
    }
}

#[test]
fn a_window_of_the_whole_sequence_is_none_and_one_of_a_token_sees_itself() {
    for shape in SQUARE {
        for op in OPS.into_iter().filter(|op| *op != "stickbreaking_attn") {
            let whole = Question::new(problem(op, shape), 5);
            let wide = beside(&whole, op, &format!("{shape},window={}", whole.problem.size(Dim::T)), 6);
            assert_equal(&format!("{op}({shape})"), &wide.answer(), &whole.answer());

            let sinkless = if whole.inputs.contains_key("sink_bias") { ",absent=sink_bias" } else { "" };
            let narrow = beside(&whole, op, &format!("{shape},window=1{sinkless}"), 7);
            let answer = narrow.answer();
            let v = per_query_head(&narrow, &narrow.inputs["v"]);
            assert_agree(op, &answer.outputs["o"], &v, 0.0);
            let still = answer.gradients.iter().filter(|(name, _)| *name != "d_v");
            for (name, d) in still {
                assert_agree(&format!("{op}: {name}"), d, &ArrayD::zeros(d.raw_dim()), 1.0);
            }
        }
    }
}

#[test]
fn a_sink_without_weight_is_none() {
    for fields in variants(SHAPES) {
        for op in ["attn", "wall_attn"] {
            let without = Question::new(problem(op, &format!("{fields},absent=sink_bias")), 8);
            let mut with = beside(&without, op, &fields, 9);
            with.set("sink_bias", ArrayD::from_elem(with.inputs["sink_bias"].raw_dim(), -800.0));
            let mut answer = with.answer();
            let d_sink = answer.gradients.remove("d_sink_bias").expect("the sink has a gradient");
            assert!(d_sink.iter().all(|d| d.abs() <= 0.0), "{op}({fields})");
            assert_equal(&format!("{op}({fields})"), &answer, &without.answer());
        }
    }
}

/// One more slice of `x` along an axis: before the others, or after them.
fn beyond(x: &ArrayD<f64>, axis: usize, first: bool, value: impl Fn(&ArrayD<f64>) -> ArrayD<f64>) -> ArrayD<f64> {
    let more = value(&x.slice_axis(Axis(axis), Slice::from(..1)).mapv(|_| 0.0));
    let parts = if first { [more.view(), x.view()] } else { [x.view(), more.view()] };
    concatenate(Axis(axis), &parts).expect("one slice more")
}

fn within(x: &ArrayD<f64>, axis: usize, range: impl Into<Slice>) -> ArrayD<f64> {
    x.slice_axis(Axis(axis), range.into()).to_owned()
}

#[test]
fn a_sink_is_a_first_key_without_a_value() {
    let zero = |x: &ArrayD<f64>| x.clone();
    let with = Question::new(problem("attn", "B=2,T=6,H=2,HQ=2,K=3,V=4,scale=0.7,absent=g"), 10);
    // one channel more: a constant of the queries, of which only the new key has something
    let mut other = Question::new(problem("attn", "B=2,T=7,H=2,HQ=2,K=4,V=4,scale=0.7,absent=g+sink_bias"), 11);
    let sink = &with.inputs["sink_bias"];
    let q = beyond(&beyond(&with.inputs["q"], 1, true, zero), 3, false, |x| x + 1.0 / 0.7);
    let mut k = beyond(&beyond(&with.inputs["k"], 1, true, zero), 3, false, zero);
    for row in 0..2 {
        for head in 0..2 {
            k[[row, 0, head, 3]] = sink[[head]];
        }
    }
    other.set("q", q);
    other.set("k", k);
    other.set("v", beyond(&with.inputs["v"], 1, true, zero));
    other.cotangents.insert("d_o".to_owned(), beyond(&with.cotangents["d_o"], 1, true, zero));
    let (mut answer, expected) = (other.answer(), with.answer());
    let d_k = answer.gradients["d_k"].clone();
    for arrays in [&mut answer.outputs, &mut answer.gradients] {
        for x in arrays.values_mut() {
            *x = within(x, 1, 1..);
        }
    }
    for name in ["d_q", "d_k"] {
        let channels = within(&answer.gradients[name], 3, ..3);
        answer.gradients.insert(name.to_owned(), channels);
    }
    let d_sink = d_k.index_axis(Axis(1), 0).index_axis(Axis(2), 3).sum_axis(Axis(0));
    answer.gradients.insert("d_sink_bias".to_owned(), d_sink);
    assert_equal(&"a first key", &answer, &expected);
}

#[test]
fn wall_attention_without_decay_is_attention_and_its_scalar_gate_is_the_forget_gate() {
    let absent = [("", ""), (",absent=g", ",absent=g_scalar"), (",absent=sink_bias", ",absent=sink_bias")];
    for fields in variants(SHAPES) {
        for (of_attn, of_wall) in absent {
            let attn = Question::new(problem("attn", &format!("{fields}{of_attn}")), 12);
            let mut wall = Question::new(problem("wall_attn", &format!("{fields}{of_wall}")), 13);
            for (name, array) in &attn.inputs {
                wall.set(if name == "g" { "g_scalar" } else { name }, array.clone());
            }
            wall.cotangents.clone_from(&attn.cotangents);
            zeroed(&mut wall, "g");
            let (mut answer, expected) = (wall.answer(), attn.answer());
            answer.gradients.remove("d_g");
            if let Some(d_g) = answer.gradients.remove("d_g_scalar") {
                answer.gradients.insert("d_g".to_owned(), d_g);
            }
            assert_equal(&format!("{fields}{of_attn}"), &answer, &expected);
        }
    }
}

/// Keys or values as each query head has them.
fn per_query_head(question: &Question, x: &ArrayD<f64>) -> ArrayD<f64> {
    let (heads, queries) = (question.problem.size(Dim::H), question.problem.size(Dim::HQ));
    let one = |head: usize| x.index_axis(Axis(2), head * heads / queries);
    stack(Axis(2), &(0..queries).map(one).collect::<Vec<_>>()).expect("heads of one shape")
}

/// Gradients of keys or values of each query head, summed to those of the key heads.
fn per_key_head(question: &Question, d: &ArrayD<f64>) -> ArrayD<f64> {
    let (heads, queries) = (question.problem.size(Dim::H), question.problem.size(Dim::HQ));
    let group = |head: usize| within(d, 2, head * queries / heads..(head + 1) * queries / heads).sum_axis(Axis(2));
    let groups: Vec<_> = (0..heads).map(group).collect();
    stack(Axis(2), &groups.iter().map(|g| g.view()).collect::<Vec<_>>()).expect("heads of one shape")
}

#[test]
fn queries_share_a_key_head_as_if_it_were_repeated() {
    for shape in SQUARE {
        for op in OPS {
            let grouped = Question::new(problem(op, shape), 14);
            let repeated = shape.replace("H=2,HQ=4", "H=4,HQ=4").replace("H=1,HQ=3", "H=3,HQ=3");
            let mut single = Question::new(problem(op, &repeated), 15);
            single.cotangents.clone_from(&grouped.cotangents);
            for (name, array) in &grouped.inputs {
                let shared = ["k", "v"].contains(&name.as_str());
                single.set(name, if shared { per_query_head(&grouped, array) } else { array.clone() });
            }
            let mut answer = single.answer();
            for name in ["d_k", "d_v"] {
                let summed = per_key_head(&grouped, &answer.gradients[name]);
                answer.gradients.insert(name.to_owned(), summed);
            }
            assert_equal(&format!("{op}({shape})"), &answer, &grouped.answer());
        }
    }
}

/// Softmax over the tokens up to each, of scores `[B, T, HQ, T]`.
fn softmax(scores: &ArrayD<f64>) -> ArrayD<f64> {
    let mut p = scores.mapv(f64::exp);
    for (i, mut token) in p.axis_iter_mut(Axis(1)).enumerate() {
        token.slice_axis_mut(Axis(2), (i + 1..).into()).fill(0.0);
    }
    let total = p.sum_axis(Axis(3)).insert_axis(Axis(3));
    p / total
}

/// `Σ a v` over the tokens of the last axis of `a`, as `v` has them on its axis 1.
fn mixed(a: &ArrayD<f64>, v: &ArrayD<f64>) -> ArrayD<f64> {
    let [rows, tokens, heads] = [0, 1, 2].map(|axis| a.shape()[axis]);
    ArrayD::from_shape_fn(vec![rows, tokens, heads, v.shape()[3]], |at| {
        (0..a.shape()[3]).map(|j| a[[at[0], at[1], at[2], j]] * v[[at[0], j, at[2], at[3]]]).sum()
    })
}

/// The first and the last axis but the head exchanged: `[B, T, HQ, T]` by columns.
fn turned(a: &ArrayD<f64>) -> ArrayD<f64> {
    a.clone().permuted_axes(vec![0, 3, 2, 1]).as_standard_layout().to_owned()
}

#[test]
fn the_scores_of_wall_attention_are_gated_linear_attention_to_each_token() {
    let fields = "B=2,T=6,H=2,HQ=4,K=4,V=3,absent=g_scalar+sink_bias";
    for attributes in ["", ",scale=0.7"] {
        let wall = Question::new(problem("wall_attn", &format!("{fields}{attributes}")), 16);
        let mut gla = Question::new(problem("gla", &format!("B=2,T=6,H=4,K=4,V=6,absent=gv+h0{attributes}")), 17);
        for name in ["q", "g"] {
            gla.set(name, wall.inputs[name].clone());
        }
        gla.set("k", per_query_head(&wall, &wall.inputs["k"]));
        let one = |at: &ndarray::IxDyn| f64::from(u8::from(at[1] == at[3]));
        gla.set("v", ArrayD::from_shape_fn(vec![2, 6, 4, 6], |at| one(&at)));
        let scores = oracle::forward(&gla.problem, &gla.inputs).expect("a valid question");
        let (p, v) = (softmax(&scores["o"]), per_query_head(&wall, &wall.inputs["v"]));
        let d_o = &wall.cotangents["d_o"];
        let d_p = mixed(d_o, &v.clone().permuted_axes(vec![0, 3, 2, 1]));
        let mean = (&d_p * &p).sum_axis(Axis(3)).insert_axis(Axis(3));
        gla.cotangents = Arrays::from([("d_o".to_owned(), &p * &(d_p - mean))]);
        let mut answer = Answer { outputs: Arrays::from([("o".to_owned(), mixed(&p, &v))]), ..gla.answer() };
        let d_k = per_key_head(&wall, &answer.gradients["d_k"]);
        let d_v = per_key_head(&wall, &mixed(&turned(&p), d_o));
        answer.gradients.extend([("d_k".to_owned(), d_k), ("d_v".to_owned(), d_v)]);
        assert_equal(&attributes, &answer, &wall.answer());
    }
}

#[test]
fn parallax_without_a_second_score_is_attention() {
    for fields in variants(SQUARE) {
        let attn = Question::new(problem("attn", &format!("{fields},absent=g+sink_bias")), 18);
        let mut parallax = beside(&attn, "parallax", &fields, 19);
        zeroed(&mut parallax, "r");
        assert_same(&fields, &parallax.answer(), &attn.answer(), &each(["o", "d_q", "d_k", "d_v"]));
    }
}

/// The slope at 0 of gradients along a line, by central differences of order eight.
fn slopes(at: impl Fn(f64) -> Arrays) -> Arrays {
    const STEP: f64 = 1.0 / 256.0;
    let weights = [4.0 / 5.0, -1.0 / 5.0, 4.0 / 105.0, -1.0 / 280.0].into_iter().zip(1..);
    let mut slope = Arrays::new();
    for (weight, i) in weights {
        let (right, left) = (at(STEP * f64::from(i)), at(-STEP * f64::from(i)));
        for (name, x) in right {
            let change = (x - &left[&name]) * (weight / STEP);
            slope.entry(name).and_modify(|total| *total += &change).or_insert(change);
        }
    }
    slope
}

#[test]
fn parallax_is_attention_and_its_derivative_by_the_queries_along_the_second_ones() {
    for fields in variants(SQUARE) {
        let parallax = Question::new(problem("parallax", &fields), 20);
        let attn = beside(&parallax, "attn", &format!("{fields},absent=g+sink_bias"), 21);
        let along = &parallax.inputs["r"] / -scale(&parallax);
        let tangents = Arrays::from([("q".to_owned(), along.clone())]);
        let moved = oracle::directional(&attn.problem, &attn.inputs, &tangents).expect("a valid question");
        let (answer, plain) = (parallax.answer(), attn.answer());
        let sum = &plain.outputs["o"] + &moved["o"];
        assert_agree(&fields, &answer.outputs["o"], &sum, 0.0);

        // linear in r, and otherwise differentiated along the same line
        let d_r = &plain.gradients["d_q"] / -scale(&parallax);
        assert_agree(&format!("{fields}: d_r"), &answer.gradients["d_r"], &d_r, 0.0);
        let slope = slopes(|x| {
            let mut near = beside(&attn, "attn", &format!("{fields},absent=g+sink_bias"), 22);
            near.set("q", &attn.inputs["q"] + &(&along * x));
            near.answer().gradients
        });
        for name in ["d_q", "d_k", "d_v"] {
            let sum = &plain.gradients[name] + &slope[name];
            assert_agree(&format!("{fields}: {name}"), &answer.gradients[name], &sum, 0.0);
        }
    }
}

#[test]
fn what_all_keys_share_moves_no_weight() {
    for fields in variants(SQUARE) {
        for (op, absent) in [("attn", ",absent=sink_bias"), ("forgetting_attn", ""), ("parallax", "")] {
            let question = Question::new(problem(op, &format!("{fields}{absent}")), 23);
            let mut shifted = beside(&question, op, &format!("{fields}{absent}"), 24);
            shifted.set("k", &question.inputs["k"] + 0.75);
            assert_equal(&format!("{op}({fields})"), &shifted.answer(), &question.answer());
        }
    }
}

#[test]
fn the_shares_of_a_stick_and_what_is_left_are_the_stick() {
    for shape in ["B=2,T=6,H=2,HQ=4,K=4,V=1", "B=1,T=7,H=1,HQ=3,K=3,V=1,seqs=3+0+4"] {
        for attributes in ["", ",scale=0.7", ",attend_current=true"] {
            let fields = format!("{shape}{attributes}");
            let mut stick = Question::new(problem("stickbreaking_attn", &fields), 25);
            stick.set("v", ArrayD::ones(stick.inputs["v"].raw_dim()));
            let d_rem = stick.cotangents["d_o"].index_axis(Axis(3), 0).to_owned();
            stick.cotangents.insert("d_rem".to_owned(), d_rem);
            let answer = stick.answer();
            let whole = answer.outputs["o"].index_axis(Axis(3), 0).to_owned() + &answer.outputs["rem"];
            assert_agree(&fields, &whole, &ArrayD::ones(whole.raw_dim()), 0.0);
            for name in ["d_q", "d_k"] {
                let d = &answer.gradients[name];
                assert_agree(&format!("{fields}: {name}"), d, &ArrayD::zeros(d.raw_dim()), 1.0);
            }
        }
    }
}

#[test]
fn a_stick_that_ends_before_the_query_is_one_of_keys_a_token_late() {
    let zero = |x: &ArrayD<f64>| x.clone();
    let late = |x: &ArrayD<f64>| beyond(&within(x, 1, ..-1), 1, true, zero);
    for fields in ["B=2,T=6,H=2,HQ=4,K=4,V=3", "B=2,T=6,H=1,HQ=3,K=3,V=4,scale=0.7"] {
        let before = Question::new(problem("stickbreaking_attn", fields), 26);
        let mut current = beside(&before, "stickbreaking_attn", &format!("{fields},attend_current=true"), 27);
        for name in ["k", "v"] {
            current.set(name, late(&before.inputs[name]));
        }
        // a first key of nothing takes half of what is left, for nothing
        let d_rem = &before.cotangents["d_rem"] * 2.0;
        current.cotangents.insert("d_rem".to_owned(), d_rem);
        let (mut answer, expected) = (current.answer(), before.answer());
        let rem = &answer.outputs["rem"] * 2.0;
        answer.outputs.insert("rem".to_owned(), rem);
        for name in ["d_k", "d_v"] {
            let early = beyond(&within(&answer.gradients[name], 1, 1..), 1, false, zero);
            answer.gradients.insert(name.to_owned(), early);
        }
        assert_equal(&fields, &answer, &expected);
    }
}

#[test]
fn every_attention_is_linear_in_the_values() {
    for fields in SQUARE {
        for op in OPS {
            let [first, second] = [28, 29].map(|seed| Question::new(problem(op, fields), seed));
            let mut sum = beside(&first, op, fields, 30);
            let mut other = beside(&first, op, fields, 31);
            other.set("v", second.inputs["v"].clone());
            sum.set("v", &first.inputs["v"] + &(&second.inputs["v"] * 0.5));
            let [sum, first_o, other] = [&sum, &first, &other].map(|question| question.answer().outputs["o"].clone());
            assert_agree(op, &sum, &(first_o + other * 0.5), 0.0);

            let answer = first.answer();
            let by_values = inner(&answer.gradients["d_v"], &first.inputs["v"]);
            let by_outputs = inner(&first.cotangents["d_o"], &answer.outputs["o"]);
            assert!(
                (by_values - by_outputs).abs() <= crate::agree::IDENTITY * by_outputs.abs().max(1.0),
                "{op}({fields})"
            );
        }
    }
}
