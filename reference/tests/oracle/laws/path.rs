//! Laws of attention over transported keys and over corrected values, and of the memory of many levels.

use std::ops::Range;

use ndarray::{ArrayD, Axis, Slice, concatenate, stack};
use reference::oracle::Answer;

use crate::beside::beside;
use crate::question::{Question, assert_equal, assert_same, each};
use crate::rows::{attention, rows_dot, times_rows};
use crate::sample::problem;

fn span(range: &Range<usize>) -> Slice {
    Slice::from(range.clone())
}

/// The same array with zeros at the tokens outside the range.
fn within(array: &ArrayD<f64>, tokens: &Range<usize>) -> ArrayD<f64> {
    let mut kept = ArrayD::zeros(array.raw_dim());
    kept.slice_axis_mut(Axis(1), span(tokens)).assign(&array.slice_axis(Axis(1), span(tokens)));
    kept
}

fn zeros_like(question: &Question) -> Answer {
    let mut answer = Answer::default();
    for port in question.problem.outputs() {
        answer.outputs.insert(port.name.to_owned(), ArrayD::zeros(question.problem.shape(port)));
    }
    for port in question.problem.differentiable() {
        answer.gradients.insert(format!("d_{}", port.name), ArrayD::zeros(question.problem.shape(port)));
    }
    answer
}

/// The spans of tokens of every sequence; batch rows have one and the same.
fn sequences(question: &Question) -> Vec<Range<usize>> {
    let ends = match question.problem.sequences {
        Some(_) => question.problem.offsets(),
        None => vec![0, question.inputs["k"].shape()[1]],
    };
    ends.windows(2).map(|w| w[0]..w[1]).collect()
}

const LEVELS: [&str; 4] = [
    "B=2,T=6,K=4,V=3,H=2,HV=2,L=4",
    "B=1,T=13,K=3,V=4,H=2,HV=2,L=5,seqs=3+0+9+1",
    "B=2,T=1,K=3,V=2,H=1,HV=1,L=1",
    "B=1,T=5,K=3,V=2,H=1,HV=1,L=7",
];

#[test]
fn with_one_weight_for_all_levels_it_is_simple_gla() {
    for fields in LEVELS.iter().flat_map(|shape| ["scale=1", "scale=0.3"].map(|scale| format!("{shape},{scale}"))) {
        let gla_fields = fields.replace(",L=", ",absent=g_gamma+h0,L=");
        let mut levels = Question::new(problem("log_linear_attn", &fields), 1);
        levels.set("level_scales", ArrayD::ones(levels.inputs["level_scales"].raw_dim()));
        let mut gla = beside(&levels, "simple_gla", &gla_fields, 2);
        gla.cotangents.remove("d_ht");
        let names = each(["o", "d_q", "d_k", "d_v", "d_g"]);
        assert_same(&fields, &levels.answer(), &gla.answer(), &names);
    }
}

/// What tokens of one level read: the level, the block, and the tokens that read it.
fn blocks(tokens: usize) -> Vec<(usize, Range<usize>, Range<usize>)> {
    let mut found: Vec<_> = (0..tokens).map(|t| (0, t..t + 1, t..t + 1)).collect();
    let (mut level, mut width) = (1, 1);
    while width < tokens {
        let starts = (0..tokens - width).step_by(2 * width);
        found.extend(starts.map(|a| (level, a..a + width, a + width..(a + 2 * width).min(tokens))));
        (level, width) = (level + 1, 2 * width);
    }
    found
}

#[test]
fn blocks_of_all_levels_tile_the_past() {
    for tokens in 0..40 {
        let mut seen = vec![vec![0; tokens]; tokens];
        for (_, block, readers) in blocks(tokens) {
            for t in readers {
                block.clone().for_each(|j| seen[t][j] += 1);
            }
        }
        for (t, row) in seen.iter().enumerate() {
            assert!(row.iter().enumerate().all(|(j, &n)| n == i32::from(j <= t)), "{tokens}: {t}");
        }
    }
}

