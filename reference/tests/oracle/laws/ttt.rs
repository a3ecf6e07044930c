//! Laws of the memories that are trained at test time.

use ndarray::{ArrayD, Axis, Slice, concatenate};
use reference::oracle::{self, Answer};

use crate::beside::beside;
use crate::question::{Question, assert_agree, assert_equal, assert_same, each};
use crate::sample::problem;

const SHAPES: [&str; 2] = ["B=2,T=6,K=4,V=4,H=2,HV=2", "B=1,T=7,K=3,V=3,H=2,HV=2,seqs=3+0+4"];

fn zeros(question: &Question, input: &str) -> ArrayD<f64> {
    ArrayD::zeros(question.inputs[input].raw_dim())
}

/// The sum over sequences of a tensor's rows: over the first two axes.
fn summed(x: &ArrayD<f64>) -> ArrayD<f64> {
    x.sum_axis(Axis(0)).sum_axis(Axis(0))
}

#[test]
fn a_ttt_map_of_weight_zero_is_read_as_linear_attention_reads_its_state() {
    for shape in SHAPES {
        let mut linear = Question::new(problem("linear_attn", shape), 1);
        linear.set("v", zeros(&linear, "v"));
        let mut ttt = beside(&linear, "ttt", shape, 2);
        for name in ["w", "hb0"] {
            ttt.set(name, zeros(&ttt, name));
        }
        let (mut answer, expected) = (ttt.answer(), linear.answer());
        let d_b = answer.gradients["d_b"].clone();
        assert_agree(&format!("{shape}: d_b"), &d_b, &summed(&ttt.cotangents["d_o"]), 0.0);
        let o = answer.outputs.get_mut("o").expect("an output");
        *o -= &ttt.inputs["b"];
        assert_same(&shape, &answer, &expected, &each(["o", "ht", "d_q", "d_k", "d_h0"]));
        assert!(answer.outputs["hbt"].iter().all(|x| x.abs() <= 0.0), "{shape}: hbt");
    }
}

#[test]
fn a_titans_memory_of_weight_zero_only_decays() {
    for shape in SHAPES {
        let mut gla = Question::new(problem("simple_gla", &format!("{shape},scale=1,absent=g_gamma")), 3);
        gla.set("v", zeros(&gla, "v"));
        let mut titans = beside(&gla, "titans", shape, 4);
        titans.set("w", zeros(&titans, "w"));
        titans.set("alpha", gla.inputs["g"].mapv(|g| -g.exp_m1()));
        let (mut answer, expected) = (titans.answer(), gla.answer());
        *answer.outputs.get_mut("o").expect("an output") -= &titans.inputs["b"];
        // α = 1 − exp(g)
        let d_g = answer.gradients["d_alpha"].clone() * gla.inputs["g"].mapv(|g| -g.exp());
        answer.gradients.insert("d_g".to_owned(), d_g);
        assert_same(&shape, &answer, &expected, &each(["o", "ht", "d_q", "d_k", "d_g", "d_h0"]));
    }
}

/// Asks for what the final state says alone.
fn of_the_state(question: &mut Question) {
    question.cotangents.retain(|name, _| name == "d_ht");
}

#[test]
fn one_mini_batch_of_titans_without_momentum_or_forgetting_is_that_of_ttt() {
    for shape in ["B=2,T=6,K=4,V=4,H=2", "B=1,T=23,K=3,V=3,H=2,seqs=7+0+16", "B=1,T=9,K=5,V=5,H=1,eps=0.125"] {
        let mut ttt = Question::new(problem("ttt", &format!("{shape},absent=hb0")), 5);
        of_the_state(&mut ttt);
        let mut titans = beside(&ttt, "titans", shape, 6);
        of_the_state(&mut titans);
        for name in ["alpha", "eta"] {
            titans.set(name, zeros(&titans, name));
        }
        // the loss of ttt has a half, and one step size for all
        let (rate, theta) = (0.03, 0.015);
        ttt.set("eta", ArrayD::from_elem(ttt.inputs["eta"].raw_dim(), rate));
        titans.set("theta", ArrayD::from_elem(titans.inputs["theta"].raw_dim(), theta));
        let (mut answer, mut expected) = (titans.answer(), ttt.answer());
        assert_same(&shape, &answer, &expected, &each(["ht", "d_k", "d_v", "d_w", "d_b", "d_h0"]));
        for d in [answer.gradients.get_mut("d_theta"), expected.gradients.get_mut("d_eta")] {
            let d = d.expect("a step size has a gradient");
            *d = d.sum_axis(Axis(0)).sum_axis(Axis(0)).into_dyn();
        }
        let half = &answer.gradients["d_theta"] / 2.0;
        assert_agree(&format!("{shape}: Σ d_theta / 2"), &half, &expected.gradients["d_eta"], 0.0);
    }
}

/// `‖w LN(y) + b − target‖² / 2`, from the definition.
fn loss(y: &[f64], w: &[f64], b: &[f64], target: &[f64], eps: f64) -> f64 {
    let width = y.len() as f64;
    let mean = y.iter().sum::<f64>() / width;
    let variance = y.iter().map(|y| (y - mean) * (y - mean)).sum::<f64>() / width;
    let normal = |c: usize| (y[c] - mean) / (variance + eps).sqrt();
    (0..y.len()).map(|c| (w[c] * normal(c) + b[c] - target[c]).powi(2) / 2.0).sum()
}

