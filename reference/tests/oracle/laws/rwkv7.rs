//! Laws of what stands around the recurrence of RWKV-7.

use ndarray::{Array2, ArrayD, Axis, Slice};
use reference::oracle::Answer;

use crate::question::{Question, assert_equal};
use crate::sample::problem;

fn answer<const O: usize, const G: usize>(
    outputs: [(&str, ArrayD<f64>); O],
    gradients: [(&str, ArrayD<f64>); G],
) -> Answer {
    let named = |(name, array): (&str, ArrayD<f64>)| (name.to_owned(), array);
    Answer { outputs: outputs.map(named).into(), gradients: gradients.map(named).into() }
}

#[test]
fn the_bonus_is_what_rwkv6_reads_of_its_only_token() {
    let gate = Question::new(problem("rwkv7_output_gate", "B=1,T=5,H=2,K=3,V=4"), 1);
    let (inputs, d_o) = (&gate.inputs, &gate.cotangents["d_o"]);
    let fields = "B=1,T=5,H=2,K=3,V=4,scale=1,absent=h0,seqs=1+1+1+1+1";
    let mut rwkv6 = Question::new(problem("rwkv6", fields), 2);
    for (to, from) in [("q", "q"), ("k", "k"), ("v", "v"), ("u", "r_k")] {
        rwkv6.set(to, inputs[from].clone());
    }
    rwkv6.cotangents.remove("d_ht");
    rwkv6.cotangents.insert("d_o".to_owned(), d_o * &inputs["g"]);
    let bonus = rwkv6.answer();
    let sum = &inputs["x"] + &bonus.outputs["o"];
    let [d_q, d_k, d_v, d_u] = ["d_q", "d_k", "d_v", "d_u"].map(|name| bonus.gradients[name].clone());
    let gated = [("d_x", d_o * &inputs["g"]), ("d_g", d_o * &sum)];
    let mut expected = answer([("o", &sum * &inputs["g"])], gated);
    expected.gradients.extend(answer([], [("d_q", d_q), ("d_k", d_k), ("d_v", d_v), ("d_r_k", d_u)]).gradients);
    assert_equal(&fields, &gate.answer(), &expected);
}

#[test]
fn the_key_is_a_key_shifted_towards_its_product_with_the_rate() {
    let key = Question::new(problem("rwkv7_key", "B=2,T=5,D=3"), 3);
    let (k, a) = (&key.inputs["k"], &key.inputs["a"]);
    let mut shift = Question::new(problem("rwkv7_token_shift", "B=2,T=5,D=3,L=1"), 4);
    shift.set("x", k.clone());
    shift.set("delta", k * &(a - 1.0));
    shift.set("mix", key.inputs["k_a"].clone().insert_axis(Axis(0)));
    shift.cotangents.insert("d_o".to_owned(), key.cotangents["d_o"].clone().insert_axis(Axis(2)));
    let shifted = shift.answer();
    let [d_x, d_delta, d_mix] = ["d_x", "d_delta", "d_mix"].map(|name| &shifted.gradients[name]);
    let gradients =
        [("d_k", d_x + d_delta * (a - 1.0)), ("d_a", d_delta * k), ("d_k_a", d_mix.clone().remove_axis(Axis(0)))];
    let expected = answer([("o", shifted.outputs["o"].clone().remove_axis(Axis(2)))], gradients);
    assert_equal(&key.problem, &key.answer(), &expected);
}

/// The array with its tokens one later, and something else at the first.
fn later(x: &ArrayD<f64>, first: &ArrayD<f64>) -> ArrayD<f64> {
    let mut moved = x.clone();
    moved.slice_axis_mut(Axis(1), Slice::from(1..)).assign(&x.slice_axis(Axis(1), Slice::from(..-1)));
    moved.index_axis_mut(Axis(1), 0).assign(first);
    moved
}

fn matrix(x: &ArrayD<f64>, columns: usize) -> Array2<f64> {
    x.to_shape((x.len() / columns, columns)).expect("rows of as many columns").to_owned()
}

#[test]
fn channel_mixing_is_two_linear_maps_of_a_shifted_token() {
    let (width, hidden) = (3, 5);
    let mixing = Question::new(problem("rwkv7_channel_mixing", "B=2,T=4,D=3,K=5"), 5);
    let (x, h0) = (&mixing.inputs["x"], &mixing.inputs["h0"]);
    let mut shift = Question::new(problem("rwkv7_token_shift", "B=2,T=4,D=3,L=1"), 6);
    shift.set("x", x.clone());
    shift.set("delta", later(x, h0) - x);
    shift.set("mix", mixing.inputs["x_k"].clone().insert_axis(Axis(0)));
    let mixed = matrix(&shift.answer().outputs["o"], width);
    let (into, out) = (matrix(&mixing.inputs["key_weight"], hidden), matrix(&mixing.inputs["value_weight"], width));
    let positive = mixed.dot(&into).mapv(|x| x.max(0.0));
    let squares = &positive * &positive;
    let d_o = matrix(&mixing.cotangents["d_o"], width);
    let d_linear = d_o.dot(&out.t()) * &positive * 2.0;
    let d_mixed = d_linear.dot(&into.t()).into_shape_with_order(vec![2, 4, 1, width]).expect("one size");
    shift.cotangents.insert("d_o".to_owned(), d_mixed);
    let d = shift.answer().gradients;
    // a token is shifted itself, and what the next one is shifted to
    let d_delta = &d["d_delta"];
    let mut d_x = &d["d_x"] - d_delta;
    let mut before = d_x.slice_axis_mut(Axis(1), Slice::from(..-1));
    before += &d_delta.slice_axis(Axis(1), Slice::from(1..));
    let mut last = d_x.index_axis_mut(Axis(1), 3);
    last += &mixing.cotangents["d_ht"];
    let o = squares.dot(&out).into_shape_with_order(x.raw_dim()).expect("one size");
    let gradients = [
        ("d_x", d_x),
        ("d_x_k", d["d_mix"].clone().remove_axis(Axis(0))),
        ("d_key_weight", mixed.t().dot(&d_linear).into_dyn()),
        ("d_value_weight", squares.t().dot(&d_o).into_dyn()),
        ("d_h0", d_delta.index_axis(Axis(1), 0).to_owned()),
    ];
    let expected = answer([("o", o), ("ht", x.index_axis(Axis(1), 3).to_owned())], gradients);
    assert_equal(&mixing.problem, &mixing.answer(), &expected);
}
