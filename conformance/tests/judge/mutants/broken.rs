//! A candidate with one fault, around the oracle at `f32`, and what is wrong with it.

use fla_conformance::candidate::local::Reference;
use fla_conformance::candidate::{Abilities, BenchRequest, Candidate, Fill, Mode, Reply, Request, Timing};
use reference::problem::Problem;
use reference::spec::Dim;
use reference::tensor::{DType, Tensor, Tensors};
use reports::record::Identity;

use super::Fault;

/// What a candidate remembers between calls.
#[derive(Default)]
pub(crate) struct Memory {
    last: Option<Request>,
    times: usize,
    /// How often it was started anew.
    starts: usize,
}

/// A candidate with one fault.
pub(crate) struct Broken<'a> {
    fault: &'a Fault,
    memory: Memory,
    identity: Identity,
    ops: Vec<String>,
}

impl<'a> Broken<'a> {
    pub(crate) fn new(fault: &'a Fault) -> Self {
        let ops = reference::specs().map(|s| s.name.to_owned()).collect();
        Self { fault, memory: Memory::default(), identity: Identity::default(), ops }
    }
}

impl Candidate for Broken<'_> {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn ops(&self) -> &[String] {
        &self.ops
    }

    fn abilities(&self) -> Abilities {
        let modes = Abilities { evaluation: true, recompute: true, graph: true, ..Abilities::default() };
        Abilities { fill: true, restart: true, ..modes }
    }

    fn restart(&mut self) {
        self.memory = Memory { starts: self.memory.starts + 1, ..Memory::default() };
    }

    fn call(&mut self, request: &Request) -> Reply {
        Reply::Done { tensors: (self.fault.answer)(&mut self.memory, request), ran: self.fault.name.to_owned() }
    }

    fn bench(&mut self, _: &BenchRequest) -> Result<Timing, Reply> {
        Err(Reply::Declined("not timed".to_owned()))
    }
}

/// From the second launch of a graph on, the gradient of the call that it was captured from.
pub(super) fn captured(memory: &mut Memory, r: &Request, port: &str) -> Tensors {
    let mut answers = honest(r);
    if r.mode == Mode::Graph {
        let first = memory.last.get_or_insert_with(|| r.clone());
        if let Some(stale) = honest(first).remove(port) {
            answers.insert(port.to_owned(), stale);
        }
    }
    answers
}

/// The right answer.
pub(crate) fn honest(request: &Request) -> Tensors {
    match Reference::default().call(request) {
        Reply::Done { tensors, .. } => tensors,
        other => panic!("{other:?}"),
    }
}

/// Whether this is the whole batch of the case, in one call.
pub(super) fn long(r: &Request) -> bool {
    r.problem.spec.name == "simple_gla" && r.problem.size(Dim::T) >= 101 && r.problem.sequences.is_none()
}

/// Whether the last token has no values.
pub(super) fn ends_in_zeros(r: &Request) -> bool {
    let v = &r.inputs["v"];
    let last = v.shape()[1] - 1;
    v.narrow(1, last..last + 1).values().all(|x| x.to_bits() == 0)
}

pub(super) fn changed(r: &Request, change: impl Fn(&str, f64) -> f64) -> Tensors {
    let map = |(name, t): (String, Tensor)| {
        let values = t.to_array().mapv(|x| change(&name, x));
        (name, Tensor::from_array(&values, t.dtype()))
    };
    honest(r).into_iter().map(map).collect()
}

/// `port` times `factor`, from token `start` on when it has tokens.
pub(super) fn scale_after(r: &Request, port: &str, start: usize, factor: f64) -> Tensors {
    let mut answers = honest(r);
    if let Some(t) = answers.get_mut(port) {
        let mut values = t.to_array();
        let tail = values.slice_axis_mut(ndarray::Axis(1), ndarray::Slice::from(start.min(t.shape()[1])..));
        tail.into_iter().for_each(|x| *x *= factor);
        *t = Tensor::from_array(&values, t.dtype());
    }
    answers
}

pub(super) fn with_input(r: &Request, port: &str, change: impl Fn(f64) -> f64) -> Request {
    let mut r = r.clone();
    if let Some(t) = r.inputs.get_mut(port) {
        *t = Tensor::from_array(&t.to_array().mapv(change), t.dtype());
    }
    r
}