/// Its slope, by central differences of order eight.
fn slope(y: &[f64], w: &[f64], b: &[f64], target: &[f64], eps: f64) -> Vec<f64> {
    const WEIGHTS: [f64; 4] = [4.0 / 5.0, -1.0 / 5.0, 4.0 / 105.0, -1.0 / 280.0];
    const STEP: f64 = 1.0 / 256.0;
    let at = |c: usize, x: f64| {
        let mut moved = y.to_vec();
        moved[c] += x;
        loss(&moved, w, b, target, eps)
    };
    let pair = |c: usize, i: usize| {
        let x = STEP * (i + 1) as f64;
        (at(c, x) - at(c, -x)) * WEIGHTS[i] / STEP
    };
    (0..y.len()).map(|c| (0..4).map(|i| pair(c, i)).sum()).collect()
}

#[test]
fn one_token_moves_the_memory_against_the_slope_of_its_loss() {
    for (op, rate, factor, seeds) in [("ttt", "eta", 1.0, 7..12), ("titans", "theta", 2.0, 12..17)] {
        for (seed, eps) in seeds.flat_map(|seed| [(seed, 0.125), (seed, 1e-6)]) {
            let mut question = Question::new(problem(op, &format!("B=1,T=1,H=1,K=5,V=5,eps={eps}")), seed);
            question.set(rate, ArrayD::from_elem(question.inputs[rate].raw_dim(), 1.0));
            for name in ["alpha", "eta"].into_iter().filter(|&n| op == "titans" && n != rate) {
                question.set(name, zeros(&question, name));
            }
            let flat = |name: &str| question.inputs[name].iter().copied().collect::<Vec<_>>();
            let (k, v, w, b) = (flat("k"), flat("v"), flat("w"), flat("b"));
            let (h, bias) = (flat("h0"), question.inputs.get("hb0").map_or(vec![0.0; 5], |_| flat("hb0")));
            let y: Vec<f64> = (0..5).map(|c| bias[c] + (0..5).map(|a| h[5 * a + c] * k[a]).sum::<f64>()).collect();
            let target: Vec<f64> = v.iter().zip(&k).map(|(v, k)| v - k).collect();
            let d: Vec<f64> = slope(&y, &w, &b, &target, eps).into_iter().map(|d| factor * d).collect();
            let ht: Vec<f64> = (0..25).map(|i| h[i] - k[i / 5] * d[i % 5]).collect();
            let outputs = oracle::forward(&question.problem, &question.inputs).expect("a valid question");
            let ht = ArrayD::from_shape_vec(outputs["ht"].raw_dim(), ht).expect("a state");
            assert_agree(&format!("{op}, seed {seed}, eps {eps}: ht"), &outputs["ht"], &ht, 0.0);
        }
    }
}

/// The tokens of a range, in a question of their own.
fn tokens(whole: &Question, from: usize, to: usize) -> Question {
    let cut = |x: &ArrayD<f64>| x.slice_axis(Axis(1), Slice::from(from..to)).to_owned();
    let mut piece = Question::new(problem("ttt", &format!("B=2,T={},K=3,V=3,H=2,chunk_size=4", to - from)), 0);
    for (name, x) in &whole.inputs {
        piece.set(name, if ["q", "k", "v", "eta"].contains(&name.as_str()) { cut(x) } else { x.clone() });
    }
    for (name, x) in &whole.cotangents {
        piece.cotangents.insert(name.clone(), if name == "d_o" { cut(x) } else { x.clone() });
    }
    piece
}

#[test]
fn ttt_resumes_at_the_borders_of_mini_batches() {
    let whole = Question::new(problem("ttt", "B=2,T=10,K=3,V=3,H=2,chunk_size=4"), 17);
    let expected = whole.answer();
    for border in [4, 8] {
        let (mut first, mut second) = (tokens(&whole, 0, border), tokens(&whole, border, 10));
        let before = first.answer();
        for (initial, last) in [("h0", "ht"), ("hb0", "hbt")] {
            second.set(initial, before.outputs[last].clone());
        }
        let after = second.answer();
        for (initial, last) in [("h0", "ht"), ("hb0", "hbt")] {
            first.cotangents.insert(format!("d_{last}"), after.gradients[&format!("d_{initial}")].clone());
        }
        let parts = [first.answer(), after];
        let mut joined = Answer { outputs: parts[1].outputs.clone(), gradients: parts[0].gradients.clone() };
        let join = |find: &dyn Fn(&Answer) -> ArrayD<f64>| {
            let both = parts.each_ref().map(find);
            concatenate(Axis(1), &[both[0].view(), both[1].view()]).expect("parts of a whole")
        };
        joined.outputs.insert("o".to_owned(), join(&|part| part.outputs["o"].clone()));
        for name in ["d_q", "d_k", "d_v", "d_eta"] {
            joined.gradients.insert(name.to_owned(), join(&|part| part.gradients[name].clone()));
        }
        for name in ["d_w", "d_b"] {
            *joined.gradients.get_mut(name).expect("a weight") += &parts[1].gradients[name];
        }
        assert_equal(&format!("a border at {border}"), &joined, &expected);
    }
}
