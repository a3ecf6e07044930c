//! Laws of gates, and of sums, means, softmaxes and products.

use ndarray::{Array2, ArrayD, Axis};

use crate::beside::beside;
use crate::question::{Question, assert_agree, assert_equal, assert_same};
use crate::sample::problem;

const SHAPES: [&str; 2] = ["B=2,T=6,K=4,V=4,H=2,HV=2", "B=1,T=7,K=3,V=3,H=2,HV=2,seqs=3+0+4"];

/// The sum over sequences of a tensor's rows: over the first two axes.
fn summed(x: &ArrayD<f64>) -> ArrayD<f64> {
    x.sum_axis(Axis(0)).sum_axis(Axis(0))
}

/// A question to a gate, and the rule that applies it by itself; the rule is given what the gate says.
fn behind_gates(op: &str, gate: &str, shape: &str) {
    let fused = Question::new(problem(op, &format!("{shape},softplus_gate=true,beta_sigmoid=true")), 18);
    let expected = fused.answer();
    let mut gate = beside(&fused, gate, shape, 19);
    let mut sigmoid = Question::new(problem("beta_sigmoid", shape), 20);
    sigmoid.set("x", fused.inputs["beta"].clone());
    let mut rule = beside(&fused, op, shape, 21);
    rule.set("g", gate.answer().outputs["o"].clone());
    rule.set("beta", sigmoid.answer().outputs["o"].clone());
    let mut answer = rule.answer();
    let mut back = |question: &mut Question, name: &str| {
        let d = answer.gradients.remove(name).expect("a gate has a gradient");
        question.cotangents.insert("d_o".to_owned(), d);
        question.answer().gradients
    };
    let (d_gate, mut d_sigmoid) = (back(&mut gate, "d_g"), back(&mut sigmoid, "d_beta"));
    answer.gradients.extend(d_gate);
    answer.gradients.insert("d_beta".to_owned(), d_sigmoid.remove("d_x").expect("the sigmoid has a gradient"));
    assert_equal(&format!("{op}({shape})"), &answer, &expected);
}

#[test]
fn rules_with_gates_in_them_are_rules_behind_gates() {
    for shape in SHAPES {
        behind_gates("gated_delta_rule", "gdn_gate", shape);
        behind_gates("kda", "kda_gate", shape);
    }
}

#[test]
fn a_gate_whose_channels_are_alike_is_one_of_the_head() {
    let kda = Question::new(problem("kda_gate", "B=2,T=5,H=3,K=1"), 22);
    let mut gdn = Question::new(problem("gdn_gate", "B=2,T=5,H=3"), 23);
    for name in ["g", "dt_bias", "A_log"] {
        let given = &kda.inputs[name];
        gdn.set(name, if name == "A_log" { given.clone() } else { given.sum_axis(Axis(given.ndim() - 1)) });
    }
    gdn.cotangents.insert("d_o".to_owned(), kda.cotangents["d_o"].sum_axis(Axis(3)));
    assert_equal(&"one channel", &kda.answer(), &gdn.answer());
}

#[test]
fn a_bounded_gate_is_a_scaled_sigmoid() {
    let kda = Question::new(problem("kda_gate", "B=2,T=5,H=3,K=1,lower_bound=-5,absent=A_log+dt_bias"), 24);
    let mut sigmoid = Question::new(problem("beta_sigmoid", "B=2,T=5,H=3,scale=-5"), 25);
    sigmoid.set("x", kda.inputs["g"].sum_axis(Axis(3)));
    sigmoid.cotangents.insert("d_o".to_owned(), kda.cotangents["d_o"].sum_axis(Axis(3)));
    assert_same(&"without a rate", &kda.answer(), &sigmoid.answer(), &[("o", "o"), ("d_g", "d_x")]);
}

