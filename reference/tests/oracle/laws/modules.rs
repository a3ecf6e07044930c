//! Laws of modules: each is tied to an op or to another module, by values and by gradients.

use ndarray::{Array2, ArrayD, Axis, Ix2};
use reference::oracle::Answer;

use crate::beside::beside;
use crate::question::{Question, assert_agree, assert_equal, assert_same};
use crate::sample::problem;

/// The answer of `op` at `x`, whose output has the cotangent `d_o`.
fn at(op: &str, fields: &str, x: &ArrayD<f64>, d_o: &ArrayD<f64>) -> Answer {
    let mut question = Question::new(problem(op, fields), 31);
    question.set("x", x.clone());
    question.cotangents.insert("d_o".to_owned(), d_o.clone());
    question.answer()
}

/// Holds attention by a polynomial of scores against linear attention of features `[B, T, M]`.
fn features_make(kernel: &str, map: &str, options: &str, features: usize) {
    let fields = "B=2,T=6,H=1,K=3,V=4";
    let scores = Question::new(problem(kernel, &format!("{fields},normalize=false")), 32);
    let map_fields = format!("B=2,T=6,K=3,M={features}{options}");
    let rows = |name: &str| scores.inputs[name].index_axis(Axis(2), 0).to_owned();
    let none = ArrayD::zeros(vec![2, 6, features]);
    let phi = |name: &str| at(map, &map_fields, &rows(name), &none).outputs["o"].clone().insert_axis(Axis(2));
    let linear = format!("B=2,T=6,H=1,K={features},V=4,scale=1,absent=h0");
    let mut linear = beside(&scores, "linear_attn", &linear, 33);
    linear.set("q", phi("q"));
    linear.set("k", phi("k"));
    linear.cotangents.insert("d_ht".to_owned(), ArrayD::zeros(vec![2, 1, features, 4]));
    let (answer, expected) = (linear.answer(), scores.answer());
    assert_same(&kernel, &answer, &expected, &[("o", "o"), ("d_v", "d_v")]);
    for name in ["q", "k"] {
        let d_phi = answer.gradients[&format!("d_{name}")].index_axis(Axis(2), 0).to_owned();
        let found = at(map, &map_fields, &rows(name), &d_phi).gradients["d_x"].clone().insert_axis(Axis(2));
        assert_agree(&format!("{kernel}: d_{name}"), &found, &expected.gradients[&format!("d_{name}")], 0.0);
    }
}

#[test]
fn linear_attention_of_taylor_features_is_that_of_the_exponential_series() {
    features_make("based", "feature_map_taylor", "", 10);
}

#[test]
fn linear_attention_of_all_products_is_that_of_squared_scores() {
    features_make("rebased", "feature_map_rebased", ",normalize=false,absent=gamma+beta", 6);
}

#[test]
fn one_group_is_the_whole() {
    for (op, rms) in [("rms_norm", "true"), ("layer_norm", "false")] {
        let grouped = Question::new(problem("group_norm", &format!("B=2,T=5,D=6,eps=0.1,rms={rms}")), 30);
        assert_equal(&op, &grouped.answer(), &beside(&grouped, op, "B=2,T=5,D=6,eps=0.1", 29).answer());
    }
}

#[test]
fn a_norm_before_its_gate_is_the_gated_norm() {
    for (op, rms) in [("rms_norm_gated", "true"), ("layer_norm_gated", "false")] {
        let fields = format!("B=2,T=5,D=6,rms={rms},norm_before_gate=true,eps=0.1");
        let grouped = Question::new(problem("group_norm_gated", &fields), 34);
        let mut gated = beside(&grouped, op, "B=2,T=5,D=6,eps=0.1,absent=residual", 35);
        gated.set("g", grouped.inputs["z"].clone());
        gated.cotangents.insert("d_s".to_owned(), ArrayD::zeros(vec![2, 5, 6]));
        let names = [("o", "o"), ("d_x", "d_x"), ("d_z", "d_g"), ("d_weight", "d_weight"), ("d_bias", "d_bias")];
        assert_same(&op, &grouped.answer(), &gated.answer(), &names);
    }
}

#[test]
fn a_norm_after_its_gate_is_that_of_the_gated_product() {
    let fields = "B=2,T=5,D=6,num_groups=2,rms=true";
    let after = Question::new(problem("group_norm_gated", fields), 36);
    let (x, z) = (&after.inputs["x"], &after.inputs["z"]);
    let product = |d_o: &ArrayD<f64>| {
        let mut glu = Question::new(problem("glu", "B=2,T=5,D=6"), 37);
        glu.set("x", z.clone());
        glu.set("y", x.clone());
        glu.cotangents.insert("d_o".to_owned(), d_o.clone());
        glu.answer()
    };
    let mut norm = beside(&after, "group_norm", &format!("{fields},absent=residual"), 38);
    norm.set("x", product(&ArrayD::zeros(x.raw_dim())).outputs["o"].clone());
    norm.cotangents.insert("d_s".to_owned(), ArrayD::zeros(x.raw_dim()));
    let (answer, expected) = (norm.answer(), after.answer());
    let names = [("o", "o"), ("d_weight", "d_weight"), ("d_bias", "d_bias")];
    assert_same(&"after the gate", &answer, &expected, &names);
    assert_same(&"through the gate", &product(&answer.gradients["d_x"]), &expected, &[("d_x", "d_z"), ("d_y", "d_x")]);
}

