//! Laws of attention over depth.

use ndarray::{ArrayD, Axis};
use reference::oracle::Answer;

use crate::question::{Question, assert_equal};
use crate::rows::{attention, rows_dot, times_rows};
use crate::sample::problem;

/// The root mean square of every row.
fn root_mean_square(x: &ArrayD<f64>, eps: f64) -> ArrayD<f64> {
    (rows_dot(x, x) / x.shape()[x.ndim() - 1] as f64 + eps).mapv(f64::sqrt)
}

/// Gradients of `weight x / rms(x)` by x and by the weight.
fn through_norm(x: &ArrayD<f64>, weight: &ArrayD<f64>, eps: f64, d: &ArrayD<f64>) -> [ArrayD<f64>; 2] {
    let inverse = root_mean_square(x, eps).mapv(f64::recip);
    let normalised = times_rows(x, &inverse);
    let d_weight = (d * &normalised).into_shape_with_order((d.len() / weight.len(), weight.len())).expect("rows");
    let d = d * weight;
    let along = rows_dot(&d, &normalised) / weight.len() as f64;
    [times_rows(&(d - times_rows(&normalised, &along)), &inverse), d_weight.sum_axis(Axis(0)).into_dyn()]
}

/// The answer by attention over sources as tokens, of which only the last one asks.
fn over_depth(question: &Question, seed: u64) -> Answer {
    let (q, residuals) = (&question.inputs["q"], &question.inputs["residuals"]);
    let (asked, weight) = (&question.problem, &question.inputs["rms_weight"]);
    let [scale, eps] = ["scale", "eps"].map(|name| asked.number(name).expect("a number by default"));
    let (sources, width) = (residuals.shape()[0], q.len());
    let rows = residuals.len() / sources / width;
    // [L, B, T, D] to [B T, L, 1, D] and back
    let stacked = residuals.to_shape((sources, rows, width)).expect("one size").permuted_axes([1, 0, 2]);
    let stacked =
        stacked.as_standard_layout().to_shape((rows, sources, 1, width)).expect("one size").to_owned().into_dyn();
    let keys = times_rows(&stacked, &root_mean_square(&stacked, eps).mapv(f64::recip)) * weight;
    let queries = q.broadcast(stacked.raw_dim()).expect("one query for all").to_owned();
    let fields = format!("B={rows},T={sources},H=1,HQ=1,K={width},V={width},scale={scale}");
    let inputs = [("q", &queries), ("k", &keys), ("v", &stacked)];
    let mut d_o = ArrayD::zeros(stacked.raw_dim());
    let last = |x: &ArrayD<f64>| {
        let last = x.index_axis(Axis(1), sources - 1).to_owned();
        last.into_shape_with_order(asked.shape(&asked.spec.outputs[0])).expect("one size")
    };
    let mut o = last(&attention(&fields, inputs, &d_o, seed).outputs["o"]);
    let mut d_mixed = question.cotangents["d_o"].clone();
    let mut answer = Answer::default();
    if asked.flag("output_norm") {
        let weight = &question.inputs["output_weight"];
        let [d_x, d_weight] = through_norm(&o, weight, eps, &d_mixed);
        o = times_rows(&o, &root_mean_square(&o, eps).mapv(f64::recip)) * weight;
        d_mixed = d_x;
        answer.gradients.insert("d_output_weight".to_owned(), d_weight);
    }
    let d_mixed = d_mixed.into_shape_with_order(vec![rows, 1, width]).expect("one size");
    d_o.index_axis_mut(Axis(1), sources - 1).assign(&d_mixed);
    let d = attention(&fields, inputs, &d_o, seed).gradients;
    let [d_rows, d_weight] = through_norm(&stacked, weight, eps, &d["d_k"]);
    let d_rows = (d_rows + &d["d_v"]).into_shape_with_order((rows, sources, width)).expect("one size");
    let d_residuals = d_rows.permuted_axes([1, 0, 2]).as_standard_layout().to_owned();
    let d_residuals = d_residuals.into_shape_with_order(residuals.raw_dim()).expect("one size");
    let d_q = d["d_q"].index_axis(Axis(1), sources - 1).sum_axis(Axis(0)).sum_axis(Axis(0));
    answer.outputs.insert("o".to_owned(), o);
    let found = [("d_q", d_q), ("d_residuals", d_residuals), ("d_rms_weight", d_weight)];
    answer.gradients.extend(found.map(|(name, array)| (name.to_owned(), array)));
    answer
}

#[test]
fn attention_over_depth_is_attention_of_the_last_of_as_many_tokens() {
    for shape in ["B=2,T=3,D=4,L=3", "B=1,T=7,D=5,L=2,seqs=3+0+4", "B=2,T=2,D=3,L=1"] {
        for options in ["", ",scale=0.375", ",output_norm=true,eps=0.3"] {
            let fields = format!("{shape}{options}");
            let question = Question::new(problem("attnres", &fields), 14);
            assert_equal(&fields, &question.answer(), &over_depth(&question, 15));
        }
    }
}
