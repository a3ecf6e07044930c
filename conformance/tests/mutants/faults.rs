//! Candidates with one fault each, around the oracle at `f32`.

use fla_conformance::candidate::local::Reference;
use fla_conformance::candidate::{Abilities, BenchRequest, Candidate, Fill, Mode, Reply, Request, Timing};
use reference::problem::Problem;
use reference::spec::Dim;
use reference::tensor::{DType, Tensor, Tensors};
use reports::record::Identity;

/// A planted fault.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// A case that shows it.
    pub(crate) case: &'static str,
    /// The check that must find it.
    pub(crate) finder: &'static str,
    /// Whether every other check must pass.
    pub(crate) alone: bool,
    /// What the candidate answers.
    pub(crate) answer: fn(&mut Memory, &Request) -> Tensors,
}

/// What a candidate remembers between calls.
#[derive(Default)]
pub(crate) struct Memory {
    last: Option<Request>,
}

const GLA: &str = "simple_gla(B=2,T=101,H=2,K=8,V=8,absent=g_gamma)";
const GLA_FRESH: &str = "simple_gla(B=2,T=101,H=2,K=8,V=8,absent=g_gamma+h0)";
const DELTA: &str = "gated_delta_rule(B=1,T=70,H=2,K=16,V=8,profile=slow_decay)";
const MODEL: &str = "transformer_model(B=1,T=5)";
const SCAN: &str = "hgrn(B=2,T=70,D=12)";

