//! Laws of the delta rule with several writes for a token, and of online ridge regression.

use ndarray::{Array1, Array2, ArrayD, Axis, IxDyn, stack};
use reference::oracle::Answer;

use crate::agree::largest;
use crate::beside::beside;
use crate::question::{Question, assert_agree, assert_equal, assert_same};
use crate::sample::problem;

fn shaped(x: &ArrayD<f64>, like: &ArrayD<f64>) -> ArrayD<f64> {
    x.to_shape(like.raw_dim()).expect("one size").to_owned()
}

/// The tokens of `x`, each as step `step` of `steps`, the others zero.
fn spread(x: &ArrayD<f64>, step: usize, steps: usize) -> ArrayD<f64> {
    let zero = ArrayD::zeros(x.raw_dim());
    let rows: Vec<_> = (0..steps).map(|r| if r == step { x.view() } else { zero.view() }).collect();
    let stacked = stack(Axis(2), &rows).expect("equal shapes");
    let mut shape = x.shape().to_vec();
    shape[1] *= steps;
    stacked.to_shape(shape).expect("tokens and steps side by side").to_owned()
}

/// Step `step` of each token.
fn picked(x: &ArrayD<f64>, step: usize, steps: usize) -> ArrayD<f64> {
    let shape = x.shape();
    let apart = [&shape[..1], &[shape[1] / steps, steps], &shape[2..]].concat();
    x.to_shape(apart).expect("tokens and their steps").index_axis(Axis(2), step).to_owned()
}

#[test]
fn a_product_is_the_gated_delta_rule_over_the_steps() {
    let shapes = [
        ("B=2,H=2,HV=4,K=3,V=4", 5, None),
        ("B=1,H=2,HV=2,K=4,V=3", 7, Some([3, 0, 4])),
        ("B=1,H=1,HV=1,K=2,V=2", 0, None),
    ];
    for (shape, tokens, lengths) in shapes {
        let packed =
            |n: usize| lengths.map_or(String::new(), |l| format!(",seqs={}", l.map(|l| (l * n).to_string()).join("+")));
        for steps in 1..4 {
            for attributes in ["", ",scale=0.7", ",qk_l2norm=true", ",absent=g", ",absent=h0"] {
                let fields = format!("{shape},T={tokens},R={steps}{}{attributes}", packed(1));
                let product = Question::new(problem("gated_delta_product", &fields), 1);
                let own = attributes.replace(",absent=g", "");
                let fields = format!("{shape},T={}{}{own}", tokens * steps, packed(steps));
                let answer = over_steps(&product, &fields, steps);
                assert_equal(&product.problem, &answer, &product.answer());
            }
        }
    }
}

/// The answer by the gated delta rule that decays at a token's first step and reads at its last.
fn over_steps(product: &Question, fields: &str, steps: usize) -> Answer {
    let mut delta = beside(product, "gated_delta_rule", fields, 2);
    for name in ["k", "v", "beta"] {
        delta.set(name, shaped(&product.inputs[name], &delta.inputs[name]));
    }
    let g = product.inputs.get("g");
    delta.set("q", spread(&product.inputs["q"], steps - 1, steps));
    delta.set("g", g.map_or_else(|| ArrayD::zeros(delta.inputs["g"].raw_dim()), |g| spread(g, 0, steps)));
    delta.cotangents.insert("d_o".to_owned(), spread(&product.cotangents["d_o"], steps - 1, steps));
    let mut answer = delta.answer();
    let o = picked(&answer.outputs["o"], steps - 1, steps);
    answer.outputs.insert("o".to_owned(), o);
    let d = &mut answer.gradients;
    d.insert("d_q".to_owned(), picked(&d["d_q"], steps - 1, steps));
    match g {
        Some(_) => d.insert("d_g".to_owned(), picked(&d["d_g"], 0, steps)),
        None => d.remove("d_g"),
    };
    for name in ["k", "v", "beta"] {
        let gradient = shaped(&d[&format!("d_{name}")], &product.inputs[name]);
        d.insert(format!("d_{name}"), gradient);
    }
    answer
}

const MESA: [&str; 3] =
    ["B=2,T=6,K=4,V=3,H=2", "B=1,T=7,K=3,V=4,H=2,seqs=3+0+4", "B=1,T=6,K=3,V=2,H=1,absent=h0+h_kk0"];

