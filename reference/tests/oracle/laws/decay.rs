//! Laws between linear attentions with a constant decay, a decay per channel, and none.

use ndarray::{ArrayD, Axis};
use reference::oracle::{Answer, forward};
use reference::spec::{Dim, Value};

use crate::beside::beside;
use crate::question::{Question, assert_agree, assert_same};
use crate::sample::problem;

const SHAPES: [&str; 3] =
    ["B=2,T=9,H=3,K=4,V=2", "B=1,T=9,H=3,K=4,V=2,seqs=4+0+5,scale=0.3", "B=1,T=9,H=3,K=4,V=2,seqs=4+1+4,reverse=true"];
const ALL: [&str; 6] = ["o", "ht", "d_q", "d_k", "d_v", "d_h0"];

/// A question to one op and the same inputs and cotangents put to another.
fn pair(op: (&str, &str), other: (&str, &str), shape: &str) -> (Question, Question) {
    let first = Question::new(problem(op.0, &format!("{shape}{}", op.1)), 21);
    let second = beside(&first, other.0, &format!("{shape}{}", other.1), 22);
    (first, second)
}

fn assert_all(what: &str, a: &Answer, b: &Answer) {
    assert_same(&what, a, b, &ALL.map(|n| (n, n)));
}

#[test]
fn gla_with_the_same_decay_in_every_channel_is_simple_gla() {
    for shape in SHAPES {
        let (simple, mut gla) = pair(("simple_gla", ",absent=g_gamma"), ("gla", ",absent=gv"), shape);
        let g = simple.inputs["g"].clone().insert_axis(Axis(3));
        let wide =
            |n: usize| g.broadcast([g.shape()[0], g.shape()[1], g.shape()[2], n]).expect("an axis of 1").to_owned();
        gla.set("g", wide(4).into_dyn());
        let expected = simple.answer();
        let mut answer = gla.answer();
        assert_all(shape, &answer, &expected);
        assert_agree("d_g", &answer.gradients["d_g"].sum_axis(Axis(3)), &expected.gradients["d_g"], 0.0);

        // the same decay in the value channels
        gla.problem = problem("gla", &format!("{shape},absent=g"));
        gla.inputs.remove("g");
        gla.set("gv", wide(2).into_dyn());
        answer = gla.answer();
        assert_all(shape, &answer, &expected);
        assert_agree("d_gv", &answer.gradients["d_gv"].sum_axis(Axis(3)), &expected.gradients["d_g"], 0.0);
    }
}

#[test]
fn gates_of_the_values_are_gates_of_the_keys_of_the_transposed_state() {
    for shape in ["B=2,T=9,H=2", "B=1,T=9,H=2,seqs=4+0+5,reverse=true"] {
        let mut plain = Question::new(problem("gla", &format!("{shape},K=4,V=3")), 23);
        let mut turned = Question::new(problem("gla", &format!("{shape},K=3,V=4")), 24);
        let transposed = |x: &ArrayD<f64>| x.clone().permuted_axes(vec![0, 1, 3, 2]).as_standard_layout().to_owned();
        for (to, from) in [("k", "v"), ("v", "k"), ("g", "gv"), ("gv", "g")] {
            turned.set(to, plain.inputs[from].clone());
        }
        turned.set("h0", transposed(&plain.inputs["h0"]));
        turned.cotangents.insert("d_ht".to_owned(), transposed(&plain.cotangents["d_ht"]));
        // queries see one side of the state only
        for question in [&mut plain, &mut turned] {
            question.cotangents.remove("d_o");
        }
        let (mut answer, expected) = (turned.answer(), plain.answer());
        for arrays in [&mut answer.outputs, &mut answer.gradients] {
            for (name, x) in arrays.iter_mut().filter(|(name, _)| ["ht", "d_h0"].contains(&name.as_str())) {
                assert_eq!(x.shape()[2..], [3, 4], "{name}");
                *x = transposed(x);
            }
        }
        let names = [("ht", "ht"), ("d_h0", "d_h0"), ("d_k", "d_v"), ("d_v", "d_k"), ("d_g", "d_gv"), ("d_gv", "d_g")];
        assert_same(&shape, &answer, &expected, &names);
    }
}

