//! Laws between an op and itself: run backwards, in pieces, and one sequence at a time.

use std::ops::Range;

use ndarray::{ArrayD, Axis, Slice, concatenate};
use reference::oracle::Answer;
use reference::problem::Problem;
use reference::spec::{Dim, Port};
use reference::specs;
use reference::tensor::Arrays;

use crate::question::{Question, assert_equal};

fn axis(port: &Port, dim: Dim) -> Option<Axis> {
    port.dims.iter().position(|&d| d == dim).map(Axis)
}

fn cut(array: &ArrayD<f64>, axis: Axis, range: &Range<usize>) -> ArrayD<f64> {
    array.slice_axis(axis, Slice::from(range.clone())).to_owned()
}

/// The tokens of a range, in a problem of its own.
fn tokens(whole: &Question, range: &Range<usize>) -> Question {
    let spec = whole.problem.spec;
    let mut piece =
        Question { problem: whole.problem.clone(), inputs: whole.inputs.clone(), cotangents: whole.cotangents.clone() };
    piece.problem.sizes.insert(Dim::T, range.len());
    let along = |arrays: &mut Arrays, ports: &[Port], prefix: &str| {
        for port in ports {
            if let (Some(time), Some(x)) = (axis(port, Dim::T), arrays.get_mut(&format!("{prefix}{}", port.name))) {
                *x = cut(x, time, range);
            }
        }
    };
    along(&mut piece.inputs, spec.inputs, "");
    along(&mut piece.cotangents, spec.outputs, "d_");
    piece
}

/// Joins along whichever of these dimensions a port has, and sums the gradients of those that have none.
fn join(problem: &Problem, dims: &[Dim], parts: &[Answer]) -> Answer {
    let collect = |port: &Port, arrays: Vec<&ArrayD<f64>>| match dims.iter().find_map(|&d| axis(port, d)) {
        Some(axis) => {
            concatenate(axis, &arrays.iter().map(|a| a.view()).collect::<Vec<_>>()).expect("parts of a whole")
        }
        None => arrays[1..].iter().fold(arrays[0].clone(), |sum, &a| sum + a),
    };
    let mut answer = Answer::default();
    for port in problem.produced() {
        let each = parts.iter().map(|p| &p.outputs[port.name]).collect();
        answer.outputs.insert(port.name.to_owned(), collect(port, each));
    }
    for port in problem.spec.inputs {
        let name = format!("d_{}", port.name);
        let each: Vec<_> = parts.iter().filter_map(|p| p.gradients.get(&name)).collect();
        if each.len() == parts.len() {
            answer.gradients.insert(name, collect(port, each));
        }
    }
    answer
}

/// Runs the pieces one after the other, each from the states of the one before, and the gradients back through the
/// states: what the ranks of a context-parallel group exchange.
fn resumed(mut pieces: Vec<Question>) -> Vec<Answer> {
    let states: Vec<_> = pieces[0].problem.states().collect();
    for i in 1..pieces.len() {
        let before = pieces[i - 1].answer();
        for state in &states {
            pieces[i].problem.absent.remove(state.initial);
            pieces[i].set(state.initial, before.outputs[state.last].clone());
        }
    }
    for i in (1..pieces.len()).rev() {
        let mut after = pieces[i].answer();
        for state in &states {
            let carried = after.gradients.remove(&format!("d_{}", state.initial)).expect("states have gradients");
            pieces[i - 1].cotangents.insert(format!("d_{}", state.last), carried);
        }
    }
    let mut answers: Vec<Answer> = pieces.iter().map(Question::answer).collect();
    for answer in &mut answers[1..] {
        answer.gradients.retain(|name, _| states.iter().all(|s| name.strip_prefix("d_") != Some(s.initial)));
    }
    answers
}

/// The answer to the whole from its pieces, given in the order in which they ran.
fn reunited(problem: &Problem, mut parts: Vec<Answer>, backwards: bool) -> Answer {
    let (first, last) = (parts[0].clone(), parts[parts.len() - 1].clone());
    if backwards {
        parts.reverse();
    }
    let mut whole = join(problem, &[Dim::T], &parts);
    for state in problem.states() {
        let initial = first.gradients.get_key_value(&format!("d_{}", state.initial));
        whole.gradients.extend(initial.map(|(name, d)| (name.clone(), d.clone())));
        whole.outputs.insert(state.last.to_owned(), last.outputs[state.last].clone());
    }
    whole
}

/// Cuts before each of these tokens and compares with the whole.
fn assert_resumable(problem: Problem, cuts: &[usize]) {
    let backwards = problem.reversed();
    let whole = Question::new(problem, 13);
    let ends = [&[0], cuts, &[whole.problem.size(Dim::T)]].concat();
    let mut pieces: Vec<Question> = ends.windows(2).map(|w| tokens(&whole, &(w[0]..w[1]))).collect();
    if backwards {
        pieces.reverse();
    }
    let answer = reunited(&whole.problem, resumed(pieces), backwards);
    assert_equal(&format!("{} cut at {cuts:?}", whole.problem), &answer, &whole.answer());
}

