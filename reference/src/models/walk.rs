//! A stack taken part by part: the weights of one part at a time, and further tokens of sequences that have begun.
//!
//! What earlier tokens left to a block is its states. A layer without states, softmax attention for one, reads all
//! earlier tokens again: what is kept of them is what the layer has read, from which it makes its keys and values anew.
//! That costs a decoding step the projections of the whole sequence, and needs nothing besides the layer's own
//! function.

use std::sync::Arc;

use ndarray::{Array1, Array2, ArrayD, Axis};

use super::Stage;
use super::config::ports;
use super::decoder::logits;
use super::skeleton::{Kind, Memory, Skeleton, each, embedding};
use crate::error::Error;
use crate::modules::cross_entropy::{Options, losses};
use crate::problem::Problem;
use crate::real::Real;
use crate::spec::{Dim, Port};
use crate::unit::{Parts, Unit};

/// Where weights come from, part by part.
pub trait Weights<F> {
    /// Why they do not come.
    type Error: From<Error>;

    /// Does something with the weights of one part: an array of every port of [`Walk::ports`].
    ///
    /// # Errors
    /// Weights that do not come.
    fn with<R>(&mut self, stage: Stage, act: impl FnOnce(&mut Parts<F>) -> R) -> Result<R, Self::Error>;
}

/// A model whose question is known to be valid, of whatever length.
#[derive(Debug)]
pub struct Walk {
    problem: Problem,
    kind: Kind,
    /// The states of each block: inputs, and the outputs from which it resumes, in the order in which it gives them.
    states: Vec<Vec<&'static Port>>,
}

type States<F> = Arc<Parts<F>>;

/// What the tokens of one sequence so far left behind. A clone is a fork: each goes on by itself.
#[derive(Debug, Clone)]
pub struct Cache<F> {
    tokens: usize,
    states: Vec<Option<States<F>>>,
    /// What layers without states have read.
    memory: Memory<F>,
    /// The tokens themselves, where a stack reads them again.
    ids: Vec<usize>,
    /// Whether nothing has states.
    stateless: bool,
    /// Earlier ends, and the states there, the latest last.
    earlier: Vec<(usize, Vec<Option<States<F>>>)>,
    most: usize,
}

/// A place to which a cache cannot go back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no states are kept of {asked} tokens, only of {known:?}")]
pub struct Forgotten {
    /// The tokens asked for.
    pub asked: usize,
    /// Numbers of tokens of which there are states.
    pub known: Vec<usize>,
}

impl<F: Real> Cache<F> {
    /// How many tokens it has seen.
    #[must_use]
    pub const fn tokens(&self) -> usize {
        self.tokens
    }

    /// Goes back to what it was after so many tokens: the end of an earlier reading, or, where no block has states,
    /// any.
    ///
    /// # Errors
    /// A place of which nothing is kept.
    pub fn roll_back(&mut self, tokens: usize) -> Result<(), Forgotten> {
        if tokens == self.tokens {
            return Ok(());
        }
        let known = || self.earlier.iter().map(|(end, _)| *end).chain([self.tokens]).collect();
        match self.earlier.iter().rposition(|(end, _)| *end == tokens) {
            Some(found) => {
                self.states = self.earlier[found].1.clone();
                self.earlier.truncate(found);
            }
            None if self.stateless && tokens < self.tokens => {
                self.earlier.retain(|(end, _)| *end < tokens);
            }
            None => return Err(Forgotten { asked: tokens, known: known() }),
        }
        self.memory.truncate(tokens);
        self.ids.truncate(tokens);
        self.tokens = tokens;
        Ok(())
    }

    /// Remembers where it is before it reads on.
    fn mark(&mut self) {
        self.earlier.push((self.tokens, self.states.clone()));
        let over = self.earlier.len().saturating_sub(self.most);
        self.earlier.drain(..over);
    }
}

impl Walk {
    /// A walk through the stack that a problem of any number of tokens asks about.
    ///
    /// # Errors
    /// A problem that is not valid.
    ///
    /// # Panics
    /// When the problem is not about a model.
    pub fn new(problem: &Problem) -> Result<Self, Error> {
        problem.validate()?;
        let kind = Kind::of(problem.spec.name);
        let initial = |[initial, last]: [String; 2]| {
            problem.spec.output(&last)?;
            problem.spec.input(&initial)
        };
        let states = |layer| kind.states(problem.spec, layer).into_iter().filter_map(initial).collect();
        let states = (0..kind.depth(problem.spec)).map(states).collect();
        Ok(Self { problem: problem.clone(), kind, states })
    }