#[test]
fn gla_of_one_value_channel_is_hgrn_in_each_key_channel() {
    for shape in ["B=2,T=9", "B=1,T=9,seqs=4+0+5"] {
        // one key channel holds one channel of hgrn, and a query of ones sums them
        let hgrn = Question::new(problem("hgrn", &format!("{shape},D=4")), 25);
        let mut gla = Question::new(problem("gla", &format!("{shape},H=1,K=4,V=1,scale=1,absent=gv")), 26);
        for (to, from) in [("k", "x"), ("g", "g"), ("h0", "h0")] {
            let like = gla.inputs[to].raw_dim();
            gla.set(to, hgrn.inputs[from].clone().into_shape_with_order(like).expect("one size"));
        }
        for name in ["q", "v"] {
            gla.set(name, ArrayD::ones(gla.inputs[name].raw_dim()));
        }
        let mut summed = hgrn;
        let d_o = gla.cotangents["d_o"].clone().into_shape_with_order(vec![d_rows(&gla), 9, 1]).expect("one size");
        summed.cotangents.insert("d_o".to_owned(), d_o.broadcast(vec![d_rows(&gla), 9, 4]).expect("one").to_owned());
        let like = summed.cotangents["d_ht"].raw_dim();
        let d_ht = gla.cotangents["d_ht"].clone().into_shape_with_order(like).expect("one size");
        summed.cotangents.insert("d_ht".to_owned(), d_ht);
        let (answer, mut expected) = (gla.answer(), summed.answer());
        let o = expected.outputs["o"].sum_axis(Axis(2));
        expected.outputs.insert("o".to_owned(), o);
        let names = [("o", "o"), ("ht", "ht"), ("d_k", "d_x"), ("d_g", "d_g"), ("d_h0", "d_h0")];
        assert_same(&shape, &answer, &expected, &names);
    }
}

fn d_rows(question: &Question) -> usize {
    question.problem.size(Dim::B)
}

#[test]
fn without_decay_every_one_of_them_is_linear_attn() {
    for shape in SHAPES {
        let layer = ",layer_idx=5,num_layers=5";
        let others = [("gla", ",absent=g+gv"), ("simple_gla", ",absent=g+g_gamma"), ("lightning_attn", layer)];
        for other in others {
            let (linear, same) = pair(("linear_attn", ""), other, shape);
            assert_all(&format!("{} {shape}", other.0), &same.answer(), &linear.answer());
        }
        let (linear, mut zero) = pair(("linear_attn", ""), ("gla", ""), shape);
        for name in ["g", "gv"] {
            zero.set(name, ArrayD::zeros(zero.inputs[name].raw_dim()));
        }
        assert_all(shape, &zero.answer(), &linear.answer());
    }
}

#[test]
fn a_constant_decay_per_head_is_simple_gla_with_g_gamma() {
    for shape in SHAPES {
        let retention = [31.0 / 32.0, 63.0 / 64.0, 127.0 / 128.0].map(f64::ln);
        let lightning = [0.0, -8.0 / 3.0 * 0.75, -16.0 / 3.0 * 0.75];
        for (other, g_gamma) in
            [(("retention", ""), retention), (("lightning_attn", ",layer_idx=6,num_layers=24"), lightning)]
        {
            let (constant, mut simple) = pair(other, ("simple_gla", ",absent=g"), shape);
            simple.set("g_gamma", ndarray::arr1(&g_gamma).into_dyn());
            assert_all(&format!("{} {shape}", other.0), &constant.answer(), &simple.answer());
        }
    }
}