#[test]
fn a_lerp_is_a_token_shift_and_a_bottleneck() {
    let lerp = Question::new(problem("lerp_linear", "B=2,T=6,D=4,I=3,E=2,low_rank=true"), 39);
    let shifted = beside(&lerp, "token_shift", "B=2,T=6,D=4", 40).answer();
    let mixed = &lerp.inputs["x"] + &(&shifted.outputs["o"] * &lerp.inputs["mu"]);
    let mut lora = beside(&lerp, "lora", "B=2,T=6,D=4,I=3,E=2", 41);
    lora.set("x", mixed);
    for name in ["lora.0.weight", "lora.2.weight", "lora.2.bias"] {
        lora.set(name, lerp.inputs[&format!("linear.{name}")].clone());
    }
    let (answer, expected) = (lora.answer(), lerp.answer());
    let names = [
        ("o", "o"),
        ("d_lora.0.weight", "d_linear.lora.0.weight"),
        ("d_lora.2.weight", "d_linear.lora.2.weight"),
        ("d_lora.2.bias", "d_linear.lora.2.bias"),
    ];
    assert_same(&"lerp", &answer, &expected, &names);
    let along = &answer.gradients["d_x"] * &shifted.outputs["o"];
    let d_mu = along.sum_axis(Axis(0)).sum_axis(Axis(0));
    assert_agree("lerp: d_mu", &d_mu, &expected.gradients["d_mu"], 0.0);
}

#[test]
fn an_implicit_filter_is_the_answer_to_an_impulse() {
    let implicit = Question::new(problem("implicit_long_convolution", "B=2,T=7,D=3,E=5,I=4,max_len=16"), 42);
    let mut impulse = beside(&implicit, "implicit_long_convolution", "B=1,T=7,D=3,E=5,I=4,max_len=16", 43);
    for name in ["mlp.0.weight", "mlp.0.bias", "mlp.2.weight", "mlp.2.bias"] {
        impulse.set(name, implicit.inputs[name].clone());
    }
    let mut first = ArrayD::zeros(vec![1, 7, 3]);
    first.index_axis_mut(Axis(1), 0).fill(1.0);
    impulse.set("x", first.clone());
    let filter = (&impulse.answer().outputs["o"] - &first).index_axis(Axis(0), 0).t().to_owned();
    let mut long = beside(&implicit, "long_convolution", "B=2,T=7,D=3,L=7,absent=k_rev", 44);
    long.set("filter", filter);
    assert_same(&"implicit", &long.answer(), &implicit.answer(), &[("o", "o"), ("d_x", "d_x")]);
}

fn matrix(x: &ArrayD<f64>) -> Array2<f64> {
    let width = x.shape()[x.ndim() - 1];
    x.to_shape((x.len() / width, width)).expect("rows").to_owned()
}

/// Values are those of quantised operands, and gradients those that these would have.
#[test]
fn quantised_operands_pass_gradients_straight_through() {
    for rms in [true, false] {
        let fields = format!("B=2,T=5,D=6,I=4,norm_eps=0.1,rms={rms}");
        let bits = Question::new(problem("bit_linear", &fields), 45);
        let mean = bits.inputs["weight"].mapv(f64::abs).mean().expect("a weight");
        let ternary = bits.inputs["weight"].mapv(|w| (w / mean).round_ties_even().clamp(-1.0, 1.0) * mean);
        let mut linear = beside(&bits, "norm_linear", &format!("B=2,T=5,D=6,I=4,eps=0.1,rms={rms}"), 46);
        for (name, array) in [
            ("linear_weight", &ternary),
            ("linear_bias", &bits.inputs["bias"]),
            ("norm_weight", &bits.inputs["norm.weight"]),
            ("norm_bias", &bits.inputs["norm.bias"]),
        ] {
            linear.set(name, array.clone());
        }
        let (answer, expected) = (bits.answer(), linear.answer());
        let names = [
            ("s", "s"),
            ("d_x", "d_x"),
            ("d_residual", "d_residual"),
            ("d_norm.weight", "d_norm_weight"),
            ("d_norm.bias", "d_norm_bias"),
            ("d_bias", "d_linear_bias"),
        ];
        assert_same(&fields, &answer, &expected, &names);
        // the normed tokens themselves, as the norm alone gives them
        let mut norm = beside(&bits, "group_norm", &format!("B=2,T=5,D=6,eps=0.1,rms={rms}"), 47);
        norm.set("weight", bits.inputs["norm.weight"].clone());
        norm.set("bias", bits.inputs["norm.bias"].clone());
        let mut tokens = matrix(&norm.answer().outputs["o"]);
        for mut row in tokens.rows_mut() {
            let step = row.iter().fold(0.0, |m: f64, y| m.max(y.abs())) / 127.0;
            row.mapv_inplace(|y| (y / step).round() * step);
        }
        let weight = ternary.into_dimensionality::<Ix2>().expect("a matrix");
        let o = tokens.dot(&weight.t())
            + bits.inputs["bias"].view().into_dimensionality::<ndarray::Ix1>().expect("a vector");
        assert_agree("o", &matrix(&answer.outputs["o"]).into_dyn(), &o.into_dyn(), 0.0);
        let d_weight = matrix(&bits.cotangents["d_o"]).t().dot(&tokens).into_dyn();
        assert_agree("d_weight", &answer.gradients["d_weight"], &d_weight, 0.0);
    }
}