/// The sum over blocks of what simple_gla reads there when nothing else is written.
fn by_blocks(question: &Question, fields: &str) -> Answer {
    let (mut answer, level_scales) = (zeros_like(question), &question.inputs["level_scales"]);
    for sequence in sequences(question) {
        for (level, block, readers) in blocks(sequence.len()) {
            let [block, readers] = [block, readers].map(|r| sequence.start + r.start..sequence.start + r.end);
            let mut gla = beside(question, "simple_gla", fields, 3);
            gla.cotangents.remove("d_ht");
            gla.set("v", within(&question.inputs["v"], &block));
            let weights = level_scales.index_axis(Axis(3), level).to_owned();
            let d_o = within(&question.cotangents["d_o"], &readers);
            gla.cotangents.insert("d_o".to_owned(), times_rows(&d_o, &weights));
            let part = gla.answer();
            let o = within(&part.outputs["o"], &readers);
            *answer.outputs.get_mut("o").expect("an output") += &times_rows(&o, &weights);
            for name in ["d_q", "d_k", "d_g"] {
                *answer.gradients.get_mut(name).expect("a gradient") += &part.gradients[name];
            }
            *answer.gradients.get_mut("d_v").expect("a gradient") += &within(&part.gradients["d_v"], &block);
            let d = answer.gradients.get_mut("d_level_scales").expect("a gradient");
            let mut d = d.index_axis_mut(Axis(3), level);
            d += &rows_dot(&o, &d_o);
        }
    }
    answer
}

#[test]
fn every_level_reads_its_block_as_simple_gla_would() {
    for shape in LEVELS {
        let fields = format!("{shape},scale=0.7");
        let levels = Question::new(problem("log_linear_attn", &fields), 4);
        let answer = by_blocks(&levels, &format!("{},absent=g_gamma+h0", fields.replace(",L=", ",C=")));
        assert_equal(&shape, &levels.answer(), &answer);
    }
}

/// What the gates of the tokens after `j`, up to `t`, sum to, in one head.
fn gates(question: &Question, [b, t, h]: [usize; 3], j: usize) -> f64 {
    question.inputs.get("g").map_or(0.0, |g| (j + 1..=t).map(|l| g[[b, l, h]]).sum())
}

fn softmax(scores: &[f64]) -> Vec<f64> {
    let top = scores.iter().copied().fold(f64::MIN, f64::max);
    let sum: f64 = scores.iter().map(|s| (s - top).exp()).sum();
    scores.iter().map(|s| (s - top).exp() / sum).collect()
}

/// What one query sees of a sequence, from the scores without gates: adds to outputs and gradients, and gives the
/// gradients of the scores.
fn attend(question: &Question, scores: &ArrayD<f64>, answer: &mut Answer, at: [usize; 3], start: usize) -> Vec<f64> {
    let [b, t, h] = at;
    let (v, d_o) = (&question.inputs["v"], &question.cotangents["d_o"]);
    let (width, channels) = (question.inputs["q"].shape()[3], 0..v.shape()[3]);
    let scale = question.problem.number("scale").unwrap_or((width as f64).powf(-0.5));
    let logits = (start..=t).map(|j| scale * (scores[[b, t, h, j]] + gates(question, at, j)));
    let p = softmax(&logits.collect::<Vec<_>>());
    let d_p: Vec<f64> =
        (start..=t).map(|j| channels.clone().map(|c| d_o[[b, t, h, c]] * v[[b, j, h, c]]).sum()).collect();
    let mean: f64 = p.iter().zip(&d_p).map(|(p, d)| p * d).sum();
    let d_scores: Vec<f64> = p.iter().zip(&d_p).map(|(p, d)| scale * p * (d - mean)).collect();
    for (j, p) in (start..=t).zip(&p) {
        for c in channels.clone() {
            answer.outputs.get_mut("o").expect("an output")[[b, t, h, c]] += p * v[[b, j, h, c]];
            answer.gradients.get_mut("d_v").expect("a gradient")[[b, j, h, c]] += p * d_o[[b, t, h, c]];
        }
    }
    if let Some(d_g) = answer.gradients.get_mut("d_g") {
        for (j, d) in (start..=t).zip(&d_scores) {
            (j + 1..=t).for_each(|l| d_g[[b, l, h]] += d);
        }
    }
    d_scores
}