#[test]
fn a_softplus_is_a_gate_of_rate_one_and_odd_about_a_line() {
    let gate = Question::new(problem("gdn_gate", "B=2,T=5,H=3,absent=dt_bias"), 26);
    let mut plain = gate.inputs.clone();
    plain.insert("A_log".to_owned(), ArrayD::zeros(gate.inputs["A_log"].raw_dim()));
    let gate = Question { inputs: plain, ..gate };
    let mut softplus = Question::new(problem("softplus", "B=2,T=5,D=3"), 27);
    softplus.set("x", gate.inputs["g"].clone());
    softplus.cotangents.insert("d_o".to_owned(), -&gate.cotangents["d_o"]);
    let answer = softplus.answer();
    let mut negated = answer.clone();
    negated.outputs.insert("o".to_owned(), -&answer.outputs["o"]);
    assert_same(&"rate one", &gate.answer(), &negated, &[("o", "o"), ("d_g", "d_x")]);
    // softplus(x) − softplus(−x) = x, and the slopes add up to 1
    let x = softplus.inputs["x"].clone();
    softplus.set("x", -&x);
    let other = softplus.answer();
    assert_agree("the difference", &(&answer.outputs["o"] - &other.outputs["o"]), &x, 1.0);
    let slopes = &answer.gradients["d_x"] + &other.gradients["d_x"];
    assert_agree("the slopes", &slopes, &softplus.cotangents["d_o"], 0.0);
}

#[test]
fn a_sum_of_tokens_is_linear_attention_to_keys_of_one() {
    for shape in ["B=2,T=6,H=2", "B=1,T=7,H=2,seqs=3+0+4", "B=2,T=5,H=1,scale=0.375"] {
        for reverse in ["", ",reverse=true"] {
            let cumsum = Question::new(problem("cumsum", &format!("{shape},K=4{reverse}")), 28);
            let scale = if shape.contains("scale") { "" } else { ",scale=1" };
            let fields = format!("{shape},K=1,V=4,absent=h0{scale}{reverse}");
            let mut linear = Question::new(problem("linear_attn", &fields), 29);
            for name in ["q", "k"] {
                linear.set(name, ArrayD::ones(linear.inputs[name].raw_dim()));
            }
            linear.set("v", cumsum.inputs["x"].clone());
            linear.cotangents = cumsum.cotangents.clone();
            assert_same(&shape, &cumsum.answer(), &linear.answer(), &[("o", "o"), ("d_x", "d_v")]);
        }
    }
}

#[test]
fn sums_over_a_chunk_as_long_as_the_sequence_are_sums_over_the_sequence() {
    for shape in ["B=2,T=6,H=2,K=3", "B=1,T=7,H=2,K=3,seqs=3+0+4", "B=2,T=5,H=1,K=2,scale=0.375"] {
        let whole = Question::new(problem("cumsum", shape), 30);
        let chunks = beside(&whole, "local_cumsum", &format!("{shape},chunk_size=6"), 31);
        assert_equal(&shape, &chunks.answer(), &whole.answer());
    }
    // sequences of the length of a chunk are its chunks
    let chunks = Question::new(problem("local_cumsum", "B=1,T=11,H=2,K=3,chunk_size=4"), 32);
    let packed = beside(&chunks, "cumsum", "B=1,T=11,H=2,K=3,seqs=4+4+3", 33);
    assert_equal(&"chunks of 4", &chunks.answer(), &packed.answer());
}

#[test]
fn a_mean_is_the_last_sum_of_its_block() {
    for shape in ["B=2,T=11,H=2,K=3", "B=1,T=11,H=2,K=3,seqs=5+0+6"] {
        let fields = format!("{shape},chunk_size=4");
        let pooled = Question::new(problem("mean_pooling", &fields), 34);
        let mut sums = beside(&pooled, "local_cumsum", &fields, 35);
        let offsets = pooled.problem.offsets();
        let ends = if pooled.problem.sequences.is_some() { offsets } else { vec![0, 11] };
        // 1 / count at the last token of a block, 0 elsewhere
        let mut weight = ArrayD::zeros(pooled.inputs["x"].raw_dim());
        for (start, end) in ends.windows(2).map(|w| (w[0], w[1])) {
            for t in (start..end).filter(|t| t + 1 == end || (t + 1 - start) % 4 == 0) {
                weight.index_axis_mut(Axis(1), t).fill(1.0 / ((t - start) % 4 + 1) as f64);
            }
        }
        let d_o = sums.cotangents.get_mut("d_o").expect("an output");
        *d_o *= &weight;
        let mut answer = sums.answer();
        *answer.outputs.get_mut("o").expect("an output") *= &weight;
        assert_equal(&shape, &answer, &pooled.answer());
    }
}

