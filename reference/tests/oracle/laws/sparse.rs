//! Laws of the attentions to chosen tokens: to all of them, they are attention; to the same ones, they are each other.

use ndarray::{ArrayD, ArrayView2, Axis, s};
use reference::oracle::Answer;
use reference::spec::Dim;

use crate::beside::beside;
use crate::question::{Question, assert_equal, assert_same};
use crate::sample::problem;

const SHAPES: [&str; 2] = ["B=2,T=6,H=2,HQ=4,K=4,V=3", "B=1,T=7,H=2,HQ=2,K=3,V=3,seqs=3+0+4"];

const NAMES: [(&str, &str); 4] = [("o", "o"), ("d_q", "d_q"), ("d_k", "d_k"), ("d_v", "d_v")];

/// The tokens of a sequence of a head.
fn part<'a>(x: &'a ArrayD<f64>, row: usize, span: &std::ops::Range<usize>, head: usize) -> ArrayView2<'a, f64> {
    let all = x.view().into_shape_with_order((x.shape()[0], x.shape()[1], x.shape()[2], x.shape()[3]));
    all.expect("[B, T, H, ·]").slice_move(s![row, span.clone(), head, ..])
}

fn spans(question: &Question) -> Vec<(usize, std::ops::Range<usize>)> {
    let (offsets, tokens) = (question.problem.offsets(), question.problem.size(Dim::T));
    match question.problem.sequences {
        Some(_) => offsets.windows(2).map(|w| (0, w[0]..w[1])).collect(),
        None => (0..question.problem.size(Dim::B)).map(|row| (row, 0..tokens)).collect(),
    }
}

/// Causal softmax attention with the inputs and the cotangent of another question.
fn attention(other: &Question, shape: &str) -> Answer {
    beside(other, "attn", &format!("{shape},absent=g,absent=sink_bias"), 9).answer()
}

/// Indices `choose(t, i)` of the i-th place of token t of its sequence, −1 where there is none.
fn listed(question: &Question, input: &str, choose: impl Fn(usize, usize) -> Option<usize>) -> ArrayD<f64> {
    let array = &question.inputs[input];
    let (ends, packed) = (question.problem.offsets(), question.problem.sequences.is_some());
    let start = |t: usize| if packed { *ends.iter().rfind(|&&s| s <= t).expect("0 is a start") } else { 0 };
    ArrayD::from_shape_fn(array.raw_dim(), |at| {
        choose(at[1] - start(at[1]), at[array.ndim() - 1]).map_or(-1.0, |i| i as f64)
    })
}

fn gate(question: &mut Question, name: &str, value: f64) {
    let shape = question.inputs[name].raw_dim();
    question.set(name, ArrayD::from_elem(shape, value));
}

#[test]
fn the_order_of_the_chosen_does_not_matter() {
    for (op, input) in [("dsa", "indices"), ("nsa", "block_indices")] {
        for shape in SHAPES {
            let mut question = Question::new(problem(op, &format!("{shape},L=3")), 7);
            let sorted = question.answer();
            let mut turned = question.inputs[input].clone();
            turned.invert_axis(Axis(turned.ndim() - 1));
            question.set(input, turned);
            assert_equal(&format!("{op}({shape})"), &question.answer(), &sorted);
        }
    }
}

#[test]
fn dsa_of_every_token_is_attention() {
    for shape in SHAPES {
        let mut dsa = Question::new(problem("dsa", &format!("{shape},L=7")), 1);
        // the other way round, and later ones besides
        let every = listed(&dsa, "indices", |_, i| (i < 3).then(|| 2 - i));
        dsa.set("indices", every);
        let few = dsa.answer();
        let every = listed(&dsa, "indices", |t, i| (i <= t).then(|| t - i));
        dsa.set("indices", every);
        let expected = attention(&dsa, shape);
        assert_same(&shape, &dsa.answer(), &expected, &NAMES);
        assert_ne!(few.outputs["o"], expected.outputs["o"], "three tokens are not all");
    }
}

#[test]
fn nsa_of_every_block_is_attention() {
    for shape in SHAPES {
        let fields = format!("{shape},L=4,block_size=2,absent=g_cmp,absent=g_slc,absent=g_swa");
        let mut nsa = Question::new(problem("nsa", &fields), 2);
        let every = listed(&nsa, "block_indices", |t, i| (i <= t / 2).then_some(i));
        nsa.set("block_indices", every);
        assert_same(&shape, &nsa.answer(), &attention(&nsa, shape), &NAMES);
    }
}

