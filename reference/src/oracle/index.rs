//! Whether the elements of an integer input are indices of something.

use ndarray::{ArrayD, Axis, Dimension};

use crate::error::Error;
use crate::problem::Problem;
use crate::spec::{Dim, Domain, Port, ignored};

/// Checks block indices: whole numbers from −1, which stands for none, to the last block of the token's sequence, none of
/// them twice for one token.
pub(super) fn check(problem: &Problem, port: &Port, array: &ArrayD<f64>) -> Result<(), Error> {
    let size = match problem.domain(port) {
        Domain::Blocks(size) => size,
        Domain::Symbols(labels) => return below(problem, port, array, problem.size(Dim::S), labels),
        Domain::Mask => return below(problem, port, array, 2, false),
        _ => return Ok(()),
    };
    let (size, tokens) = (problem.block(size), lengths(problem));
    let time = port.dims.iter().position(|&d| d == Dim::T);
    let blocks = |at: &[usize]| time.map_or(0, |axis| tokens[at[axis]].div_ceil(size));
    let error = |at: &[usize], x: f64| {
        let (op, port, below) = (problem.spec.name, port.name, blocks(at));
        Err(Error::Index { op, port, at: at.to_vec(), got: x.to_string(), below })
    };
    for (at, &x) in array.indexed_iter() {
        // NaN is in no range
        if !(x >= -1.0 && x < blocks(at.slice()) as f64 && x.fract().abs() <= 0.0) {
            return error(at.slice(), x);
        }
    }
    for (lane, row) in array.lanes(Axis(array.ndim() - 1)).into_iter().enumerate() {
        let mut order: Vec<usize> = (0..row.len()).filter(|&i| row[i] >= 0.0).collect();
        order.sort_by(|&a, &b| row[a].total_cmp(&row[b]));
        if let Some(twice) = order.windows(2).find(|w| row[w[0]] >= row[w[1]]) {
            let place = array.indexed_iter().nth(lane * row.len() + twice[1]);
            let (at, &x) = place.expect("lanes run through the array in order");
            return error(at.slice(), x);
        }
    }
    Ok(())
}

/// Checks that numbers are whole, not negative and below another, or labels that count for nothing.
fn below(problem: &Problem, port: &Port, array: &ArrayD<f64>, below: usize, labels: bool) -> Result<(), Error> {
    let valid = |x: f64| (x >= 0.0 && x < below as f64 && x.fract().abs() <= 0.0) || (labels && ignored(x));
    match array.indexed_iter().find(|(_, x)| !valid(**x)) {
        None => Ok(()),
        Some((at, x)) => {
            let (op, port, at, got) = (problem.spec.name, port.name, at.slice().to_vec(), x.to_string());
            Err(Error::Index { op, port, at, got, below })
        }
    }
}

/// Tokens of the sequence to which each token belongs.
fn lengths(problem: &Problem) -> Vec<usize> {
    match &problem.sequences {
        Some(lengths) => lengths.iter().flat_map(|&n| std::iter::repeat_n(n, n)).collect(),
        None => vec![problem.size(Dim::T); problem.size(Dim::T)],
    }
}
