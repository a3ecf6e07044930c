//! Laws of averages that each channel keeps by itself: against sums that are not normalised.

use ndarray::{ArrayD, Axis, Slice, concatenate};
use reference::oracle;

use crate::question::{Question, assert_equal, assert_same};
use crate::sample::problem;
use crate::tokens::{additive_gate, assert_is, before, exp, summed, through_additive_gate, token, wide};

/// For each token of `[B, T, ...]`, the cotangent of the token after it, and zeros at the last.
fn after(x: &ArrayD<f64>) -> ArrayD<f64> {
    let none = ArrayD::zeros(token(x, 0).insert_axis(Axis(1)).raw_dim());
    let all = concatenate(Axis(1), &[x.view(), none.view()]).expect("one shape but for the tokens");
    all.slice_axis(Axis(1), Slice::from(1..)).to_owned()
}

fn tokens(x: &ArrayD<f64>) -> usize {
    x.len_of(Axis(1))
}

fn over_tokens(x: &ArrayD<f64>) -> ArrayD<f64> {
    x.sum_axis(Axis(0)).sum_axis(Axis(0))
}

/// Their transpose: sums over this token and all later ones.
fn summed_back(x: &ArrayD<f64>) -> ArrayD<f64> {
    let mut turned = x.clone();
    turned.invert_axis(Axis(1));
    let mut sums = summed(&turned);
    sums.invert_axis(Axis(1));
    sums
}

/// A sum of `x` that decays at the rate of rwkv4.
fn sum(shape: &str, rwkv: &Question, x: ArrayD<f64>, h0: ArrayD<f64>) -> Question {
    let mut sum = Question::new(problem("hgrn", shape), 2);
    let g = -exp(&rwkv.inputs["w"]);
    sum.set("g", g.broadcast(x.raw_dim()).expect("channels are last").to_owned());
    sum.set("x", x);
    sum.set("h0", h0);
    sum
}

#[test]
fn rwkv4_is_a_ratio_of_two_decaying_sums() {
    for shape in ["B=2,T=9,D=3", "B=1,T=1,D=4", "B=3,T=2,D=1"] {
        let mut rwkv = Question::new(problem("rwkv4", shape), 1);
        let (k, v) = (rwkv.inputs["k"].clone(), rwkv.inputs["v"].clone());
        let (old, plain, new) = (exp(&rwkv.inputs["eps0"]), exp(&k), exp(&(&rwkv.inputs["u"] + &k)));
        let start = [&rwkv.inputs["alpha0"] * &old, &rwkv.inputs["beta0"] * &old];
        let terms = [&plain * &v, plain.clone()];
        let [mut above, mut below] = [0, 1].map(|i| sum(shape, &rwkv, terms[i].clone(), start[i].clone()));
        let sums = [&above, &below].map(|q| oracle::forward(&q.problem, &q.inputs).expect("a valid question"));
        let [a, b] = [0, 1].map(|i| before(&start[i], &sums[i]["o"]));
        let total = &b + &new;
        let o = (&a + &new * &v) / &total;

        // cotangents of e^ε α and e^ε β: the maximum itself has no influence then
        let eps = rwkv.answer().outputs["epst"].clone();
        let d_last = [&above, &below].map(|q| q.cotangents["d_ht"].clone());
        rwkv.cotangents.insert("d_alphat".to_owned(), &d_last[0] * &exp(&eps));
        rwkv.cotangents.insert("d_betat".to_owned(), &d_last[1] * &exp(&eps));
        let d_eps = &d_last[0] * &sums[0]["ht"] + &d_last[1] * &sums[1]["ht"];
        rwkv.cotangents.insert("d_epst".to_owned(), d_eps);

        let d_a = &rwkv.cotangents["d_o"] / &total;
        let d_b = -&d_a * &o;
        above.cotangents.insert("d_o".to_owned(), after(&d_a));
        below.cotangents.insert("d_o".to_owned(), after(&d_b));
        let [above, below] = [above.answer().gradients, below.answer().gradients];
        let to_bonus = &d_a * &new * (&v - &o);
        let to_k = (&above["d_x"] * &v + &below["d_x"]) * &plain;
        let to_g = over_tokens(&(&above["d_g"] + &below["d_g"]));
        let d_start = [&above["d_h0"] + &token(&d_a, 0), &below["d_h0"] + &token(&d_b, 0)];

        let answer = rwkv.answer();
        for (name, expected) in [
            ("o", o),
            ("alphat", &sums[0]["ht"] / &exp(&eps)),
            ("betat", &sums[1]["ht"] / &exp(&eps)),
            ("d_k", to_k + &to_bonus),
            ("d_v", &above["d_x"] * &plain + &d_a * &new),
            ("d_u", over_tokens(&to_bonus)),
            ("d_w", -to_g * exp(&rwkv.inputs["w"])),
            ("d_alpha0", &d_start[0] * &old),
            ("d_beta0", &d_start[1] * &old),
            ("d_eps0", &d_start[0] * &start[0] + &d_start[1] * &start[1]),
        ] {
            assert_is(shape, &answer, name, &expected);
        }
    }
}