#[test]
fn a_softmax_is_what_remains_above_the_logarithm_of_the_sum() {
    let softmax = Question::new(problem("softmax", "B=2,T=5,D=6"), 36);
    let mut total = beside(&softmax, "logsumexp", "B=2,T=5,D=6", 37);
    let z = total.answer().outputs["o"].clone().insert_axis(Axis(2));
    let o = (&softmax.inputs["x"] - &z).mapv(f64::exp);
    let d = &o * &softmax.cotangents["d_o"];
    total.cotangents.insert("d_o".to_owned(), -d.sum_axis(Axis(2)));
    let mut answer = total.answer();
    answer.outputs.insert("o".to_owned(), o);
    *answer.gradients.get_mut("d_x").expect("x has a gradient") += &d;
    assert_equal(&"exp(x − z)", &answer, &softmax.answer());
    // a factor is a factor of x
    let scaled = Question::new(problem("logsumexp", "B=2,T=5,D=6,scale=0.375"), 38);
    let mut plain = beside(&scaled, "logsumexp", "B=2,T=5,D=6", 39);
    plain.set("x", &scaled.inputs["x"] * 0.375);
    let mut answer = plain.answer();
    *answer.gradients.get_mut("d_x").expect("x has a gradient") *= 0.375;
    assert_equal(&"scale", &answer, &scaled.answer());
}

/// Rows become columns.
fn turned(x: &ArrayD<f64>) -> ArrayD<f64> {
    let mut x = x.view();
    x.swap_axes(2, 3);
    x.to_owned()
}

/// The softmax over the last axis of `[B, T, M, M]`, and its gradient for a cotangent.
fn softmax_of(x: &ArrayD<f64>, d_o: &ArrayD<f64>) -> [ArrayD<f64>; 2] {
    let (rows, width) = (x.len() / x.shape()[3], x.shape()[3]);
    let mut question = Question::new(problem("softmax", &format!("B=1,T={rows},D={width}")), 0);
    let flat = |a: &ArrayD<f64>| a.as_standard_layout().to_owned().into_shape_with_order(vec![1, rows, width]);
    question.set("x", flat(x).expect("one size"));
    question.cotangents.insert("d_o".to_owned(), flat(d_o).expect("one size"));
    let answer = question.answer();
    [&answer.outputs["o"], &answer.gradients["d_x"]]
        .map(|a| a.clone().into_shape_with_order(x.raw_dim()).expect("one size"))
}

#[test]
fn an_iteration_of_sinkhorn_is_a_softmax_of_columns_and_one_of_rows() {
    for rounds in [1, 3] {
        let sinkhorn = Question::new(problem("sinkhorn", &format!("B=2,T=3,M=5,num_iters={rounds}")), 40);
        let logits = sinkhorn.inputs["logits"].clone();
        let none = ArrayD::zeros(logits.raw_dim());
        // what each softmax is given, turned each time: its rows are columns first, then rows
        let mut given: Vec<ArrayD<f64>> = vec![logits];
        let mut o = none.clone();
        for _ in 0..rounds {
            for _ in 0..2 {
                let x = given.last().expect("the logits at least");
                let [p, _] = softmax_of(&turned(x), &none);
                given.push(p.mapv(f64::ln));
                o = p;
            }
        }
        let mut d = sinkhorn.cotangents["d_o"].clone();
        for (i, x) in given[..2 * rounds].iter().enumerate().rev() {
            d = turned(&softmax_of(&turned(x), &d)[1]);
            if i > 0 {
                // the softmax before was given to this one as its logarithm
                d /= &x.mapv(f64::exp);
            }
        }
        let answer = sinkhorn.answer();
        assert_agree(&format!("{rounds}: o"), &answer.outputs["o"], &o, 0.0);
        assert_agree(&format!("{rounds}: d_logits"), &answer.gradients["d_logits"], &d, 0.0);
    }
}