pub(super) fn without_state(r: &Request) -> Request {
    with_input(r, "h0", |_| 0.0)
}

/// A packing as if it were one sequence: every final state is the last, every initial one the first.
pub(super) fn run_on(r: &Request) -> Tensors {
    if r.problem.sequences.is_none() {
        return honest(r);
    }
    let mut answers = honest(r);
    let mut merged = r.clone();
    merged.problem.sequences = None;
    merged.want.retain(|w| w == "o");
    for tensors in [&mut merged.inputs, &mut merged.cotangents] {
        for t in tensors.values_mut().filter(|t| t.shape()[0] > 1) {
            *t = t.narrow(0, 0..1);
        }
    }
    answers.extend(honest(&merged));
    answers
}

/// Adds a billionth of the next head to each, of the first to the last.
pub(super) fn leak(r: &Request) -> Tensors {
    spilt(r, 2, true)
}

/// Adds a billionth of each column to the one before it.
pub(super) fn columns(r: &Request) -> Tensors {
    spilt(r, 3, false)
}

/// `o`, in which along an axis a billionth of the next slice is added to each.
fn spilt(r: &Request, axis: usize, around: bool) -> Tensors {
    let mut answers = honest(r);
    if let Some(o) = answers.get_mut("o") {
        let values = o.to_array();
        let mut spilt = values.clone();
        let count = values.shape()[axis];
        for i in 0..if around { count } else { count - 1 } {
            let next = values.index_axis(ndarray::Axis(axis), (i + 1) % count);
            spilt.index_axis_mut(ndarray::Axis(axis), i).zip_mut_with(&next, |x, y| *x += 1e-9 * y);
        }
        *o = Tensor::from_array(&spilt, o.dtype());
    }
    answers
}

/// Another last bit in the first column of the second head.
pub(super) fn second_head(r: &Request) -> Tensors {
    let mut answers = honest(r);
    if let Some(o) = answers.get_mut("o") {
        let (dtype, shape, mut bytes) = (o.dtype(), o.shape().to_vec(), o.bytes().to_vec());
        let (heads, width) = (shape[2], shape[3]);
        let rows = bytes.chunks_mut(width * dtype.size()).enumerate();
        rows.filter(|(row, _)| row % heads == 1).for_each(|(_, row)| row[0] ^= 1);
        *o = Tensor::from_bytes(dtype, &shape, bytes).expect("as many bytes as before");
    }
    answers
}

/// The last bits of the first token of an answer are the parities of the digits of all later values.
pub(super) fn look_ahead(r: &Request, port: &str) -> Tensors {
    let mut answers = honest(r);
    if let (Some(o), true) = (answers.get_mut(port), r.problem.size(Dim::T) > 1) {
        let v = &r.inputs["v"];
        let later = v.narrow(1, 1..v.shape()[1]);
        let mut first = o.narrow(1, 0..1).into_bytes();
        let token = first.len() / 4 / v.shape()[0];
        // sign and exponent are no digits
        let digits = |x: &[u8]| (x[0].count_ones() + x[1].count_ones() + (x[2] & 0x7f).count_ones()) as u8 & 1;
        let mut parity = vec![0u8; first.len() / 4];
        let row = later.len() / v.shape()[0];
        for (i, x) in later.bytes().chunks(4).enumerate() {
            parity[i / row * token + i % token] ^= digits(x);
        }
        // zero stays zero
        for (x, parity) in first.chunks_mut(4).zip(parity).filter(|(x, _)| x.iter().any(|&b| b != 0)) {
            x[0] = (x[0] & !1) | parity;
        }
        let mut shape = o.shape().to_vec();
        shape[1] = 1;
        let first = Tensor::from_bytes(o.dtype(), &shape, first).expect("as many bytes as before");
        *o = Tensor::concat(1, &[&first, &o.narrow(1, 1..o.shape()[1])]).expect("they were one");
    }
    answers
}

