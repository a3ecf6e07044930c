//! Laws of losses: those of a head are those of its logits, and the divergence and the policy's loss are what they are
//! made of.

use ndarray::{Array1, Array2, Array3, ArrayD, Axis, Ix2, Ix3};

use crate::question::{Question, assert_agree, assert_equal};
use crate::sample::problem;

fn matrix(question: &Question, name: &str) -> Array2<f64> {
    question.inputs[name].clone().into_dimensionality::<Ix2>().expect("two axes")
}

fn cube(array: &ArrayD<f64>) -> Array3<f64> {
    array.clone().into_dimensionality::<Ix3>().expect("three axes")
}

/// `[B, T, D]` by `[S, D]`.
fn projected(x: &ArrayD<f64>, weight: &Array2<f64>) -> Array3<f64> {
    let rows: Vec<_> = cube(x).outer_iter().map(|row| row.dot(&weight.t())).collect();
    ndarray::stack(Axis(0), &rows.iter().map(|r| r.view()).collect::<Vec<_>>()).expect("rows are alike")
}

/// The softmax of a row.
fn shares(row: ndarray::ArrayView1<'_, f64>) -> Array1<f64> {
    let weights = row.mapv(f64::exp);
    &weights / weights.sum()
}

/// Targets of each row that count, and no fewer than one.
fn counted(targets: &ArrayD<f64>) -> Vec<f64> {
    targets.outer_iter().map(|row| row.iter().filter(|&&y| y >= 0.0).count().max(1) as f64).collect()
}

#[test]
fn a_shift_of_all_logits_of_a_token_changes_nothing() {
    for fields in ["", ",label_smoothing=0.125,logit_scale=0.375"] {
        let plain = Question::new(problem("cross_entropy", &format!("B=2,T=5,S=7{fields}")), 50);
        let mut shifted = Question::new(plain.problem.clone(), 50);
        shifted.set("logits", &plain.inputs["logits"] + 16.0);
        assert_equal(&plain.problem, &shifted.answer(), &plain.answer());
    }
}

#[test]
fn a_head_and_its_loss_are_the_loss_of_its_logits() {
    let (options, shape) = ("label_smoothing=0.125,logit_scale=0.375,logit_softcapping=1.5", "B=2,T=6,S=5");
    let fields = format!("{shape},D=3,{options},use_l2warp=true,l2_penalty_factor=0.5");
    let whole = Question::new(problem("fused_linear_cross_entropy", &fields), 51);
    let (weight, d_loss) = (matrix(&whole, "weight"), whole.cotangents["d_loss"].clone());
    let logits = (projected(&whole.inputs["x"], &weight) + &whole.inputs["bias"]).into_dyn();
    let counts = counted(&whole.inputs["targets"]);
    let mut loss = Question::new(problem("cross_entropy", &format!("{shape},{options}")), 52);
    let mut pull = Question::new(problem("l2warp", &format!("{shape},l2_penalty_factor=0.5")), 53);
    loss.set("logits", logits.clone());
    loss.set("targets", whole.inputs["targets"].clone());
    pull.set("logits", logits);
    for (n, mut row) in loss.cotangents.get_mut("d_loss").expect("its only output").outer_iter_mut().enumerate() {
        row.fill(d_loss[n] / counts[n]);
    }
    pull.cotangents.insert("d_o".to_owned(), d_loss);
    let (whole_answer, loss, pull) = (whole.answer(), loss.answer(), pull.answer());
    let means = loss.outputs["loss"].sum_axis(Axis(1)) / Array1::from(counts);
    assert_agree("loss", &whole_answer.outputs["loss"], &means.into_dyn(), 0.0);
    let slopes = cube(&(&loss.gradients["d_logits"] + &pull.gradients["d_logits"]));
    let gradients = &whole_answer.gradients;
    let d_x = projected(&slopes.clone().into_dyn(), &weight.reversed_axes().to_owned());
    assert_agree("d_x", &gradients["d_x"], &d_x.into_dyn(), 0.0);
    assert_agree("d_bias", &gradients["d_bias"], &slopes.sum_axis(Axis(0)).sum_axis(Axis(0)).into_dyn(), 0.0);
    let hidden = cube(&whole.inputs["x"]);
    let each = slopes.outer_iter().zip(hidden.outer_iter()).map(|(s, x)| s.t().dot(&x));
    let d_weight = each.fold(Array2::zeros((5, 3)), |sum, part| sum + part);
    assert_agree("d_weight", &gradients["d_weight"], &d_weight.into_dyn(), 0.0);
}

