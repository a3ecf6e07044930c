//! Upstream's parameters: their names and shapes, and which parts of them are which ports.

use std::ops::Range;

use super::Stack;
use crate::models::Stage;
use crate::models::skeleton::{Home, Kind, embedding};
use crate::problem::Problem;
use crate::spec::{Dim, Port};

/// A parameter of upstream's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its state-dict key.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Whether it is no weight but a count, which nothing reads here.
    pub count: bool,
}

/// A port that is a weight, and the parameters from which its elements come, one after the other.
#[derive(Debug, Clone)]
pub struct Weight {
    /// The port.
    pub port: &'static Port,
    /// The port's shape.
    pub shape: Vec<usize>,
    /// Where its elements are, in row-major order.
    pub sources: Vec<Source>,
}

/// A run of elements of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The parameter's state-dict key.
    pub tensor: String,
    /// Its elements.
    pub elements: Range<usize>,
}

impl Stack {
    /// Every parameter that a checkpoint must have, in the order of the ports.
    #[must_use]
    pub fn tensors(&self) -> Vec<Tensor> {
        let mut tensors: Vec<Tensor> = Vec::new();
        for port in self.ports() {
            for (name, shape) in self.parameters(port) {
                match tensors.iter_mut().rfind(|t| t.name == name) {
                    // another part of the same parameter: they lie one after the other along its first axis
                    Some(whole) => whole.shape[0] += shape[0],
                    None => tensors.push(Tensor { name, shape, count: false }),
                }
            }
        }
        let counts = self.model.counts().iter();
        tensors.extend(counts.map(|name| Tensor { name: (*name).to_owned(), shape: Vec::new(), count: true }));
        tensors
    }

    /// The weights that a part of the stack reads.
    #[must_use]
    pub fn weights(&self, stage: Stage) -> Vec<Weight> {
        ports(&self.problem, stage).map(|port| self.weight(port)).collect()
    }

    /// Every weight, once.
    #[must_use]
    pub fn all_weights(&self) -> Vec<Weight> {
        self.ports().map(|port| self.weight(port)).collect()
    }

    fn ports(&self) -> impl Iterator<Item = &'static Port> + '_ {
        self.problem.inputs().filter(|port| is_weight(port))
    }

    fn weight(&self, port: &'static Port) -> Weight {
        let sources = self.parameters(port).into_iter().map(|(tensor, shape)| {
            let count: usize = shape.iter().product();
            let start = self.before(port);
            Source { tensor, elements: start..start + count }
        });
        Weight { port, shape: self.problem.shape(port), sources: sources.collect() }
    }
}

impl Stack {
    /// Name and shape of the parameters that make up a port: one, or of a list of modules one for each.
    fn parameters(&self, port: &Port) -> Vec<(String, Vec<usize>)> {
        let mut shape = self.problem.merged(port);
        let mut name = base(port.name).to_owned();
        for (end, instead) in &self.renamed {
            if let Some(start) = name.strip_suffix(end) {
                name = format!("{start}{instead}");
            }
        }
        if !name.contains('*') {
            return vec![(name, shape)];
        }
        let count = self.problem.shape(port).first().copied().unwrap_or(1);
        shape[0] /= count;
        (0..count).map(|i| (name.replace('*', &i.to_string()), shape.clone())).collect()
    }

    /// Elements of the same parameter that belong to the ports before.
    fn before(&self, port: &Port) -> usize {
        let earlier = self.problem.inputs().take_while(|p| p.name != port.name);
        let mine = earlier.filter(|p| base(p.name) == base(port.name));
        mine.map(|p| self.problem.shape(p).iter().product::<usize>()).sum()
    }
}

/// Whether an input is a weight: neither tokens nor a state.
#[must_use]
pub(crate) fn is_weight(port: &Port) -> bool {
    !port.dims.iter().any(|d| matches!(d, Dim::B | Dim::N | Dim::T))
}

fn base(name: &str) -> &str {
    name.split('[').next().unwrap_or(name)
}

/// The weights that a part of a stack reads, as ports.
pub(crate) fn ports(problem: &Problem, stage: Stage) -> impl Iterator<Item = &'static Port> + '_ {
    let (kind, tied) = (Kind::of(problem.spec.name), problem.flag("tie_word_embeddings"));
    let shared = tied.then(|| embedding(kind.trunk()));
    let reads = move |port: &&'static Port| match (kind.home(problem.spec, port.name), stage) {
        (Home::Block(home), Stage::Block(layer)) => home == layer,
        (Home::Blocks, Stage::Block(_)) | (Home::Embedding, Stage::Embedding) | (Home::Head, Stage::Head) => true,
        // the head is the embedding
        (Home::Embedding, Stage::Head) => shared.as_deref() == Some(port.name),
        _ => false,
    };
    problem.inputs().filter(|port| is_weight(port)).filter(reads)
}