/// The faults that exactly one check finds, then those that one check must find at least.
pub(crate) static FAULTS: &[Fault] = &[
    Fault {
        name: "ragged chunk of a long batch",
        case: GLA,
        finder: "forward",
        alone: true,
        answer: |_, r| scale_after(r, "o", 64, if long(r) { 1.02 } else { 1.0 }),
    },
    Fault {
        name: "gradient of g 1 % off in a long batch",
        case: GLA,
        finder: "backward",
        alone: true,
        answer: |_, r| scale_after(r, "d_g", 0, if long(r) { 1.01 } else { 1.0 }),
    },
    Fault {
        name: "initial state ignored by long calls",
        case: GLA_FRESH,
        finder: "resume",
        alone: true,
        answer: |_, r| {
            if r.problem.size(Dim::T) > 8 { honest(&without_state(r)) } else { honest(r) }
        },
    },
    Fault {
        name: "state wrong when decoding",
        case: GLA_FRESH,
        finder: "decode",
        alone: true,
        answer: |_, r| {
            let decoding = r.problem.size(Dim::T) == 1 && r.inputs.contains_key("h0");
            scale_after(r, "ht", 0, if decoding { 0.99 } else { 1.0 })
        },
    },
    Fault {
        name: "state runs on into the next sequence",
        case: GLA,
        finder: "varlen",
        alone: true,
        answer: |_, r| run_on(r),
    },
    Fault { name: "heads leak a little", case: GLA, finder: "isolation", alone: true, answer: |_, r| leak(r) },
    Fault {
        name: "a later token decides the last bit",
        case: GLA,
        finder: "causality",
        alone: true,
        answer: |_, r| look_ahead(r),
    },
    Fault {
        name: "the second time is different",
        case: GLA,
        finder: "repeat",
        alone: true,
        answer: |memory, r| second_time(memory, r),
    },
    Fault {
        name: "an element is never written",
        case: GLA,
        finder: "poison",
        alone: true,
        answer: |_, r| unwritten(r),
    },
    Fault {
        name: "evaluation is a kernel of its own, 2 % off",
        case: MODEL,
        finder: "evaluation",
        alone: true,
        answer: |_, r| scale_after(r, "logits", 0, if r.mode == Mode::Evaluation { 1.02 } else { 1.0 }),
    },
    Fault {
        name: "what is computed once more is 1 % off",
        case: MODEL,
        finder: "recompute",
        alone: true,
        answer: |_, r| {
            let factor = if r.mode == Mode::Recompute { 1.01 } else { 1.0 };
            honest(&with_input(r, "model.norm.weight", |x| factor * x))
        },
    },
    Fault {
        name: "no decay",
        case: DELTA,
        finder: "forward",
        alone: false,
        answer: |_, r| honest(&with_input(r, "g", |_| 0.0)),
    },
    Fault { name: "no delta term", case: DELTA, finder: "forward", alone: false, answer: |_, r| no_delta(r) },
    Fault {
        name: "beta times 0.999",
        case: DELTA,
        finder: "forward",
        alone: false,
        answer: |_, r| honest(&with_input(r, "beta", |x| 0.999 * x)),
    },
    Fault {
        name: "beta times 0.999, gradients",
        case: DELTA,
        finder: "backward",
        alone: false,
        answer: |_, r| honest(&with_input(r, "beta", |x| 0.999 * x)),
    },
    Fault {
        name: "initial state ignored",
        case: DELTA,
        finder: "forward",
        alone: false,
        answer: |_, r| honest(&without_state(r)),
    },
    Fault {
        name: "gradient of the initial state is zero",
        case: DELTA,
        finder: "backward",
        alone: false,
        answer: |_, r| scale_after(r, "d_h0", 0, 0.0),
    },
    Fault {
        name: "cotangent of the final state ignored",
        case: DELTA,
        finder: "backward",
        alone: false,
        answer: |_, r| {
            let mut r = r.clone();
            r.cotangents.remove("d_ht");
            honest(&r)
        },
    },
    Fault {
        name: "outputs rounded once more, to bf16",
        case: SCAN,
        finder: "forward",
        alone: false,
        answer: |_, r| changed(r, |name, x| if name == "o" { DType::Bf16.round(x) } else { x }),
    },
    Fault {
        name: "1 % too large at bf16",
        case: "hgrn(B=2,T=70,D=12,dtype=bf16)",
        finder: "forward",
        alone: false,
        answer: |_, r| scale_after(r, "o", 0, 1.01),
    },
    Fault { name: "zeros", case: SCAN, finder: "forward", alone: false, answer: |_, r| changed(r, |_, _| 0.0) },
    Fault { name: "NaN", case: SCAN, finder: "backward", alone: false, answer: |_, r| changed(r, |_, _| f64::NAN) },
    Fault {
        name: "a wrong shape",
        case: SCAN,
        finder: "forward",
        alone: false,
        answer: |_, r| honest(r).into_iter().map(|(n, t)| (n, t.narrow(0, 0..1))).collect(),
    },
    Fault {
        name: "an output is missing",
        case: SCAN,
        finder: "forward",
        alone: false,
        answer: |_, r| honest(r).into_iter().filter(|(n, _)| n != "ht").collect(),
    },
    Fault {
        name: "time runs the wrong way",
        case: "simple_gla(T=40,reverse=true,absent=g_gamma)",
        finder: "resume",
        alone: false,
        answer: |_, r| {
            let mut r = r.clone();
            r.problem.attrs.remove("reverse");
            honest(&r)
        },
    },
];

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
        Abilities { fill: true, bench: false, evaluation: true, recompute: true }
    }

    fn call(&mut self, request: &Request) -> Reply {
        Reply::Done { tensors: (self.fault.answer)(&mut self.memory, request), ran: self.fault.name.to_owned() }
    }

    fn bench(&mut self, _: &BenchRequest) -> Result<Timing, Reply> {
        Err(Reply::Declined("not timed".to_owned()))
    }
}

/// The right answer.
pub(crate) fn honest(request: &Request) -> Tensors {
    match Reference::default().call(request) {
        Reply::Done { tensors, .. } => tensors,
        other => panic!("{other:?}"),
    }
}

/// Whether this is the whole batch of the case, in one call.
fn long(r: &Request) -> bool {
    r.problem.size(Dim::T) == 101 && r.problem.sequences.is_none()
}