    /// The parts of the stack, in order.
    pub fn stages(&self) -> impl Iterator<Item = Stage> + use<> {
        let blocks = (0..self.states.len()).map(Stage::Block);
        [Stage::Embedding].into_iter().chain(blocks).chain([Stage::Head])
    }

    /// The weights that a part reads.
    pub fn ports(&self, stage: Stage) -> impl Iterator<Item = &'static Port> + '_ {
        ports(&self.problem, stage)
    }

    /// What no token has left behind yet; it will remember so many earlier ends.
    #[must_use]
    pub fn cache<F: Real>(&self, most: usize) -> Cache<F> {
        let stateless = self.states.iter().all(Vec::is_empty);
        let (states, earlier) = (vec![None; self.states.len()], Vec::new());
        Cache { tokens: 0, states, memory: Memory::empty(), ids: Vec::new(), stateless, earlier, most }
    }

    /// The logits of every token of several sequences, each `[T, S]`; each goes on from its cache, where there is one.
    /// `passed` is told of every part that is done.
    ///
    /// # Errors
    /// A token that the vocabulary does not have, or more tokens than the model has room for, before anything is read;
    /// weights that do not come, after which caches are worth nothing.
    ///
    /// # Panics
    /// When there are caches, but not one for each sequence.
    pub fn logits<F: Real, W: Weights<F>>(
        &self,
        sequences: &[&[usize]],
        caches: &mut [Cache<F>],
        weights: &mut W,
        passed: impl FnMut(Stage),
    ) -> Result<Vec<Array2<F>>, W::Error> {
        assert!(caches.is_empty() || caches.len() == sequences.len(), "a cache for each sequence, or none");
        for (i, ids) in sequences.iter().enumerate() {
            self.check(ids, caches.get(i).map_or(0, Cache::tokens))?;
        }
        caches.iter_mut().for_each(Cache::mark);
        each!(self.kind, skeleton => self.through(skeleton, sequences, caches, weights, passed))
    }

    fn through<S: Skeleton, F: Real, W: Weights<F>>(
        &self,
        skeleton: &S,
        sequences: &[&[usize]],
        caches: &mut [Cache<F>],
        weights: &mut W,
        mut passed: impl FnMut(Stage),
    ) -> Result<Vec<Array2<F>>, W::Error> {
        let read: Vec<Vec<usize>> = sequences
            .iter()
            .enumerate()
            .map(|(i, ids)| {
                let before = caches.get_mut(i).filter(|_| S::AGAIN);
                before.map_or_else(
                    || ids.to_vec(),
                    |cache| {
                        cache.ids.extend(*ids);
                        cache.ids.clone()
                    },
                )
            })
            .collect();
        // a sequence that does not go on is not read
        let going: Vec<usize> = (0..sequences.len()).filter(|&i| !sequences[i].is_empty()).collect();
        let enter = |parts: &mut Parts<F>| going.iter().map(|&i| self.enter(skeleton, &read[i], parts)).collect();
        let mut flows: Vec<S::Flow<F>> = weights.with(Stage::Embedding, enter)?;
        passed(Stage::Embedding);
        for layer in 0..self.states.len() {
            weights.with(Stage::Block(layer), |parts| {
                for (&i, flow) in going.iter().zip(&mut flows) {
                    self.block(skeleton, read[i].len(), layer, flow, caches.get_mut(i), parts);
                }
            })?;
            passed(Stage::Block(layer));
        }
        let head = |parts: &mut Parts<F>| {
            let mut logits = vec![Array2::from_elem((0, self.problem.size(Dim::S)), F::zero()); sequences.len()];
            for (&i, flow) in going.iter().zip(&flows) {
                logits[i] = self.head(skeleton, read[i].len(), sequences[i].len(), flow, parts);
            }
            logits
        };
        let logits = weights.with(Stage::Head, head)?;
        passed(Stage::Head);
        caches.iter_mut().zip(sequences).for_each(|(cache, ids)| cache.tokens += ids.len());
        Ok(logits)
    }