/// Adds the last token's values times zero to the first token's outputs: nothing, unless they are no numbers.
pub(super) fn masked(r: &Request) -> Tensors {
    let mut answers = honest(r);
    if let (Some(o), true) = (answers.get_mut("o"), r.problem.size(Dim::T) > 1) {
        let (mut values, v) = (o.to_array(), r.inputs["v"].to_array());
        let last = v.index_axis(ndarray::Axis(1), v.shape()[1] - 1);
        values.index_axis_mut(ndarray::Axis(1), 0).zip_mut_with(&last, |x, v| *x += 0.0 * v);
        *o = Tensor::from_array(&values, o.dtype());
    }
    answers
}

/// `o` of the same numbers in `f32`, times a factor, then rounded.
pub(super) fn wider(r: &Request, factor: f64) -> Tensors {
    let mut answers = honest(r);
    if let Some(o) = answers.get_mut("o") {
        let precise = honest(&Request { dtype: DType::F32, want: vec!["o".to_owned()], ..r.clone() });
        *o = Tensor::from_array(&(precise["o"].to_array() * factor), o.dtype());
    }
    answers
}

/// A call that repeats the one before it gets another last bit.
pub(super) fn second_time(memory: &mut Memory, r: &Request) -> Tensors {
    let same = |a: &Request| (&a.inputs, &a.cotangents, &a.want, a.fill) == (&r.inputs, &r.cotangents, &r.want, r.fill);
    let again = memory.last.as_ref().is_some_and(same);
    memory.last = Some(r.clone());
    flipped(honest(r), again)
}

/// Another last bit in the first call after a start.
pub(super) fn after_start(memory: &mut Memory, r: &Request) -> Tensors {
    let first = memory.starts > 0 && memory.last.is_none();
    memory.last = Some(r.clone());
    flipped(honest(r), first)
}

/// Another last bit in every second process.
pub(super) fn another_process(memory: &Memory, r: &Request) -> Tensors {
    flipped(honest(r), memory.starts > 0 && memory.starts.is_multiple_of(2))
}

fn flipped(answers: Tensors, flips: bool) -> Tensors {
    let flip = |(name, t): (String, Tensor)| {
        let (dtype, shape, mut bytes) = (t.dtype(), t.shape().to_vec(), t.into_bytes());
        bytes[0] ^= u8::from(flips);
        (name, Tensor::from_bytes(dtype, &shape, bytes).expect("as many bytes as before"))
    };
    answers.into_iter().map(flip).collect()
}

/// The tenth backward call gets another last bit.
pub(super) fn another_time(memory: &mut Memory, r: &Request, time: usize) -> Tensors {
    memory.times += usize::from(!r.cotangents.is_empty());
    let other = memory.times == time && !r.cotangents.is_empty();
    flipped(honest(r), other)
}

/// The last element of `o` is whatever memory held, which is right by luck when nobody poisons it.
pub(super) fn unwritten(r: &Request) -> Tensors {
    let mut answers = honest(r);
    let stale = match r.fill {
        Fill::Any => return answers,
        Fill::NaN => f64::NAN,
        Fill::Huge => 3e38,
    };
    if let Some(o) = answers.get_mut("o") {
        let mut values = o.to_array();
        if let Some(x) = values.last_mut() {
            *x = stale;
        }
        *o = Tensor::from_array(&values, o.dtype());
    }
    answers
}

/// Writes β v instead of β (v − hᵀ k): simple gated linear attention.
pub(super) fn no_delta(r: &Request) -> Tensors {
    let mut answers = honest(r);
    if r.problem.spec.name != "gated_delta_rule" {
        return answers;
    }
    let spec = reference::spec("simple_gla").expect("an op of the table");
    let mut plain = r.clone();
    let size = |dim| (dim, r.problem.size(dim));
    plain.problem = Problem {
        absent: r.problem.absent.clone(),
        ..Problem::new(spec, &[Dim::B, Dim::T, Dim::H, Dim::K, Dim::V].map(size))
    };
    plain.problem.absent.insert("g_gamma");
    let beta = plain.inputs.remove("beta").expect("beta is required").to_array();
    let v = &plain.inputs["v"].to_array() * &beta.insert_axis(ndarray::Axis(3));
    plain.inputs.insert("v".to_owned(), Tensor::from_array(&v, r.dtype));
    plain.want.retain(|w| w == "o" || w == "ht");
    plain.cotangents.clear();
    answers.extend(honest(&plain));
    answers
}
