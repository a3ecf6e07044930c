//! Laws between an op and itself: run backwards, in pieces, and one sequence at a time.

mod agree;
mod question;
mod sample;
mod variants;

use std::ops::Range;

use ndarray::{ArrayD, Axis, Slice, concatenate};
use reference::ops::OPS;
use reference::oracle::Answer;
use reference::problem::Problem;
use reference::spec::{Dim, OpSpec, Port};
use reference::tensor::Arrays;

use question::{Question, assert_equal};

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
fn join(spec: &OpSpec, dims: &[Dim], parts: &[Answer]) -> Answer {
    let collect = |port: &Port, arrays: Vec<&ArrayD<f64>>| match dims.iter().find_map(|&d| axis(port, d)) {
        Some(axis) => {
            concatenate(axis, &arrays.iter().map(|a| a.view()).collect::<Vec<_>>()).expect("parts of a whole")
        }
        None => arrays[1..].iter().fold(arrays[0].clone(), |sum, &a| sum + a),
    };
    let mut answer = Answer::default();
    for port in spec.outputs {
        let each = parts.iter().map(|p| &p.outputs[port.name]).collect();
        answer.outputs.insert(port.name.to_owned(), collect(port, each));
    }
    for port in spec.inputs {
        let name = format!("d_{}", port.name);
        let each: Vec<_> = parts.iter().filter_map(|p| p.gradients.get(&name)).collect();
        if each.len() == parts.len() {
            answer.gradients.insert(name, collect(port, each));
        }
    }
    answer
}

/// Runs `first`, then `second` from its states, and the gradients back through the states.
fn resumed(mut first: Question, mut second: Question) -> [Answer; 2] {
    let states = first.problem.spec.states;
    let before = first.answer();
    for state in states {
        second.problem.absent.remove(state.initial);
        second.set(state.initial, before.outputs[state.last].clone());
    }
    let mut after = second.answer();
    for state in states {
        let carried = after.gradients.remove(&format!("d_{}", state.initial)).expect("states have gradients");
        first.cotangents.insert(format!("d_{}", state.last), carried);
    }
    [first.answer(), after]
}

/// The answer to the whole from its two pieces, given in the order in which they ran.
fn reunited(spec: &OpSpec, mut parts: [Answer; 2], backwards: bool) -> Answer {
    let [first, second] = parts.clone();
    if backwards {
        parts.reverse();
    }
    let mut whole = join(spec, &[Dim::T], &parts);
    for state in spec.states {
        let initial = first.gradients.get_key_value(&format!("d_{}", state.initial));
        whole.gradients.extend(initial.map(|(name, d)| (name.clone(), d.clone())));
        whole.outputs.insert(state.last.to_owned(), second.outputs[state.last].clone());
    }
    whole
}

#[test]
fn resuming_at_any_token_is_running_through() {
    for spec in OPS.iter().filter(|s| !s.states.is_empty()) {
        for problem in variants::at(spec, "B=2,T=4,H=2,HV=4,K=3,V=4,D=3") {
            let whole = Question::new(problem, 13);
            let (expected, length, backwards) = (whole.answer(), whole.problem.size(Dim::T), whole.problem.reversed());
            for t in 0..=length {
                let (left, right) = (tokens(&whole, &(0..t)), tokens(&whole, &(t..length)));
                let parts = if backwards { resumed(right, left) } else { resumed(left, right) };
                let answer = reunited(spec, parts, backwards);
                assert_equal(&format!("{} cut at {t}", whole.problem), &answer, &expected);
            }
        }
    }
}

#[test]
fn packed_sequences_are_runs_by_themselves() {
    for spec in OPS {
        for problem in variants::at(spec, "B=1,T=7,H=2,HV=4,K=3,V=4,D=3,seqs=3+0+4") {
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
            let answer = join(spec, &[Dim::T, Dim::N], &parts);
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
    for backward in OPS.iter().flat_map(|s| variants::all(s)).filter(Problem::reversed) {
        let spec = backward.spec;
        let turned = Question::new(backward, 11);
        let mut forward = Question::new(turned.problem.clone(), 11);
        forward.problem.attrs.remove("reverse");
        for port in turned.problem.inputs() {
            forward.set(port.name, flipped(&turned.problem, port, &turned.inputs[port.name]));
        }
        for port in spec.outputs {
            let name = format!("d_{}", port.name);
            let flip = flipped(&turned.problem, port, &turned.cotangents[&name]);
            forward.cotangents.insert(name, flip);
        }
        let mut answer = forward.answer();
        for port in spec.outputs {
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
