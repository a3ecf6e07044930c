//! Laws of the memories that read and write under different keys, have momentum, or are attention over features.

use ndarray::{ArrayD, Axis, concatenate};
use reference::oracle::Answer;

use crate::beside::beside;
use crate::question::{Question, assert_equal, assert_same, each};
use crate::sample::problem;

const SHAPES: [&str; 2] = ["B=2,T=6,K=4,V=3,H=2,HV=2", "B=1,T=7,K=3,V=4,H=2,HV=2,seqs=3+0+4"];

/// The factor of every row of `x`.
fn times_rows(x: &ArrayD<f64>, factor: &ArrayD<f64>) -> ArrayD<f64> {
    x * &factor.view().insert_axis(Axis(factor.ndim()))
}

#[test]
fn comba_that_reads_under_the_decayed_key_is_the_gated_delta_rule() {
    for shape in SHAPES {
        let delta = Question::new(problem("gated_delta_rule", shape), 1);
        let mut comba = beside(&delta, "comba", shape, 2);
        let (k, decay) = (delta.inputs["k"].clone(), delta.inputs["g"].mapv(f64::exp));
        let p = times_rows(&k, &decay);
        comba.set("p", p.clone());
        let mut answer = comba.answer();
        let d = &mut answer.gradients;
        let d_p = d.remove("d_p").expect("p has a gradient");
        *d.get_mut("d_k").expect("k has a gradient") += &times_rows(&d_p, &decay);
        *d.get_mut("d_g").expect("g has a gradient") += &(&d_p * &p).sum_axis(Axis(3));
        assert_equal(&shape, &answer, &delta.answer());
    }
}

#[test]
fn comba_that_reads_nothing_is_simple_gla() {
    for shape in SHAPES {
        let gla = Question::new(problem("simple_gla", &format!("{shape},absent=g_gamma")), 3);
        let mut comba = beside(&gla, "comba", shape, 4);
        comba.set("p", ArrayD::zeros(comba.inputs["p"].raw_dim()));
        comba.set("beta", ArrayD::ones(comba.inputs["beta"].raw_dim()));
        let names = each(["o", "ht", "d_q", "d_k", "d_v", "d_g", "d_h0"]);
        assert_same(&shape, &comba.answer(), &gla.answer(), &names);
    }
}

/// Momentum that is forgotten at once and whose last value nobody looks at.
fn without_momentum(other: &Question, fields: &str, seed: u64) -> Question {
    let mut momentum = beside(other, "momentum_delta_rule", fields, seed);
    momentum.set("log_mu", ArrayD::from_elem(momentum.inputs["log_mu"].raw_dim(), -800.0));
    let (beta, eta) = (momentum.inputs["beta"].clone(), &momentum.inputs["eta"]);
    momentum.set("beta", beta / eta);
    momentum.cotangents.remove("d_mt");
    momentum
}

/// Compares with a rule whose one step size is β η.
fn assert_one_step_size(what: &str, momentum: &Question, mut answer: Answer, expected: &Answer) {
    for name in ["d_log_mu", "d_m0"] {
        let gone = answer.gradients.remove(name).expect("an input of the momentum");
        assert!(gone.iter().all(|x| x.abs() <= 0.0), "{what}: {name}");
    }
    answer.outputs.remove("mt");
    let d_eta = answer.gradients.remove("d_eta").expect("eta has a gradient");
    let d_beta = answer.gradients.insert("d_beta".to_owned(), &d_eta / &momentum.inputs["beta"]);
    let products = [d_beta.expect("beta has a gradient") * &momentum.inputs["beta"], d_eta * &momentum.inputs["eta"]];
    crate::question::assert_agree(&format!("{what}: β d_β = η d_η"), &products[0], &products[1], 0.0);
    assert_equal(&what, &answer, expected);
}

#[test]
fn without_momentum_it_is_the_gated_delta_rule_with_the_product_of_the_step_sizes() {
    for shape in SHAPES {
        for norm in ["", ",qk_l2norm=true"] {
            let fields = format!("{shape}{norm}");
            let delta = Question::new(problem("gated_delta_rule", &fields), 5);
            let mut momentum = without_momentum(&delta, &fields, 6);
            momentum.set("p", delta.inputs["k"].clone());
            let mut answer = momentum.answer();
            let d_p = answer.gradients.remove("d_p").expect("p has a gradient");
            *answer.gradients.get_mut("d_k").expect("k has a gradient") += &d_p;
            assert_one_step_size(&fields, &momentum, answer, &delta.answer());
        }
    }
}

#[test]
fn without_momentum_and_reading_the_old_state_it_is_comba() {
    for shape in SHAPES {
        for norm in ["", ",qk_l2norm=true"] {
            let comba = Question::new(problem("comba", &format!("{shape}{norm}")), 7);
            let momentum = without_momentum(&comba, &format!("{shape}{norm},p_times_alpha=false"), 8);
            assert_one_step_size(&format!("{shape}{norm}"), &momentum, momentum.answer(), &comba.answer());
        }
    }
}

#[test]
fn momentum_that_is_not_applied_leaves_a_decaying_state() {
    for shape in SHAPES {
        let mut gla = Question::new(problem("simple_gla", &format!("{shape},absent=g_gamma")), 9);
        let mut momentum = beside(&gla, "momentum_delta_rule", shape, 10);
        gla.set("v", ArrayD::zeros(gla.inputs["v"].raw_dim()));
        momentum.set("beta", ArrayD::zeros(momentum.inputs["beta"].raw_dim()));
        momentum.cotangents.remove("d_mt");
        let names = each(["o", "ht", "d_q", "d_g", "d_h0"]);
        assert_same(&shape, &momentum.answer(), &gla.answer(), &names);
    }
}

