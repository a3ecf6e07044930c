//! Candidates that compute nothing, or half of it: what any rule should see through.

use reference::tensor::{DType, Tensor, Tensors};
use reports::record::Identity;

use super::table::Kind;
use crate::candidate::local::Reference;
use crate::candidate::remote::shape;
use crate::candidate::{Abilities, BenchRequest, Candidate, Reply, Request, Timing};

/// A candidate that is wrong by design.
#[derive(Debug)]
pub struct Null {
    /// What it does.
    pub name: &'static str,
    /// What is wrong with it.
    pub kind: Kind,
    answer: fn(&Request, &Tensors) -> Tensors,
}

/// All of them.
pub(super) static NULLS: &[Null] = &[
    Null { name: "zeros", kind: Kind::Semantic, answer: |r, _| each(r, |_, name| zeros(r, name)) },
    Null { name: "the answer before", kind: Kind::Semantic, answer: before },
    Null { name: "a copied input", kind: Kind::Semantic, answer: |r, _| each(r, |_, name| copied(r, name)) },
    Null {
        name: "right outputs, zero gradients",
        kind: Kind::Semantic,
        answer: |r, _| each(r, |right, name| if output(r, name) { right.clone() } else { zeros(r, name) }),
    },
    Null { name: "gradients of the sum of the outputs", kind: Kind::Semantic, answer: |r, _| of_the_sum(r) },
    Null {
        name: "right answers, rounded to bf16 whatever was asked",
        kind: Kind::Precision,
        answer: |r, _| each(r, |right, _| again(&again(right, DType::Bf16), right.dtype())),
    },
];

/// A null as a candidate for one op.
#[derive(Debug)]
pub(super) struct NullCandidate {
    null: &'static Null,
    last: Tensors,
    identity: Identity,
    ops: Vec<String>,
}

impl NullCandidate {
    /// The null, for every op there is.
    #[must_use]
    pub(super) fn new(null: &'static Null) -> Self {
        let ops = reference::specs().map(|s| s.name.to_owned()).collect();
        Self { null, last: Tensors::new(), identity: Identity::default(), ops }
    }
}

impl Candidate for NullCandidate {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn ops(&self) -> &[String] {
        &self.ops
    }

    fn abilities(&self) -> Abilities {
        Abilities { fill: true, bench: false }
    }

    fn call(&mut self, request: &Request) -> Reply {
        let tensors = (self.null.answer)(request, &self.last);
        self.last = honest(request);
        Reply::Done { tensors, ran: self.null.name.to_owned() }
    }

    fn bench(&mut self, _: &BenchRequest) -> Result<Timing, Reply> {
        Err(Reply::Declined("not timed".to_owned()))
    }
}

/// The right answer; none where the oracle declines.
fn honest(request: &Request) -> Tensors {
    match Reference::default().call(request) {
        Reply::Done { tensors, .. } => tensors,
        _ => Tensors::new(),
    }
}

fn each(request: &Request, answer: impl Fn(&Tensor, &str) -> Tensor) -> Tensors {
    honest(request).iter().map(|(name, right)| (name.clone(), answer(right, name))).collect()
}

fn output(request: &Request, name: &str) -> bool {
    request.problem.spec.output(name).is_some()
}

fn zeros(request: &Request, name: &str) -> Tensor {
    Tensor::filled(request.dtype, &shape(&request.problem, name).unwrap_or_default(), 0.0)
}

fn again(tensor: &Tensor, dtype: DType) -> Tensor {
    Tensor::from_array(&tensor.to_array(), dtype)
}

/// What was right for the call before, where it has the right shape.
fn before(request: &Request, last: &Tensors) -> Tensors {
    each(request, |right, name| match last.get(name).filter(|t| t.shape() == right.shape()) {
        Some(old) => old.clone(),
        None => zeros(request, name),
    })
}

/// The first input of the right shape.
fn copied(request: &Request, name: &str) -> Tensor {
    let wanted = shape(&request.problem, name).unwrap_or_default();
    let found = request.inputs.values().find(|t| t.shape() == wanted && t.dtype() != DType::I64);
    found.cloned().unwrap_or_else(|| zeros(request, name))
}

/// As if every cotangent were one.
fn of_the_sum(request: &Request) -> Tensors {
    let ones = |(name, t): (&String, &Tensor)| (name.clone(), Tensor::filled(t.dtype(), t.shape(), 1.0));
    let cotangents = request.cotangents.iter().map(ones).collect();
    honest(&Request { cotangents, ..request.clone() })
}