/// Answers with and without a history of next to no weight must agree, and the former depends on nothing in it.
fn assert_no_history(op: &str, shape: &str, log_weight: &str, states: &[&str], seed: u64) {
    let mut empty = Question::new(problem(op, shape), seed);
    empty.set(log_weight, ArrayD::from_elem(empty.inputs[log_weight].raw_dim(), -1e30));
    let absent = [&[log_weight], states].concat().join("+");
    let none = Question {
        problem: problem(op, &format!("{shape},absent={absent}")),
        inputs: empty
            .inputs
            .clone()
            .into_iter()
            .filter(|(n, _)| n != log_weight && !states.contains(&n.as_str()))
            .collect(),
        cotangents: empty.cotangents.clone(),
    };
    let (mut empty, none) = (empty.answer(), none.answer());
    for state in states {
        let d = empty.gradients.remove(&format!("d_{state}")).expect("states have gradients");
        assert!(d.iter().all(|d| d.abs() <= 0.0), "{op}: d_{state}");
    }
    empty.gradients.remove(&format!("d_{log_weight}"));
    assert_equal(&shape, &none, &empty);
}

#[test]
fn a_history_of_no_weight_is_none() {
    assert_no_history("lightnet", "B=2,T=5,H=2,K=3,V=4", "z0", &["h0"], 3);
    assert_no_history("abc", "B=2,T=5,H=2,K=3,V=4,M=3", "z0", &["hk0", "hv0"], 4);
    assert_no_history("rwkv4", "B=2,T=5,D=4", "eps0", &["alpha0", "beta0"], 5);
}

#[test]
fn lightnet_is_linear_attention_on_exponentials_over_their_sum() {
    for shape in ["B=2,T=9,H=3,K=4,V=2", "B=2,T=1,H=1,K=3,V=5,scale=0.4"] {
        let mut light = Question::new(problem("lightnet", shape), 6);
        let mut linear = Question::new(problem("linear_attn", shape), 7);
        let (plain, start) = (exp(&light.inputs["k"]), exp(&light.inputs["z0"]));
        let total = summed(&plain) + &start.view().insert_axis(Axis(1));
        let last = tokens(&total) - 1;
        let sum = token(&total, last);
        linear.set("q", &light.inputs["q"] / &total);
        linear.set("k", plain.clone());
        linear.set("v", light.inputs["v"].clone());
        linear.set("h0", &light.inputs["h0"] * &wide(&start));
        linear.cotangents.insert("d_o".to_owned(), light.cotangents["d_o"].clone());
        let sums = linear.answer();
        let d_ht = &linear.cotangents["d_ht"];
        // a cotangent of e^z h, and of z
        let d_z = light.cotangents["d_zt"].clone();
        light.cotangents.insert("d_ht".to_owned(), d_ht * &wide(&sum));
        light.cotangents.insert("d_zt".to_owned(), &d_z + &(d_ht * &sums.outputs["ht"]).sum_axis(Axis(3)));

        let d = &sums.gradients;
        let mut d_total = -&d["d_q"] * &linear.inputs["q"] / &total;
        let mut at_last = d_total.index_axis_mut(Axis(1), last);
        at_last += &(&d_z / &sum);
        let d_total = summed_back(&d_total);
        let to_start = (&d["d_h0"] * &light.inputs["h0"]).sum_axis(Axis(3)) + token(&d_total, 0);
        let answer = light.answer();
        for (name, expected) in [
            ("o", sums.outputs["o"].clone()),
            ("ht", &sums.outputs["ht"] / &wide(&sum)),
            ("zt", sum.mapv(f64::ln)),
            ("d_q", &d["d_q"] / &total),
            ("d_k", (&d["d_k"] + &d_total) * &plain),
            ("d_v", d["d_v"].clone()),
            ("d_h0", &d["d_h0"] * &wide(&start)),
            ("d_z0", to_start * &start),
        ] {
            assert_is(shape, &answer, name, &expected);
        }
    }
}

#[test]
fn lightnet_is_gla_whose_decay_and_key_add_up_to_one() {
    for shape in ["B=2,T=9,H=3,K=4,V=2", "B=2,T=1,H=1,K=3,V=5,scale=0.4"] {
        let light = Question::new(problem("lightnet", shape), 8);
        let mut gla = Question::new(problem("gla", &format!("{shape},absent=gv")), 9);
        for name in ["q", "v", "h0"] {
            gla.set(name, light.inputs[name].clone());
        }
        let gate = additive_gate(&light.inputs["k"], &light.inputs["z0"]);
        gla.set("g", gate[0].clone());
        gla.set("k", gate[1].clone());
        for name in ["d_o", "d_ht"] {
            gla.cotangents.insert(name.to_owned(), light.cotangents[name].clone());
        }
        let (light_answer, gla) = (light.answer(), gla.answer());
        assert_same(&shape, &light_answer, &gla, &["o", "ht", "d_q", "d_v", "d_h0"].map(|n| (n, n)));
        let d = [&gla.gradients["d_g"], &gla.gradients["d_k"], &light.cotangents["d_zt"]];
        let [d_k, d_z0] = through_additive_gate(&gate, d);
        for (name, expected) in [("zt", &gate[2]), ("d_k", &d_k), ("d_z0", &d_z0)] {
            assert_is(shape, &light_answer, name, expected);
        }
    }
}