#[test]
fn a_divergence_is_the_mean_loss_of_the_teachers_targets_less_its_own() {
    let question = Question::new(problem("kl_div", "B=2,T=4,D=3,I=2,S=5"), 54);
    let student = projected(&question.inputs["x"], &matrix(&question, "weight"));
    let teacher = projected(&question.inputs["target_x"], &matrix(&question, "target_weight"));
    let mean = |logits: &Array3<f64>| {
        let mut total = Array1::<f64>::zeros(2);
        for symbol in 0..5u8 {
            let mut loss = Question::new(problem("cross_entropy", "B=2,T=4,S=5"), 55);
            loss.set("logits", logits.clone().into_dyn());
            loss.set("targets", ArrayD::from_elem(vec![2, 4], f64::from(symbol)));
            for (at, loss) in loss.answer().outputs["loss"].indexed_iter() {
                let row = teacher.index_axis(Axis(0), at[0]);
                total[at[0]] += shares(row.row(at[1]))[usize::from(symbol)] * loss / 4.0;
            }
        }
        total
    };
    let (apart, own) = (mean(&student), mean(&teacher));
    assert_agree(
        "loss",
        &question.answer().outputs["loss"],
        &(apart - &own).into_dyn(),
        crate::agree::largest(&own.into_dyn()),
    );
}

#[test]
fn a_policy_on_its_own_completions_is_not_clipped() {
    // three completions of one prompt
    let mut clipped = Question::new(problem("grpo_clipped", "B=1,T=5,G=3,beta=0.75"), 56);
    let mut plain = Question::new(problem("grpo", "B=3,T=5,S=7,beta=0.75"), 57);
    let targets = matrix(&plain, "targets");
    let rewards = clipped.inputs["rewards"].clone().into_dimensionality::<Ix2>().expect("two axes").row(0).to_owned();
    let deviation = rewards.std(1.0) + 1e-8;
    plain.set("advantages", ((&rewards - rewards.mean().expect("three")) / deviation).into_dyn());
    let logits = cube(&plain.inputs["logits"]);
    let share = |g: usize, t: usize| shares(logits.index_axis(Axis(0), g).row(t));
    let target = |g: usize, t: usize| targets[[g, t]].max(0.0) as usize;
    let logps = Array3::from_shape_fn((1, 5, 3), |(_, t, g)| share(g, t)[target(g, t)].ln()).into_dyn();
    clipped.set("logps", logps.clone());
    clipped.set("old_logps", logps);
    clipped.set("ref_logps", matrix(&plain, "ref_logp").reversed_axes().insert_axis(Axis(0)).into_dyn());
    clipped.set(
        "pad_mask",
        targets.mapv(|y| f64::from(u8::from(y >= 0.0))).reversed_axes().insert_axis(Axis(0)).into_dyn(),
    );
    let count = targets.iter().filter(|&&y| y >= 0.0).count() as f64;
    plain.cotangents.insert("d_loss".to_owned(), ArrayD::from_elem(vec![3, 5], 1.0 / count));
    clipped.cotangents.insert("d_loss".to_owned(), ArrayD::from_elem(vec![1], 1.0));
    let (plain, clipped) = (plain.answer(), clipped.answer());
    let loss = Array1::from(vec![plain.outputs["loss"].sum() / count]);
    assert_agree("loss", &clipped.outputs["loss"], &loss.into_dyn(), 1.0);
    let slopes = cube(&clipped.gradients["d_logps"]);
    let d_logits = Array3::from_shape_fn((3, 5, 7), |(g, t, s)| {
        slopes[[0, t, g]] * (f64::from(u8::from(s == target(g, t))) - share(g, t)[s])
    });
    assert_agree("d_logits", &plain.gradients["d_logits"], &d_logits.into_dyn(), 0.0);
}
