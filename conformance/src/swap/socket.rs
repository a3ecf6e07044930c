//! Layers of a run that candidates answer.

use std::collections::BTreeSet;

use ndarray::ArrayD;
use reference::problem::Problem;
use reference::tap::{Question, Tap};
use reference::tensor::{Arrays, DType, Tensor, Tensors};
use reports::verdict::Verdict;

use crate::candidate::{Candidate, Fill, Mode, Reply, Request};
use crate::examine::answer;
use crate::step::Watch;

/// A candidate in the place of one layer.
pub struct Plug {
    /// The layer, from 0.
    pub layer: usize,
    /// The candidate.
    pub candidate: Box<dyn Candidate>,
    /// The only spec to hand over; what the candidate has, the outermost first, when not given.
    pub only: Option<String>,
    /// What was asked and answered, in order.
    pub exchanges: Vec<Exchange>,
    /// Specs that the layer asks and the candidate was not given.
    pub kept: BTreeSet<&'static str>,
    /// Why it was not asked any more.
    pub failure: Option<Failure>,
}

/// An answer that did not come.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The spec that was asked.
    pub spec: &'static str,
    /// Whether gradients were.
    pub back: bool,
    /// What came instead.
    pub verdict: Verdict,
}

/// One question and its answers.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Values.
    pub forward: (Request, Tensors),
    /// Gradients; none when nothing that it was asked about varies.
    pub backward: Option<(Request, Tensors)>,
    varying: Vec<String>,
}

impl Plug {
    /// A candidate that has not been asked yet.
    #[must_use]
    pub fn new(layer: usize, candidate: Box<dyn Candidate>, only: Option<String>) -> Self {
        Self { layer, candidate, only, exchanges: Vec::new(), kept: BTreeSet::new(), failure: None }
    }

    fn takes(&self, spec: &str) -> bool {
        let wanted = self.only.as_deref().is_none_or(|only| only == spec);
        wanted && self.candidate.ops().iter().any(|op| op == spec)
    }

    /// The answer to a request, or `None` after a failure, which is kept.
    fn ask(&mut self, request: &Request) -> Option<Tensors> {
        // on a thread of its own: a candidate in this process may use the tape that this thread is recording on
        let candidate = &mut self.candidate;
        let reply = std::thread::scope(|scope| scope.spawn(|| candidate.call(request)).join());
        let reply = reply.unwrap_or_else(|_| Reply::Crashed("panicked".to_owned()));
        let back = !request.cotangents.is_empty();
        match answer(request, reply, usize::from(back)) {
            Ok((tensors, _)) => Some(tensors),
            Err(verdict) => {
                self.failure = Some(Failure { spec: request.problem.spec.name, back, verdict: *verdict });
                None
            }
        }
    }

    fn forward(&mut self, question: &Question<'_>, dtype: DType) -> Option<Arrays> {
        let request = request(question, dtype);
        let tensors = self.ask(&request)?;
        let produced = question.problem.produced().map(|p| {
            let zeros = || ArrayD::zeros(question.problem.shape(p));
            (p.name.to_owned(), tensors.get(p.name).map_or_else(zeros, Tensor::to_array))
        });
        let answers = produced.collect();
        let varying = question.varying.iter().map(|name| format!("d_{name}")).collect();
        self.exchanges.push(Exchange { forward: (request, tensors), backward: None, varying });
        Some(answers)
    }

    fn backward(&mut self, number: usize, cotangents: &Arrays) -> Arrays {
        let exchange = &self.exchanges[number];
        let mut request = exchange.forward.0.clone();
        request.want.clone_from(&exchange.varying);
        let seed = |(name, a): (&String, &ArrayD<f64>)| {
            let port = request.problem.outputs().find(|p| format!("d_{}", p.name) == *name && p.differentiable)?;
            // a missing cotangent is zero
            let some = a.iter().any(|x| x.abs() > 0.0);
            some.then(|| (name.clone(), Tensor::from_array(a, Problem::dtype(port, request.dtype))))
        };
        request.cotangents = cotangents.iter().filter_map(seed).collect();
        if self.failure.is_some() || request.want.is_empty() || request.cotangents.is_empty() {
            return Arrays::new();
        }
        let Some(tensors) = self.ask(&request) else { return Arrays::new() };
        let gradients = tensors.iter().map(|(name, t)| (name.clone(), t.to_array())).collect();
        self.exchanges[number].backward = Some((request, tensors));
        gradients
    }
}

/// The question as it travels. States that a layer starts from nothing with are not given.
fn request(question: &Question<'_>, dtype: DType) -> Request {
    let mut problem = question.problem.clone();
    let nothing = |name: &str| {
        let zeros = |a: &ArrayD<f64>| a.iter().all(|x| x.to_bits() == 0f64.to_bits());
        !question.varying.contains(name) && question.inputs.get(name).is_some_and(zeros)
    };
    let states = problem.spec.states.iter().map(|s| s.initial);
    let fresh: Vec<&'static str> = states.filter(|name| nothing(name)).collect();
    problem.absent.extend(fresh);
    let tensor = |name: &str, dtype| question.inputs.get(name).map(|a| (name.to_owned(), Tensor::from_array(a, dtype)));
    let inputs = problem.inputs().filter_map(|p| tensor(p.name, Problem::dtype(p, dtype))).collect();
    let want = problem.outputs().map(|p| p.name.to_owned()).collect();
    Request { problem, dtype, inputs, cotangents: Tensors::new(), want, fill: Fill::Any, mode: Mode::Any }
}

/// What is attached to a run: it watches, and hands the questions of some layers over.
#[derive(Default)]
pub struct Socket {
    /// What was seen.
    pub watch: Watch,
    /// The candidates.
    pub plugs: Vec<Plug>,
    /// Storage type of what travels.
    dtype: Option<DType>,
    /// The layer whose mixer runs.
    inside: Option<usize>,
    /// Plug and exchange of each answer.
    given: Vec<(usize, usize)>,
}

impl Socket {
    /// A socket with these candidates, which are asked in `dtype`.
    #[must_use]
    pub fn new(plugs: Vec<Plug>, dtype: DType) -> Self {
        Self { plugs, dtype: Some(dtype), ..Self::default() }
    }
}

impl Tap for Socket {
    fn pass(&mut self, place: &str, values: ArrayD<f64>) {
        let layer = |end: &str| place.strip_prefix("layers.")?.strip_suffix(end)?.parse::<usize>().ok();
        if layer(".norm").is_some() {
            self.inside = layer(".norm");
        } else if layer(".mixer").is_some() {
            self.inside = None;
        }
        self.watch.pass(place, values);
    }

    fn back(&mut self, place: &str, gradient: ArrayD<f64>) {
        self.watch.back(place, gradient);
    }

    fn answer(&mut self, question: &Question<'_>) -> Option<(usize, Arrays)> {
        let at = self.plugs.iter().position(|p| Some(p.layer) == self.inside)?;
        let (plug, spec) = (&mut self.plugs[at], question.problem.spec.name);
        if !plug.takes(spec) || plug.failure.is_some() {
            plug.kept.insert(spec);
            return None;
        }
        let answers = plug.forward(question, self.dtype?)?;
        self.given.push((at, plug.exchanges.len() - 1));
        Some((self.given.len() - 1, answers))
    }

    fn pull(&mut self, number: usize, cotangents: Arrays) -> Arrays {
        let (plug, exchange) = self.given[number];
        self.plugs[plug].backward(exchange, &cotangents)
    }
}