/// The answer by scores that a recurrence of rank-one transitions reads from states that remember every key apart.
fn by_scores(question: &Question, shape: &str, seed: u64) -> Answer {
    let (q, w, beta) = (&question.inputs["q"], &question.inputs["w"], &question.inputs["beta"]);
    let [rows, tokens, heads] = [0, 1, 2].map(|axis| q.shape()[axis]);
    let mut iplr = Question::new(problem("iplr", &format!("{shape},V={tokens},scale=1,absent=h0")), seed);
    iplr.set("v", ArrayD::from_shape_fn(vec![rows, tokens, heads, tokens], |i| f64::from(u8::from(i[1] == i[3]))));
    for (name, array) in [("q", q.clone()), ("k", question.inputs["k"].clone()), ("a", w.clone())] {
        iplr.set(name, array);
    }
    iplr.set("b", -times_rows(w, beta));
    iplr.cotangents.remove("d_ht");
    let scores = iplr.answer().outputs["o"].clone();
    let mut answer = zeros_like(question);
    let mut d_scores = ArrayD::zeros(scores.raw_dim());
    for sequence in sequences(question) {
        for (b, t, h) in places(rows, &sequence, heads) {
            let row = attend(question, &scores, &mut answer, [b, t, h], sequence.start);
            (sequence.start..=t).zip(row).for_each(|(j, d)| d_scores[[b, t, h, j]] = d);
        }
    }
    iplr.cotangents.insert("d_o".to_owned(), d_scores);
    let d = iplr.answer().gradients;
    let [d_q, d_k, d_a, d_b] = ["d_q", "d_k", "d_a", "d_b"].map(|name| d[name].clone());
    let d_w = d_a - times_rows(&d_b, beta);
    let found = [("d_q", d_q), ("d_k", d_k), ("d_w", d_w), ("d_beta", -rows_dot(&d_b, w))];
    answer.gradients.extend(found.map(|(name, array)| (name.to_owned(), array)));
    answer
}

fn places(rows: usize, tokens: &Range<usize>, heads: usize) -> Vec<(usize, usize, usize)> {
    let tokens = tokens.clone();
    (0..rows).flat_map(|b| tokens.clone().flat_map(move |t| (0..heads).map(move |h| (b, t, h)))).collect()
}

const ATTENTION: [&str; 2] = ["B=2,T=6,H=2,HQ=2,K=4", "B=1,T=8,H=2,HQ=2,K=3,seqs=3+0+4+1"];

#[test]
fn scores_over_transported_keys_are_those_of_rank_one_transitions() {
    for shape in ATTENTION {
        for options in ["", ",absent=g", ",scale=0.7"] {
            let question = Question::new(problem("path_attn", &format!("{shape},V=3{options}")), 5);
            assert_equal(&format!("{shape}{options}"), &question.answer(), &by_scores(&question, shape, 6));
        }
    }
}

#[test]
fn query_heads_share_a_key_head_as_if_it_were_repeated() {
    let grouped = Question::new(problem("path_attn", "B=2,T=5,H=2,HQ=6,K=4,V=3"), 7);
    let mut repeated = beside_repeated(&grouped, "B=2,T=5,H=6,HQ=6,K=4,V=3");
    repeated.cotangents = grouped.cotangents.clone();
    let mut answer = repeated.answer();
    for name in ["d_k", "d_v", "d_w", "d_beta"] {
        let d = &answer.gradients[name];
        let summed = [0..3, 3..6].map(|heads| d.slice_axis(Axis(2), span(&heads)).sum_axis(Axis(2)));
        let joined = stack(Axis(2), &summed.each_ref().map(|x| x.view())).expect("two key heads");
        answer.gradients.insert(name.to_owned(), joined);
    }
    assert_equal(&"repeated", &answer, &grouped.answer());
}

fn beside_repeated(grouped: &Question, fields: &str) -> Question {
    let mut repeated = Question::new(problem("path_attn", fields), 8);
    for (name, array) in &grouped.inputs {
        let each =
            if matches!(name.as_str(), "q" | "g") { array.clone() } else { array.select(Axis(2), &[0, 0, 0, 1, 1, 1]) };
        repeated.set(name, each);
    }
    repeated
}