    /// Whether these tokens can follow so many.
    fn check(&self, ids: &[usize], before: usize) -> Result<(), Error> {
        let below = self.problem.size(Dim::S);
        if let Some(at) = ids.iter().position(|&id| id >= below) {
            let (op, got) = (self.problem.spec.name, ids[at].to_string());
            return Err(Error::Index { op, port: "input_ids", at: vec![at], got, below });
        }
        let mut all = self.problem.clone();
        all.sizes.insert(Dim::T, before + ids.len());
        all.validate()
    }

    /// Something at a unit that sees these inputs, which come back.
    fn at<F: Real, R>(&self, tokens: usize, parts: &mut Parts<F>, act: impl FnOnce(&Unit<'_, F>) -> R) -> R {
        let inputs = std::mem::take(parts);
        let unit = Unit { problem: &self.problem, tokens, asked: 0..tokens, fixed: &[], inputs };
        let result = act(&unit);
        *parts = unit.inputs;
        result
    }

    fn enter<S: Skeleton, F: Real>(&self, skeleton: &S, ids: &[usize], parts: &mut Parts<F>) -> S::Flow<F> {
        let symbols: Array1<F> = ids.iter().map(|&id| F::from_f64(id as f64)).collect();
        parts.insert("input_ids", symbols.into_dyn());
        self.at(ids.len(), parts, |x| skeleton.enter(x))
    }

    fn block<S: Skeleton, F: Real>(
        &self,
        skeleton: &S,
        tokens: usize,
        layer: usize,
        flow: &mut S::Flow<F>,
        mut cache: Option<&mut Cache<F>>,
        parts: &mut Parts<F>,
    ) {
        let before = cache.as_ref().and_then(|cache| cache.states[layer].clone());
        let initial = &self.states[layer];
        for port in initial {
            let state = before.as_ref().and_then(|states| states.get(port.name).cloned());
            parts.insert(port.name, state.unwrap_or_else(|| self.neutral(port)));
        }
        let mut none = Memory::none();
        let memory = cache.as_mut().map_or(&mut none, |cache| &mut cache.memory);
        let after = self.at(tokens, parts, |x| skeleton.block(x, layer, flow, memory));
        let names = initial.iter().map(|port| port.name);
        if let Some(cache) = cache.filter(|_| !initial.is_empty()) {
            cache.states[layer] = Some(Arc::new(names.clone().zip(after).collect()));
        }
        for name in names {
            parts.remove(name);
        }
    }

    /// The logits of the last tokens of those that were read.
    fn head<S: Skeleton, F: Real>(
        &self,
        skeleton: &S,
        read: usize,
        last: usize,
        flow: &S::Flow<F>,
        parts: &mut Parts<F>,
    ) -> Array2<F> {
        let embedding = embedding(skeleton.trunk());
        let hidden = self.at(read, parts, |x| skeleton.leave(x, flow));
        let hidden = hidden.slice_axis(Axis(0), (read - last..).into()).to_owned();
        self.at(last, parts, |x| logits(x, &hidden, &embedding))
    }

    /// A state that nobody has written.
    fn neutral<F: Real>(&self, port: &Port) -> ArrayD<F> {
        let mut shape = self.problem.shape(port);
        if let Some(axis) = port.dims.iter().position(|&d| d == Dim::N) {
            shape.remove(axis);
        }
        ArrayD::from_elem(shape, F::from_f64(port.presence.neutral()))
    }
}

/// Negative log-likelihood of each target; none counts 0.
#[must_use]
pub fn loss<F: Real>(logits: &Array2<F>, targets: &[Option<usize>]) -> Array1<F> {
    let number = |y: &Option<usize>| F::from_f64(y.map_or(-100.0, |y| y as f64));
    losses(logits, targets.iter().map(number).collect::<Array1<F>>().view(), &Options::default())
}

/// The most likely symbol after the last token, the first of several; none where there is no token.
#[must_use]
pub fn most_likely<F: Real>(logits: &Array2<F>) -> Option<usize> {
    let last = logits.row(logits.nrows().checked_sub(1)?);
    let best = last
        .iter()
        .enumerate()
        .fold((0, f64::NEG_INFINITY), |best, (i, x)| if x.value() > best.1 { (i, x.value()) } else { best });
    Some(best.0)
}