#[test]
fn resuming_at_any_token_is_running_through() {
    for spec in specs().filter(|s| !s.states.is_empty()) {
        for problem in crate::variants::at(
            spec,
            "B=2,T=4,H=2,HV=4,HQ=4,K=3,V=4,D=3,M=4,C=3,L=3,R=2,W=3,I=3,F=4,E=2,G=2,S=5,AQ=2,AH=1,AK=2",
        ) {
            for t in 0..=problem.size(Dim::T) {
                assert_resumable(problem.clone(), &[t]);
            }
        }
    }
}

/// Context parallelism: ranks of equal and unequal lengths, one without a token among them.
#[test]
fn ranks_that_pass_on_their_states_are_one() {
    for spec in specs().filter(|s| !s.states.is_empty()) {
        for problem in crate::variants::at(
            spec,
            "B=1,T=8,H=1,HV=2,HQ=2,K=3,V=2,D=3,M=4,C=3,L=4,R=2,W=3,I=3,F=4,E=2,G=2,S=5,AQ=2,AH=1,AK=2",
        ) {
            for cuts in [&[2, 4, 6][..], &[1, 1, 7], &[4]] {
                assert_resumable(problem.clone(), cuts);
            }
        }
    }
}

#[test]
fn packed_sequences_are_runs_by_themselves() {
    for spec in specs() {
        for problem in crate::variants::at(
            spec,
            "B=1,T=7,H=2,HV=4,HQ=4,K=3,V=4,D=3,M=4,C=3,L=3,R=2,W=3,I=3,F=4,E=2,G=2,S=5,AQ=2,AH=1,AK=2,seqs=3+0+4",
        ) {
            let packed = Question::new(problem, 14);
            let offsets = packed.problem.offsets();
            let alone = |n: usize| {
                let mut piece = tokens(&packed, &(offsets[n]..offsets[n + 1]));
                piece.problem.sequences = None;
                for port in spec.inputs.iter().chain(spec.outputs) {
                    let Some(axis) = axis(port, Dim::N) else { continue };
                    for (arrays, name) in
                        [(&mut piece.inputs, port.name), (&mut piece.cotangents, &format!("d_{}", port.name))]
                    {
                        if let Some(x) = arrays.get_mut(name) {
                            *x = cut(x, axis, &(n..n + 1));
                        }
                    }
                }
                piece.answer()
            };
            let parts: Vec<_> = (0..packed.problem.size(Dim::N)).map(alone).collect();
            let answer = join(&packed.problem, &[Dim::T, Dim::N], &parts);
            assert_equal(&packed.problem, &answer, &packed.answer());
        }
    }
}

fn flipped(problem: &Problem, port: &Port, array: &ArrayD<f64>) -> ArrayD<f64> {
    let Some(time) = axis(port, Dim::T) else { return array.clone() };
    // within each sequence
    let ends = match problem.sequences {
        Some(_) => problem.offsets(),
        None => vec![0, problem.size(Dim::T)],
    };
    let mut array = array.clone();
    for w in ends.windows(2) {
        let mut turned = cut(&array, time, &(w[0]..w[1]));
        turned.invert_axis(time);
        array.slice_axis_mut(time, Slice::from(w[0]..w[1])).assign(&turned);
    }
    array
}

#[test]
fn reverse_is_flip_run_flip() {
    let mut tried = 0;
    for backward in specs().flat_map(crate::variants::all).filter(Problem::reversed) {
        let turned = Question::new(backward, 11);
        let mut forward = Question::new(turned.problem.clone(), 11);
        forward.problem.attrs.remove("reverse");
        for port in turned.problem.inputs() {
            forward.set(port.name, flipped(&turned.problem, port, &turned.inputs[port.name]));
        }
        for port in turned.problem.produced() {
            let name = format!("d_{}", port.name);
            let flip = flipped(&turned.problem, port, &turned.cotangents[&name]);
            forward.cotangents.insert(name, flip);
        }
        let mut answer = forward.answer();
        for port in turned.problem.produced() {
            answer.outputs.insert(port.name.to_owned(), flipped(&turned.problem, port, &answer.outputs[port.name]));
        }
        for port in turned.problem.differentiable() {
            let name = format!("d_{}", port.name);
            let flip = flipped(&turned.problem, port, &answer.gradients[&name]);
            answer.gradients.insert(name, flip);
        }
        assert_equal(&turned.problem, &answer, &turned.answer());
        tried += 1;
    }
    assert!(tried > 0);
}