#[test]
fn retention_is_a_sum_over_the_past() {
    let question = Question::new(problem("retention", "B=1,T=9,H=3,K=4,V=2,scale=0.3,absent=h0"), 27);
    let o = &forward(&question.problem, &question.inputs).expect("a valid question")["o"];
    let row = |name: &str, t: usize, head: usize| {
        let x = &question.inputs[name];
        x.index_axis(Axis(0), 0).index_axis_move(Axis(0), t).index_axis_move(Axis(0), head).to_owned()
    };
    let mut expected = ArrayD::zeros(o.raw_dim());
    for (head, gamma) in [31.0 / 32.0, 63.0 / 64.0, 127.0 / 128.0f64].into_iter().enumerate() {
        for (i, j) in (0..9).flat_map(|i| (0..=i).map(move |j| (i, j))) {
            let score = 0.3 * gamma.powi(i as i32 - j as i32) * (row("q", i, head) * row("k", j, head)).sum();
            let mut at = expected.index_axis_mut(Axis(1), i);
            at.index_axis_mut(Axis(1), head).index_axis_mut(Axis(0), 0).scaled_add(score, &row("v", j, head));
        }
    }
    assert_agree("o", o, &expected, 0.0);
}

#[test]
fn the_normalised_sum_is_the_sum_over_that_of_ones() {
    for shape in SHAPES {
        let normal = Question::new(problem("normalized_linear_attn", shape), 28);
        // one more value channel, which is 1 everywhere and starts from z0, reads the denominator
        let mut wide = Question::new(problem("linear_attn", &shape.replace("V=2", "V=3")), 29);
        for name in ["q", "k"] {
            wide.set(name, normal.inputs[name].clone());
        }
        let beside = |x: &ArrayD<f64>, last: ArrayD<f64>| {
            let last = last.insert_axis(Axis(x.ndim() - 1));
            ndarray::concatenate(Axis(x.ndim() - 1), &[x.view(), last.view()]).expect("one more column")
        };
        let v = &normal.inputs["v"];
        wide.set("v", beside(v, ArrayD::ones(&v.shape()[..3])));
        wide.set("h0", beside(&normal.inputs["h0"], normal.inputs["z0"].clone()));
        let sums = &forward(&wide.problem, &wide.inputs).expect("a valid question")["o"];
        let total = sums.slice_axis(Axis(3), (2..3).into()).to_owned() + 1e-10;
        let above = sums.slice_axis(Axis(3), (0..2).into()).to_owned();
        let o = &above / &total;
        let d_o = &normal.cotangents["d_o"];
        let d_total = -(d_o * &o / &total).sum_axis(Axis(3));
        wide.cotangents.insert("d_o".to_owned(), beside(&(d_o / &total), d_total));
        wide.cotangents
            .insert("d_ht".to_owned(), beside(&normal.cotangents["d_ht"], normal.cotangents["d_zt"].clone()));
        let mut answer = wide.answer();
        let (columns, last) = (|x: &ArrayD<f64>| x.slice_axis(Axis(3), (0..2).into()).to_owned(), Axis(3));
        answer.outputs.insert("zt".to_owned(), answer.outputs["ht"].index_axis(last, 2).to_owned());
        answer.outputs.insert("ht".to_owned(), columns(&answer.outputs["ht"]));
        answer.outputs.insert("o".to_owned(), o);
        let d = &mut answer.gradients;
        d.insert("d_z0".to_owned(), d["d_h0"].index_axis(last, 2).to_owned());
        for name in ["d_h0", "d_v"] {
            d.insert(name.to_owned(), columns(&d[name]));
        }
        crate::question::assert_equal(&shape, &answer, &normal.answer());
    }
}

#[test]
fn equal_values_are_their_own_average() {
    for scale in [1.0, 0.01] {
        let mut question = Question::new(problem("normalized_linear_attn", "B=2,T=9,H=2,K=4,V=3,absent=h0+z0"), 30);
        question.problem.attrs.insert("scale", Value::Number(scale));
        question.set("v", ArrayD::ones(question.inputs["v"].raw_dim()));
        let o = &forward(&question.problem, &question.inputs).expect("a valid question")["o"];
        // the constant in the denominator is all that is missing
        assert!(o.iter().all(|x| *x < 1.0 && 1.0 - x < 1e-10 / (scale * 1e-3)), "{scale}: {o}");
    }
}
