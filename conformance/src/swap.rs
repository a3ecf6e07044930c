//! Staged replacement: one layer of an exact model through a candidate, and where the model starts to differ.
//!
//! Everything but the replaced layer stays exact. The candidate is asked, in the storage type of the case, for the
//! layer itself where it has it, else for each op of the layer that it has, and for their gradients. Its own answers
//! are judged as any answer is, on the numbers that it got; then everything that follows, in units of what the declared
//! precision costs the whole model: the residual stream after each block, logits, loss, and, backwards, every gradient.

mod page;
mod socket;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::rc::Rc;
use std::str::FromStr;
use std::time::Duration;

use reference::spec::OpSpec;
use reference::tensor::{DType, Tensor};
use reports::record::Identity;
use reports::verdict::{Measure, Verdict};
use serde::Serialize;

use crate::candidate::open::{OpenError, OpenOptions, open};
use crate::check::single;
use crate::cli::SwapArgs;
use crate::environment;
use crate::examine::truth_of;
use crate::measure::Standard;
use crate::report::sentence;
use crate::sheet;
use crate::step::{self, Step, Trace};

pub use socket::{Exchange, Failure, Plug, Socket};

/// A replacement that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a model, or no step of one.
    #[error(transparent)]
    Step(#[from] step::Error),
    /// The candidate cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A layer that the model does not have.
    #[error("{model} has no layer {layer}, expected 0 to {}", depth - 1)]
    Layer {
        /// The model.
        model: &'static str,
        /// What was asked for.
        layer: usize,
        /// Layers it has.
        depth: usize,
    },
    /// One layer, two candidates.
    #[error("layer {layer} is replaced twice")]
    Twice {
        /// The layer.
        layer: usize,
    },
    /// A candidate for something else.
    #[error("layer {layer} asks {asked}; {candidate} has {}", if only.is_empty() { "none of them" } else { only })]
    Lacks {
        /// The layer.
        layer: usize,
        /// Specs that it asks.
        asked: String,
        /// The candidate.
        candidate: String,
        /// What it was meant to be asked.
        only: String,
    },
    /// A question that the oracle cannot answer.
    #[error(transparent)]
    Oracle(#[from] reference::error::Error),
    /// The report cannot be written.
    #[error(transparent)]
    Sheet(#[from] sheet::Error),
}

impl Error {
    /// 2 bad usage or input, 3 the environment lacks what was asked for.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Open(e) => e.exit_code(),
            _ => 2,
        }
    }
}

/// Which layer through whom: `1=cpu`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// The layer, from 0.
    pub layer: usize,
    /// The candidate as it is asked for.
    pub candidate: String,
}

impl FromStr for Swap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('=').and_then(|(layer, name)| Some((layer.trim().parse().ok()?, name.trim())));
        match parsed {
            Some((layer, name)) if !name.is_empty() => Ok(Self { layer, candidate: name.to_owned() }),
            _ => Err(format!("{text:?} is not LAYER=CANDIDATE, for example 1=cpu")),
        }
    }
}

/// One judged thing, in the order in which the run makes them.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// A place, an output, or `d_` and what a gradient is by; for an answer the layer, the spec and the port.
    pub place: String,
    /// `answer`: the candidate's own, on the numbers that it got. Of the model: see
    /// [`Quantity::kind`](step::Quantity::kind).
    pub kind: &'static str,
    /// How far it is.
    pub verdict: Verdict,
    /// Its worst statistic, where there is one.
    pub worst: Option<Measure>,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// The case.
    pub case: String,
    /// Who answered which layer, and which of its specs.
    pub swapped: Vec<(usize, Identity, Vec<&'static str>)>,
    /// Everything that was judged.
    pub rows: Vec<Row>,
    /// The mean loss, exact and with the candidate.
    pub loss: [f64; 2],
}

impl Outcome {
    /// The first that is beyond its limit.
    #[must_use]
    pub fn first(&self) -> Option<&Row> {
        self.rows.iter().find(|r| r.failed())
    }
}

impl Row {
    /// Error over limit.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        self.worst.as_ref().map(ratio)
    }

    /// Whether it is beyond its limit, or there is no answer.
    #[must_use]
    pub const fn failed(&self) -> bool {
        matches!(self.verdict, Verdict::Fail { .. } | Verdict::Declined { .. })
    }
}