#[test]
fn a_ridge_that_dwarfs_the_covariance_leaves_simple_gla() {
    // so large that the covariance is lost beside it
    let ridge = 2f64.powi(60);
    for shape in MESA {
        let mut mesa = Question::new(problem("mesa_net", shape), 3);
        mesa.set("lamb", ArrayD::from_elem(mesa.inputs["lamb"].raw_dim(), ridge));
        mesa.cotangents.remove("d_h_kkt");
        let absent = if shape.contains("absent") { "g_gamma+h0" } else { "g_gamma" };
        let own = shape.replace(",absent=h0+h_kk0", "");
        let mut gla =
            beside(&mesa, "simple_gla", &format!("{own},HV={},scale=1,absent={absent}", mesa_heads(&mesa)), 4);
        let beta = mesa.inputs["beta"].clone().insert_axis(Axis(3));
        gla.set("v", &mesa.inputs["v"] * &beta);
        let d_o = &mesa.cotangents["d_o"] * ridge;
        mesa.cotangents.insert("d_o".to_owned(), d_o);
        let (mut answer, mut expected) = (mesa.answer(), gla.answer());
        *answer.outputs.get_mut("o").expect("an output") *= ridge;
        let d_v = expected.gradients["d_v"].clone();
        expected.gradients.insert("d_v".to_owned(), &d_v * &beta);
        expected.gradients.insert("d_beta".to_owned(), (&d_v * &mesa.inputs["v"]).sum_axis(Axis(3)));
        let names: Vec<_> = expected.outputs.keys().chain(expected.gradients.keys()).map(|n| (&**n, &**n)).collect();
        assert_same(&shape, &answer, &expected, &names);
    }
}

fn mesa_heads(mesa: &Question) -> usize {
    mesa.inputs["k"].shape()[2]
}

fn outer(a: &Array1<f64>, b: &Array1<f64>) -> Array2<f64> {
    Array2::from_shape_fn((a.len(), b.len()), |(i, j)| a[i] * b[j])
}

/// Adds `beta b bᵀ` to the matrix whose inverse `inverse` is; returns the gain: beta times the new inverse times `b`.
fn update(inverse: &mut Array2<f64>, beta: f64, b: &Array1<f64>) -> Array1<f64> {
    let c = inverse.dot(b);
    let gain = &c * (beta / (1.0 + beta * b.dot(&c)));
    *inverse -= &outer(&gain, &c);
    gain
}

/// Recursive least squares: the gain of each token, and the inverse that each sequence of each head starts from.
fn gains(mesa: &Question, roots: &ArrayD<f64>) -> (ArrayD<f64>, ArrayD<f64>) {
    let (k, offsets) = (&mesa.inputs["k"], mesa.problem.offsets());
    let (heads, width, tokens) = (k.shape()[2], k.shape()[3], k.shape()[1]);
    let (mut gains, mut starts) = (ArrayD::zeros(k.raw_dim()), ArrayD::zeros(roots.raw_dim()));
    for (n, ends) in offsets.windows(2).enumerate() {
        for head in 0..heads {
            let vector =
                |x: &ArrayD<f64>, at: [usize; 3]| Array1::from_shape_fn(width, |i| x[[at[0], at[1], at[2], i]]);
            let mut inverse =
                Array2::from_diag(&Array1::from_shape_fn(width, |i| 1.0 / mesa.inputs["lamb"][[head, i]]));
            for root in 0..width {
                update(&mut inverse, 1.0, &vector(roots, [n, head, root]));
            }
            starts.index_axis_mut(Axis(0), n).index_axis_mut(Axis(0), head).assign(&inverse);
            for row in ends[0]..ends[1] {
                let (b, t) = (row / tokens, row % tokens);
                let gain = update(&mut inverse, mesa.inputs["beta"][[b, t, head]], &vector(k, [b, t, head]));
                for (i, &x) in gain.iter().enumerate() {
                    gains[[b, t, head, i]] = x;
                }
            }
        }
    }
    (gains, starts)
}

/// `x y` or `xᵀ y` for each sequence and head.
fn times(x: &ArrayD<f64>, y: &ArrayD<f64>, transposed: bool) -> ArrayD<f64> {
    let (rows, inner) = (x.shape()[2], y.shape()[2]);
    let element = |at: IxDyn| {
        let term = |m: usize| if transposed { x[[at[0], at[1], m, at[2]]] } else { x[[at[0], at[1], at[2], m]] };
        (0..inner).map(|m| term(m) * y[[at[0], at[1], m, at[3]]]).sum()
    };
    ArrayD::from_shape_fn(IxDyn(&[x.shape()[0], x.shape()[1], rows, y.shape()[3]]), element)
}