#[test]
fn sinkhorn_forgets_a_factor_of_columns_and_ends_with_rows_of_one() {
    let sinkhorn = Question::new(problem("sinkhorn", "B=2,T=3,M=5"), 41);
    let answer = sinkhorn.answer();
    let rows = answer.outputs["o"].sum_axis(Axis(3));
    assert_agree("rows", &rows, &ArrayD::ones(rows.raw_dim()), 0.0);
    let d = answer.gradients["d_logits"].sum_axis(Axis(2));
    assert_agree("columns", &d, &ArrayD::zeros(d.raw_dim()), 1.0);
}

#[test]
fn products_with_a_matrix_agree() {
    let fields = "B=2,T=5,K=4,V=3";
    let product = Question::new(problem("matmul", fields), 42);
    let sum = beside(&product, "addmm", &format!("{fields},alpha=0.375,beta=-0.5"), 43);
    let mut expected = product.answer();
    let o = &expected.outputs["o"] * 0.375 - &sum.inputs["x"] * 0.5;
    expected.outputs.insert("o".to_owned(), o);
    for d in expected.gradients.values_mut() {
        *d *= 0.375;
    }
    expected.gradients.insert("d_x".to_owned(), summed(&product.cotangents["d_o"]) * -0.5);
    assert_equal(&"addmm", &sum.answer(), &expected);
}

type Scalar = fn(f64) -> f64;

#[test]
fn functions_of_a_product_come_after_it() {
    let fields = "B=2,T=5,K=4,V=3";
    let functions: [(&str, Scalar, Scalar); 4] = [
        ("relu", |y| y.max(0.0), |y| f64::from(u8::from(y > 0.0))),
        ("leaky_relu", |y| y.max(0.01 * y), |y| if y > 0.0 { 1.0 } else { 0.01 }),
        ("sigmoid", |y| 0.5 + 0.5 * (0.5 * y).tanh(), |y| 0.25 / (0.5 * y).cosh().powi(2)),
        ("tanh", f64::tanh, |y| 1.0 / y.cosh().powi(2)),
    ];
    for (name, value, slope) in functions {
        let asked = Question::new(problem("matmul", &format!("{fields},{name}=true")), 44);
        let mut plain = beside(&asked, "matmul", fields, 45);
        let y = plain.answer().outputs["o"].clone();
        *plain.cotangents.get_mut("d_o").expect("an output") *= &y.mapv(slope);
        let mut answer = plain.answer();
        answer.outputs.insert("o".to_owned(), y.mapv(value));
        assert_equal(&name, &answer, &asked.answer());
    }
}

#[test]
fn the_inverse_of_a_triangle_times_the_triangle_is_one() {
    let question = Question::new(problem("triangular_inverse", "B=1,T=5,H=1,C=5"), 43);
    let answer = question.answer();
    let square = |x: &ArrayD<f64>| x.to_shape((5, 5)).expect("one block").to_owned();
    let below = |x: Array2<f64>| Array2::from_shape_fn((5, 5), |(i, j)| if j < i { x[[i, j]] } else { 0.0 });
    let (o, d_o) = (square(&answer.outputs["o"]), square(&question.cotangents["d_o"]));
    let one = Array2::eye(5);
    let triangle = &one + &below(square(&question.inputs["a"]));
    assert_agree("(I + A) O", &triangle.dot(&o).into_dyn(), &one.into_dyn(), 0.0);
    let expected = below(-o.t().dot(&d_o).dot(&o.t()));
    assert_agree("d_a", &square(&answer.gradients["d_a"]).into_dyn(), &expected.into_dyn(), 0.0);
}