fn changed(r: &Request, change: impl Fn(&str, f64) -> f64) -> Tensors {
    let map = |(name, t): (String, Tensor)| {
        let values = t.to_array().mapv(|x| change(&name, x));
        (name, Tensor::from_array(&values, t.dtype()))
    };
    honest(r).into_iter().map(map).collect()
}

/// `port` times `factor`, from token `start` on when it has tokens.
fn scale_after(r: &Request, port: &str, start: usize, factor: f64) -> Tensors {
    let mut answers = honest(r);
    if let Some(t) = answers.get_mut(port) {
        let mut values = t.to_array();
        let tail = values.slice_axis_mut(ndarray::Axis(1), ndarray::Slice::from(start.min(t.shape()[1])..));
        tail.into_iter().for_each(|x| *x *= factor);
        *t = Tensor::from_array(&values, t.dtype());
    }
    answers
}

fn with_input(r: &Request, port: &str, change: impl Fn(f64) -> f64) -> Request {
    let mut r = r.clone();
    if let Some(t) = r.inputs.get_mut(port) {
        *t = Tensor::from_array(&t.to_array().mapv(change), t.dtype());
    }
    r
}

fn without_state(r: &Request) -> Request {
    with_input(r, "h0", |_| 0.0)
}

/// A packing as if it were one sequence: every final state is the last, every initial one the first.
fn run_on(r: &Request) -> Tensors {
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

/// Adds a billionth of the next head to the first.
fn leak(r: &Request) -> Tensors {
    let mut answers = honest(r);
    if let Some(o) = answers.get_mut("o") {
        let mut values = o.to_array();
        let other = values.index_axis(ndarray::Axis(2), 1).to_owned();
        values.index_axis_mut(ndarray::Axis(2), 0).zip_mut_with(&other, |x, y| *x += 1e-9 * y);
        *o = Tensor::from_array(&values, o.dtype());
    }
    answers
}

/// The last bit of the first token's outputs is the parity of the last token's values.
fn look_ahead(r: &Request) -> Tensors {
    let mut answers = honest(r);
    if let (Some(o), true) = (answers.get_mut("o"), r.problem.size(Dim::T) > 1) {
        let v = &r.inputs["v"];
        let last = v.shape()[1] - 1;
        let later = v.narrow(1, last..last + 1).into_bytes();
        let mut first = o.narrow(1, 0..1).into_bytes();
        for (x, y) in first.chunks_mut(4).zip(later.chunks(4)) {
            let parity = y.iter().map(|b| b.count_ones()).sum::<u32>() & 1;
            x[0] = (x[0] & !1) | parity as u8;
        }
        let mut shape = o.shape().to_vec();
        shape[1] = 1;
        let first = Tensor::from_bytes(o.dtype(), &shape, first).expect("as many bytes as before");
        *o = Tensor::concat(1, &[&first, &o.narrow(1, 1..o.shape()[1])]).expect("they were one");
    }
    answers
}

/// A call that repeats the one before it gets another last bit.
fn second_time(memory: &mut Memory, r: &Request) -> Tensors {
    let same = |a: &Request| (&a.inputs, &a.cotangents, &a.want, a.fill) == (&r.inputs, &r.cotangents, &r.want, r.fill);
    let again = memory.last.as_ref().is_some_and(same);
    memory.last = Some(r.clone());
    if !again {
        return honest(r);
    }
    let flip = |t: Tensor| {
        let (dtype, shape, mut bytes) = (t.dtype(), t.shape().to_vec(), t.into_bytes());
        bytes[0] ^= 1;
        Tensor::from_bytes(dtype, &shape, bytes).expect("as many bytes as before")
    };
    honest(r).into_iter().map(|(name, t)| (name, flip(t))).collect()
}

/// The last element of `o` is whatever memory held, which is right by luck when nobody poisons it.
fn unwritten(r: &Request) -> Tensors {
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
fn no_delta(r: &Request) -> Tensors {
    let mut answers = honest(r);
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