/// `fla-conformance swap`.
///
/// # Errors
/// See [`enum@Error`].
pub fn command(args: &SwapArgs) -> Result<ExitCode, Error> {
    let step = Step::parse(&args.model)?;
    // a mistake is told before anybody is started
    seats(step.case.problem.spec, args.swap.iter().map(|s| s.layer))?;
    let options = OpenOptions { timeout: Duration::from_secs(args.timeout), ..OpenOptions::default() };
    let mut plugs = Vec::new();
    for Swap { layer, candidate } in &args.swap {
        plugs.push(Plug::new(*layer, open(candidate, &options)?, args.only.clone()));
    }
    eprintln!("one exact step of {}, and {} rounded ones for its floor", step.case, crate::measure::SAMPLES + 1);
    let outcome = swap(&step, plugs)?;
    let page = page::page(&outcome, &environment::here().command);
    sheet::deliver(&args.out, "swap", &page, &outcome.rows, args.json, &page::text(&outcome))?;
    Ok(if outcome.first().is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Replaces layers of a step, and judges what comes of it.
///
/// # Errors
/// A layer that is not there, is replaced twice, or asks nothing that its candidate has.
pub fn swap(step: &Step, plugs: Vec<Plug>) -> Result<Outcome, Error> {
    seats(step.case.problem.spec, plugs.iter().map(|p| p.layer))?;
    let socket = Rc::new(RefCell::new(Socket::new(plugs, step.case.dtype)));
    let answer = step.with(None, Rc::clone(&socket) as _)?;
    let Socket { watch, plugs, .. } = socket.take();
    for plug in &plugs {
        answered(plug)?;
    }
    let trace = step.trace(watch.places(), answer);
    let (exact, standards) = step.standards()?;
    let loss = [exact.loss, trace.loss];
    let rows = judged(step, &trace, &standards, &plugs)?;
    let who = |p: &Plug| (p.layer, p.candidate.identity().clone(), specs(p));
    Ok(Outcome { case: step.case.to_string(), swapped: plugs.iter().map(who).collect(), rows, loss })
}

/// Whether the model has these layers, and each of them once.
fn seats(spec: &OpSpec, layers: impl IntoIterator<Item = usize>) -> Result<(), Error> {
    let (depth, mut taken) = (depth(spec), BTreeSet::new());
    for layer in layers {
        if layer >= depth {
            return Err(Error::Layer { model: spec.name, layer, depth });
        }
        if !taken.insert(layer) {
            return Err(Error::Twice { layer });
        }
    }
    Ok(())
}

/// Layers of a model, as the names of its parameters tell.
fn depth(spec: &OpSpec) -> usize {
    let layer = |name: &str| name.split_once("layers.")?.1.split('.').next()?.parse::<usize>().ok();
    spec.inputs.iter().filter_map(|p| layer(p.name)).max().map_or(0, |last| last + 1)
}

/// Whether a candidate was asked anything.
fn answered(plug: &Plug) -> Result<(), Error> {
    if plug.failure.is_some() || !plug.exchanges.is_empty() {
        return Ok(());
    }
    let candidate = plug.candidate.identity().name.clone();
    let asked = plug.kept.iter().copied().collect::<Vec<_>>().join(", ");
    let only = plug.only.as_ref().map_or_else(String::new, |only| format!("no {only} to give it"));
    Err(Error::Lacks { layer: plug.layer, asked, candidate, only })
}

fn specs(plug: &Plug) -> Vec<&'static str> {
    let mut specs: Vec<&'static str> = plug.exchanges.iter().map(|e| e.forward.0.problem.spec.name).collect();
    specs.dedup();
    specs
}

/// Every row, the candidates' own answers where the run meets them.
fn judged(step: &Step, trace: &Trace, standards: &[Standard], plugs: &[Plug]) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for (quantity, standard) in step.quantities(trace).into_iter().zip(standards) {
        let own = |end: &str| plugs.iter().find(|p| quantity.name == format!("{end}layers.{}.mixer", p.layer));
        if let Some(plug) = own("") {
            rows.extend(answers(plug, false)?);
        }
        let verdict = single(standard, &Tensor::from_array(&quantity.values, DType::F64));
        rows.push(Row { worst: worst(&verdict), place: quantity.name.clone(), kind: quantity.kind, verdict });
        if let Some(plug) = own("d_") {
            rows.extend(answers(plug, true)?);
        }
    }
    Ok(rows)
}

fn worst(verdict: &Verdict) -> Option<Measure> {
    match verdict {
        Verdict::Pass { measures } => measures.iter().max_by(|a, b| ratio(a).total_cmp(&ratio(b))).cloned(),
        Verdict::Fail { fault: reports::verdict::Fault::Inaccurate { worst, .. }, .. } => Some(worst.clone()),
        _ => None,
    }
}

fn ratio(measure: &Measure) -> f64 {
    if measure.error.is_nan() { f64::INFINITY } else { measure.error / measure.bound }
}

/// A candidate's answers, forwards or backwards: the worst over the sequences for each spec and port, and what ended
/// it.
fn answers(plug: &Plug, back: bool) -> Result<Vec<Row>, Error> {
    let mut rows: Vec<Row> = Vec::new();
    let place = |spec: &str, port: &str| format!("layers.{} {spec} {port}", plug.layer);
    for exchange in &plug.exchanges {
        let answered = if back { exchange.backward.as_ref() } else { Some(&exchange.forward) };
        let Some((request, tensors)) = answered else { continue };
        let truth = truth_of(request);
        let standards = if back { truth.gradients(&request.cotangents)? } else { truth.outputs()? };
        for (name, tensor) in tensors {
            let Some(standard) = standards.get(name) else { continue };
            let verdict = single(standard, tensor);
            let place = place(request.problem.spec.name, name);
            let row = Row { worst: worst(&verdict), place, kind: "answer", verdict };
            match rows.iter_mut().find(|r| r.place == row.place) {
                Some(other) if excess(&row) > excess(other) => *other = row,
                Some(_) => {}
                None => rows.push(row),
            }
        }
    }
    if let Some(Failure { spec, verdict, .. }) = plug.failure.as_ref().filter(|f| f.back == back) {
        let place = place(spec, if back { "gradients" } else { "outputs" });
        rows.push(Row { place, kind: "answer", verdict: verdict.clone(), worst: None });
    }
    Ok(rows)
}

/// How bad a row is: a sequence that fails outweighs those that pass.
fn excess(row: &Row) -> f64 {
    match (&row.verdict, row.ratio()) {
        (Verdict::Pass { .. }, Some(ratio)) => ratio,
        (Verdict::Fail { .. }, Some(ratio)) => ratio.max(1.0),
        (Verdict::Fail { .. } | Verdict::Declined { .. }, None) => f64::INFINITY,
        _ => 0.0,
    }
}

/// What a row says, in a sentence.
fn says(row: &Row) -> String {
    match &row.verdict {
        Verdict::Pass { .. } => String::new(),
        other => sentence(other),
    }
}
