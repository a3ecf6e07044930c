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
    /// Why nothing is.
    pub equivalent: Option<&'static str>,
    answer: fn(&Request, Option<&Request>) -> Tensors,
}

/// All of them.
pub(super) static NULLS: &[Null] = &[
    Null::wrong("zeros", |r, _| each(r, |name| zeros(r, name))),
    Null::wrong("the answer before", before),
    Null::wrong("a copied input", |r, _| each(r, |name| copied(r, name))),
    Null::wrong("right outputs, zero gradients", |r, _| outputs_alone(r)),
    Null::wrong("gradients of the sum of the outputs", |r, _| of_the_sum(r)),
    Null {
        kind: Kind::Precision,
        ..Null::wrong("right answers, rounded to bf16 whatever was asked", |r, _| {
            honest(r).into_iter().map(|(name, t)| (name, coarse(&t))).collect()
        })
    },
    Null {
        kind: Kind::Precision,
        equivalent: Some("the truth, rounded once to the type that was asked for, is the best answer that there is"),
        ..Null::wrong("right answers, rounded as they are stored", |r, _| honest(r))
    },
];

impl Null {
    const fn wrong(name: &'static str, answer: fn(&Request, Option<&Request>) -> Tensors) -> Self {
        Self { name, kind: Kind::Semantic, equivalent: None, answer }
    }
}

/// A null as a candidate for one op.
#[derive(Debug)]
pub(super) struct NullCandidate {
    null: &'static Null,
    last: Option<Request>,
    identity: Identity,
    ops: Vec<String>,
}

impl NullCandidate {
    /// The null, for every op there is.
    #[must_use]
    pub(super) fn new(null: &'static Null) -> Self {
        let ops = reference::specs().map(|s| s.name.to_owned()).collect();
        Self { null, last: None, identity: Identity::default(), ops }
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
        Abilities { fill: true, ..Abilities::default() }
    }

    fn call(&mut self, request: &Request) -> Reply {
        let tensors = (self.null.answer)(request, self.last.as_ref());
        self.last = Some(request.clone());
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

fn each(request: &Request, answer: impl Fn(&str) -> Tensor) -> Tensors {
    request.want.iter().map(|name| (name.clone(), answer(name))).collect()
}

fn zeros(request: &Request, name: &str) -> Tensor {
    Tensor::filled(request.dtype, &shape(&request.problem, name).unwrap_or_default(), 0.0)
}

/// As `bf16` holds it.
fn coarse(tensor: &Tensor) -> Tensor {
    Tensor::from_array(&Tensor::from_array(&tensor.to_array(), DType::Bf16).to_array(), tensor.dtype())
}

/// What was right for the call before, where it has the right shape.
fn before(request: &Request, last: Option<&Request>) -> Tensors {
    let old = last.map(honest).unwrap_or_default();
    let fitting = |name: &str| old.get(name).filter(|t| Some(t.shape()) == shape(&request.problem, name).as_deref());
    each(request, |name| fitting(name).cloned().unwrap_or_else(|| zeros(request, name)))
}

/// The first input of the right shape.
fn copied(request: &Request, name: &str) -> Tensor {
    let wanted = shape(&request.problem, name).unwrap_or_default();
    let found = request.inputs.values().find(|t| t.shape() == wanted && t.dtype() != DType::I64);
    found.cloned().unwrap_or_else(|| zeros(request, name))
}

fn outputs_alone(request: &Request) -> Tensors {
    let mut forward = request.clone();
    forward.want.retain(|name| request.problem.spec.output(name).is_some());
    let right = honest(&forward);
    each(request, |name| right.get(name).cloned().unwrap_or_else(|| zeros(request, name)))
}

/// As if every cotangent were one.
fn of_the_sum(request: &Request) -> Tensors {
    let ones = |(name, t): (&String, &Tensor)| (name.clone(), Tensor::filled(t.dtype(), t.shape(), 1.0));
    let cotangents = request.cotangents.iter().map(ones).collect();
    honest(&Request { cotangents, ..request.clone() })
}