#[test]
fn nsa_whose_blocks_are_tokens_or_whose_window_is_long_is_attention() {
    for shape in SHAPES {
        for (fields, part) in [("block_size=1", "g_cmp"), ("window_size=7", "g_swa")] {
            let mut nsa = Question::new(problem("nsa", &format!("{shape},L=2,{fields}")), 3);
            for name in ["g_cmp", "g_slc", "g_swa"] {
                gate(&mut nsa, name, f64::from(u8::from(name == part)));
            }
            assert_same(&fields, &nsa.answer(), &attention(&nsa, shape), &NAMES);
        }
    }
}

#[test]
fn moba_of_every_chunk_is_attention() {
    for shape in SHAPES {
        let shape = &shape.replace("V=3", "V=4").replace("K=3", "K=4").replace("HQ=4", "HQ=2");
        for fields in ["chunk_size=2,topk=4", "chunk_size=2,topk=1", "chunk_size=7,topk=2", "chunk_size=3,topk=9"] {
            let moba = Question::new(problem("moba", &format!("{shape},{fields}")), 4);
            assert_same(&fields, &moba.answer(), &attention(&moba, shape), &NAMES);
        }
        let moba = Question::new(problem("moba", &format!("{shape},chunk_size=1,topk=2")), 4);
        assert_ne!(moba.answer().outputs["o"], attention(&moba, shape).outputs["o"], "two chunks are not all");
    }
}

#[test]
fn nsa_of_single_tokens_is_dsa() {
    for shape in SHAPES {
        let dsa = Question::new(problem("dsa", &format!("{shape},L=3")), 5);
        let fields = format!("{shape},L=3,block_size=1,absent=g_cmp,absent=g_slc,absent=g_swa");
        let mut nsa = beside(&dsa, "nsa", &fields, 9);
        let shape_of = nsa.inputs["block_indices"].raw_dim();
        let shared = dsa.inputs["indices"].view().insert_axis(Axis(2));
        nsa.set("block_indices", shared.broadcast(shape_of).expect("one list for all heads").to_owned());
        assert_same(&shape, &nsa.answer(), &dsa.answer(), &NAMES);
    }
}

#[test]
fn a_window_of_nsa_is_dsa_of_the_last_tokens() {
    for shape in SHAPES {
        let mut dsa = Question::new(problem("dsa", &format!("{shape},L=3")), 6);
        let last = listed(&dsa, "indices", |t, i| t.checked_sub(i));
        dsa.set("indices", last);
        let mut nsa = beside(&dsa, "nsa", &format!("{shape},L=2,window_size=3,absent=g_cmp"), 9);
        gate(&mut nsa, "g_slc", 0.0);
        gate(&mut nsa, "g_swa", 1.0);
        assert_same(&shape, &nsa.answer(), &dsa.answer(), &NAMES);
    }
}

/// The chunk before a token's own one whose mean key has the largest product with the query.
fn best(q: &ArrayView2<'_, f64>, k: &ArrayView2<'_, f64>, t: usize, size: usize) -> Option<usize> {
    let gate = |c: usize| {
        let chunk = k.slice(s![c * size..(c + 1) * size, ..]);
        q.row(t).dot(&chunk.mean_axis(Axis(0)).expect("a chunk has a token"))
    };
    (0..t / size).max_by(|&a, &b| gate(a).total_cmp(&gate(b)))
}

#[test]
fn moba_is_nsa_of_the_chunks_that_it_chooses() {
    for shape in ["B=2,T=9,H=3,K=4,V=4", "B=1,T=12,H=2,K=3,V=3,seqs=5+0+7"] {
        let moba = Question::new(problem("moba", &format!("{shape},chunk_size=2,topk=2")), 7);
        let heads = moba.problem.size(Dim::H);
        let fields = format!("{shape},HQ={heads},L=2,block_size=2,absent=g_cmp,absent=g_slc,absent=g_swa");
        let mut nsa = beside(&moba, "nsa", &fields, 9);
        let mut chosen = ArrayD::from_elem(nsa.inputs["block_indices"].raw_dim(), -1.0);
        for (row, span) in spans(&moba) {
            for head in 0..heads {
                let [q, k] = ["q", "k"].map(|name| part(&moba.inputs[name], row, &span, head));
                for t in 0..span.len() {
                    let place = [row, span.start + t, head];
                    let mut list = chosen.slice_mut(s![place[0], place[1], place[2], ..]);
                    list[0] = best(&q, &k, t, 2).map_or(-1.0, |c| c as f64);
                    list[1] = (t / 2) as f64;
                }
            }
        }
        nsa.set("block_indices", chosen);
        assert_same(&shape, &nsa.answer(), &moba.answer(), &NAMES);
    }
}