#[test]
fn path_attention_that_transports_nothing_is_forgetting_attention_with_scaled_gates() {
    for fields in ATTENTION.iter().flat_map(|shape| ["", ",scale=0.7"].map(|scale| format!("{shape},V=3{scale}"))) {
        let mut path = Question::new(problem("path_attn", &fields), 16);
        path.set("beta", ArrayD::zeros(path.inputs["beta"].raw_dim()));
        let mut forgetting = beside(&path, "forgetting_attn", &fields, 17);
        let scale = path.problem.number("scale").unwrap_or((path.inputs["q"].shape()[3] as f64).powf(-0.5));
        forgetting.set("g", &path.inputs["g"] * scale);
        let mut expected = forgetting.answer();
        *expected.gradients.get_mut("d_g").expect("a gradient") *= scale;
        let answer = path.answer();
        assert_same(&fields, &answer, &expected, &each(["o", "d_q", "d_k", "d_v", "d_g"]));
        assert!(answer.gradients["d_w"].iter().all(|x| x.abs() <= 0.0), "{fields}");
    }
}

#[test]
fn deltaformer_that_subtracts_nothing_is_attention() {
    for shape in ATTENTION {
        let fields = format!("{shape},V=3");
        let mut deltaformer = Question::new(problem("deltaformer", &fields), 9);
        deltaformer.set("beta", ArrayD::zeros(deltaformer.inputs["beta"].raw_dim()));
        let inputs = ["q", "k", "v"].map(|name| (name, &deltaformer.inputs[name]));
        let expected = attention(&fields, inputs, &deltaformer.cotangents["d_o"], 10);
        assert_same(&shape, &deltaformer.answer(), &expected, &each(["o", "d_q", "d_k", "d_v"]));
    }
}

/// Attention to the past alone, from token 1 on: keys and values move by one token.
fn attention_before(question: &Question, u: &ArrayD<f64>, d_read: &ArrayD<f64>) -> Answer {
    let tokens = u.shape()[1];
    let cut = |x: &ArrayD<f64>, range: Range<usize>| x.slice_axis(Axis(1), span(&range)).to_owned();
    let q = cut(&question.inputs["q"], 1..tokens);
    let (k, v) = (cut(&question.inputs["k"], 0..tokens - 1), cut(u, 0..tokens - 1));
    let inputs = [("q", &q), ("k", &k), ("v", &v)];
    let mut answer = attention("B=2,T=5,H=2,HQ=2,K=4,V=3", inputs, &cut(d_read, 1..tokens), 11);
    let pad = |x: &ArrayD<f64>, first: bool| {
        let zeros = ArrayD::zeros(x.slice_axis(Axis(1), span(&(0..1))).raw_dim());
        let parts = if first { [zeros.view(), x.view()] } else { [x.view(), zeros.view()] };
        concatenate(Axis(1), &parts).expect("one token more")
    };
    let first = |name: &str| matches!(name, "o" | "d_q");
    for (name, array) in answer.outputs.iter_mut().chain(&mut answer.gradients) {
        *array = pad(array, first(name));
    }
    answer
}

#[test]
fn deltaformer_attends_to_the_values_that_solve_its_equation() {
    let question = Question::new(problem("deltaformer", "B=2,T=6,H=2,K=4,V=3"), 12);
    let (v, beta, tokens) = (&question.inputs["v"], &question.inputs["beta"], 6);
    let nothing = ArrayD::zeros(v.raw_dim());
    // exact after as many steps as there are tokens: the equation is triangular
    let mut u = v.clone();
    for _ in 0..tokens {
        u = v - times_rows(&attention_before(&question, &u, &nothing).outputs["o"], beta);
    }
    let inputs = [("q", &question.inputs["q"]), ("k", &question.inputs["k"]), ("v", &u)];
    let last = attention("B=2,T=6,H=2,HQ=2,K=4,V=3", inputs, &question.cotangents["d_o"], 13);
    let mut d_u = last.gradients["d_v"].clone();
    for _ in 0..tokens {
        let before = attention_before(&question, &u, &-times_rows(&d_u, beta));
        d_u = &last.gradients["d_v"] + &before.gradients["d_v"];
    }
    let before = attention_before(&question, &u, &-times_rows(&d_u, beta));
    let mut expected = Answer::default();
    expected.outputs.insert("o".to_owned(), last.outputs["o"].clone());
    for name in ["d_q", "d_k"] {
        expected.gradients.insert(name.to_owned(), &last.gradients[name] + &before.gradients[name]);
    }
    expected.gradients.insert("d_beta".to_owned(), -rows_dot(&before.outputs["o"], &d_u));
    expected.gradients.insert("d_v".to_owned(), d_u);
    assert_equal(&question.problem, &question.answer(), &expected);
}