#[test]
fn without_decay_it_is_recursive_least_squares() {
    for shape in &MESA[..2] {
        let mut mesa = Question::new(problem("mesa_net", shape), 5);
        mesa.set("g", ArrayD::zeros(mesa.inputs["g"].raw_dim()));
        // rows of which the covariance before the first token consists
        let roots =
            mesa.inputs["h_kk0"].clone() + crate::sample::Random::new(6).array(mesa.inputs["h_kk0"].shape()) * 0.3;
        mesa.set("h_kk0", times(&roots, &roots, true));
        let (gains, inverse) = gains(&mesa, &roots);
        let mut dplr = beside(&mesa, "dplr", &format!("{shape},scale=1"), 7);
        dplr.set("g", ArrayD::zeros(dplr.inputs["g"].raw_dim()));
        dplr.set("a", mesa.inputs["k"].clone());
        dplr.set("b", -&gains);
        dplr.set("k", gains);
        dplr.set("h0", times(&inverse, &mesa.inputs["h0"], false));
        for question in [&mut mesa, &mut dplr] {
            question.cotangents.retain(|name, _| name == "d_o");
        }
        let (answer, mut expected) = (mesa.answer(), dplr.answer());
        let d_h0 = times(&inverse, &expected.gradients["d_h0"], true);
        expected.gradients.insert("d_h0".to_owned(), d_h0);
        let names = ["o", "d_q", "d_v", "d_h0"].map(|n| (n, n));
        assert_same(shape, &answer, &expected, &names);
    }
}

/// `x` in which rows and columns of each matrix have changed places.
fn turned(x: &ArrayD<f64>) -> ArrayD<f64> {
    x.clone().permuted_axes(IxDyn(&[0, 1, 3, 2]))
}

/// Sums of `x` over the tokens of each sequence from each token on, or up to it.
fn running(question: &Question, x: &ArrayD<f64>, backwards: bool) -> ArrayD<f64> {
    let mut sums = x.clone();
    let (tokens, offsets) = (x.shape()[1], question.problem.offsets());
    for ends in offsets.windows(2) {
        let mut rows: Vec<usize> = (ends[0]..ends[1]).collect();
        if backwards {
            rows.reverse();
        }
        for pair in rows.windows(2) {
            for head in 0..x.shape()[2] {
                let before = sums[[pair[0] / tokens, pair[0] % tokens, head]];
                sums[[pair[1] / tokens, pair[1] % tokens, head]] += before;
            }
        }
    }
    sums
}

#[test]
fn what_the_covariance_and_the_ridge_make_of_the_weights_is_the_query() {
    for shape in ["B=2,T=6,K=4,V=4,H=2", "B=1,T=7,K=3,V=3,H=2,seqs=3+0+4"] {
        // C x by values that are the keys, and x by a state that only decays
        let mut covariance = Question::new(problem("mesa_net", shape), 8);
        let start = crate::sample::Random::new(9).array(covariance.inputs["h_kk0"].shape()) * 0.03;
        let start = covariance.inputs["h_kk0"].clone() + start;
        covariance.set("v", covariance.inputs["k"].clone());
        covariance.set("h_kk0", start.clone());
        covariance.set("h0", turned(&start));
        covariance.cotangents.retain(|name, _| name == "d_o");
        let mut weights = beside(&covariance, "mesa_net", shape, 10);
        weights.cotangents.retain(|name, _| name == "d_o");
        weights.set("v", ArrayD::zeros(weights.inputs["v"].raw_dim()));
        weights.set("h0", ArrayD::from_shape_fn(start.raw_dim(), |at| f64::from(u8::from(at[2] == at[3]))));

        let w = covariance.cotangents["d_o"].clone();
        let growth = running(&covariance, &covariance.inputs["g"], false).mapv(|g| (-g).exp()).insert_axis(Axis(3));
        let factor = &growth * &covariance.inputs["lamb"];
        weights.cotangents.insert("d_o".to_owned(), &w * &factor);
        let (a, b) = (covariance.answer(), weights.answer());
        let ridge = &b.outputs["o"] * &factor;
        assert_agree(shape, &(&a.outputs["o"] + &ridge), &covariance.inputs["q"], largest(&ridge));

        let (d, e) = (&a.gradients, &b.gradients);
        let by_growth = running(&covariance, &(&ridge * &w).sum_axis(Axis(3)), true);
        let by_lamb = (&b.outputs["o"] * &growth * &w).sum_axis(Axis(0)).sum_axis(Axis(0));
        let totals = [
            ("d_q", vec![d["d_q"].clone(), e["d_q"].clone(), -&w]),
            ("d_k", vec![d["d_k"].clone(), d["d_v"].clone(), e["d_k"].clone()]),
            ("d_beta", vec![d["d_beta"].clone(), e["d_beta"].clone()]),
            ("d_g", vec![d["d_g"].clone(), e["d_g"].clone(), -by_growth]),
            ("d_lamb", vec![d["d_lamb"].clone(), e["d_lamb"].clone(), by_lamb]),
            ("d_h_kk0", vec![d["d_h_kk0"].clone(), turned(&d["d_h0"]), e["d_h_kk0"].clone()]),
        ];
        for (name, terms) in totals {
            let zero = ArrayD::zeros(terms[0].raw_dim());
            let size = terms.iter().map(largest).sum();
            let total = terms.iter().fold(zero.clone(), |sum, term| sum + term);
            assert!(size > 0.1, "{shape}: {name}: nothing cancels");
            assert_agree(&format!("{shape}: {name}"), &total, &zero, size);
        }
    }
}