/// The vectors of the last axis mapped to features: the constant `powers[0]`, the vector times `powers[1]`, and all
/// products of two of its elements times `powers[2]`; a power of 0 is left out.
fn features(x: &ArrayD<f64>, powers: [f64; 3]) -> ArrayD<f64> {
    let map = |row: ndarray::ArrayView1<'_, f64>| {
        let pairs = row.iter().flat_map(|a| row.iter().map(move |b| powers[2] * a * b)).collect::<Vec<_>>();
        let first = row.iter().map(|a| powers[1] * a).filter(|_| powers[1] > 0.0);
        let constant = std::iter::once(powers[0]).filter(|&c| c > 0.0);
        constant.chain(first).chain(pairs).collect::<Vec<_>>()
    };
    let rows: Vec<Vec<f64>> = x.rows().into_iter().map(map).collect();
    let mut shape = x.shape().to_vec();
    *shape.last_mut().expect("a last axis") = rows[0].len();
    ArrayD::from_shape_vec(shape, rows.concat()).expect("a row of features for each row")
}

/// `d_x` from the gradient of its features.
fn through_features(x: &ArrayD<f64>, d: &ArrayD<f64>, powers: [f64; 3]) -> ArrayD<f64> {
    let mut d_x = x.clone();
    for ((mut out, row), d) in d_x.rows_mut().into_iter().zip(x.rows()).zip(d.rows()) {
        let (width, pairs) = (row.len(), d.len() - row.len() * row.len());
        for a in 0..width {
            let first = if powers[1] > 0.0 { powers[1] * d[pairs - width + a] } else { 0.0 };
            let second = (0..width).map(|b| (d[pairs + a * width + b] + d[pairs + b * width + a]) * row[b]);
            out[a] = first + powers[2] * second.sum::<f64>();
        }
    }
    d_x
}

/// The answer by linear attention over features, with the sum of the weights as one more value channel.
fn by_features(question: &Question, powers: [f64; 3], eps: f64, seed: u64) -> Answer {
    let asked = &question.problem;
    let width = question.inputs["q"].shape()[3];
    let scale = asked.number("scale").unwrap_or((width as f64).powf(-0.5)).sqrt();
    let scaled = ["q", "k"].map(|name| &question.inputs[name] * scale);
    let mapped = scaled.each_ref().map(|x| features(x, powers));
    let v = &question.inputs["v"];
    let one = ArrayD::ones([&v.shape()[..3], &[1]].concat());
    let values = concatenate(Axis(3), &[v.view(), one.view()]).expect("one channel more");
    let sizes = [("B", 0), ("T", 1), ("H", 2)].map(|(dim, axis)| format!("{dim}={},", v.shape()[axis])).concat();
    let packed = asked.sequences.as_ref().map_or(String::new(), |lengths| {
        format!(",seqs={}", lengths.iter().map(ToString::to_string).collect::<Vec<_>>().join("+"))
    });
    let fields = format!("{sizes}K={},V={},scale=1,absent=h0{packed}", mapped[0].shape()[3], values.shape()[3]);
    let mut linear = Question::new(problem("linear_attn", &fields), seed);
    let [q, k] = mapped;
    for (name, array) in [("q", q), ("k", k), ("v", values)] {
        linear.set(name, array);
    }
    linear.cotangents.remove("d_ht");
    let channels = ndarray::Slice::from(..-1);
    let sums = linear.answer().outputs["o"].clone();
    let (sum, z) = (sums.slice_axis(Axis(3), channels).to_owned(), sums.slice_axis(Axis(3), (-1..).into()).to_owned());
    let divided = asked.flag("normalize");
    let z = if divided { z + eps } else { one };
    let (o, d_o) = (sum / &z, &question.cotangents["d_o"]);
    let d_sum = d_o / &z;
    let d_z = (&d_sum * &o).sum_axis(Axis(3)).insert_axis(Axis(3)) * if divided { -1.0 } else { 0.0 };
    let seeds = concatenate(Axis(3), &[d_sum.view(), d_z.view()]).expect("one channel more");
    linear.cotangents.insert("d_o".to_owned(), seeds);
    let d = linear.answer().gradients;
    let mut answer = Answer::default();
    answer.outputs.insert("o".to_owned(), o);
    for (name, x) in ["d_q", "d_k"].iter().zip(&scaled) {
        answer.gradients.insert((*name).to_owned(), through_features(x, &d[*name], powers) * scale);
    }
    answer.gradients.insert("d_v".to_owned(), d["d_v"].slice_axis(Axis(3), channels).to_owned());
    answer
}

#[test]
fn series_and_squares_are_linear_attention_over_products_of_elements() {
    let attributes = ["", ",normalize=false", ",scale=0.7"];
    for fields in SHAPES.iter().flat_map(|s| attributes.map(|a| format!("{s}{a}"))) {
        let based = Question::new(problem("based", &fields), 11);
        assert_equal(&fields, &by_features(&based, [1.0, 1.0, 0.5f64.sqrt()], 1e-6, 12), &based.answer());
        let rebased = Question::new(problem("rebased", &fields), 13);
        assert_equal(&fields, &by_features(&rebased, [0.0, 0.0, 1.0], 1e-5, 14), &rebased.answer());
        let eps = Question::new(problem("rebased", &format!("{fields},eps=0.3")), 15);
        assert_equal(&fields, &by_features(&eps, [0.0, 0.0, 1.0], 0.3, 16), &eps.answer());
    }
}
