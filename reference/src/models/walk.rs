//! A stack taken part by part: the weights of one part at a time, and further tokens of sequences that have begun.
//!
//! What earlier tokens left to a block is its states. A layer without states, softmax attention for one, reads all
//! earlier tokens again: what is kept of them is what the layer has read, from which it makes its keys and values anew.
//! That costs a decoding step the projections of the whole sequence, and needs nothing besides the layer's own
//! function.

use std::sync::Arc;

use ndarray::{Array1, Array2, ArrayD, Axis};

use super::Stage;
use super::blueprint::{Model, depth};
use super::config::ports;
use super::decoder::{block, embed, head};
use super::stack::softmax;
use super::stream::Stream;
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
    model: &'static Model,
    depth: usize,
}

type States<F> = Arc<Parts<F>>;

/// What the tokens of one sequence so far left behind. A clone is a fork: each goes on by itself.
#[derive(Debug, Clone)]
pub struct Cache<F> {
    tokens: usize,
    states: Vec<Option<States<F>>>,
    /// What blocks without states have read.
    seen: Vec<Option<Array2<F>>>,
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

impl<F: Clone> Cache<F> {
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
            None if self.seen.iter().all(Option::is_some) && tokens < self.tokens => {
                self.earlier.retain(|(end, _)| *end < tokens);
            }
            None => return Err(Forgotten { asked: tokens, known: known() }),
        }
        for seen in self.seen.iter_mut().flatten() {
            *seen = seen.slice_axis(Axis(0), (..tokens).into()).to_owned();
        }
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
    /// When the problem is not about a model that follows the skeleton ([`super::decoder`]).
    pub fn new(problem: &Problem) -> Result<Self, Error> {
        problem.validate()?;
        let model = super::model(problem.spec.name);
        Ok(Self { problem: problem.clone(), model, depth: depth(problem.spec, model) })
    }

    /// The parts of the stack, in order.
    pub fn stages(&self) -> impl Iterator<Item = Stage> + use<> {
        let blocks = (0..self.depth).map(Stage::Block);
        [Stage::Embedding].into_iter().chain(blocks).chain([Stage::Head])
    }

    /// The weights that a part reads.
    pub fn ports(&self, stage: Stage) -> impl Iterator<Item = &'static Port> + '_ {
        ports(&self.problem, self.model.names.trunk, stage)
    }

    /// What no token has left behind yet; it will remember so many earlier ends.
    #[must_use]
    pub fn cache<F: Real>(&self, most: usize) -> Cache<F> {
        let width = self.problem.size(Dim::D);
        let seen = |layer| (!self.stateful(layer)).then(|| Array2::from_elem((0, width), F::zero()));
        let (states, seen) = (vec![None; self.depth], (0..self.depth).map(seen).collect());
        Cache { tokens: 0, states, seen, earlier: Vec::new(), most }
    }

    /// The logits of every token of several sequences, each `[T, S]`; each goes on from its cache, where there is one.
    /// `passed` is told of every part that is done.
    ///
    /// # Errors
    /// A token that the vocabulary does not have, before anything is read; weights that do not come, after which caches
    /// are worth nothing.
    ///
    /// # Panics
    /// When there are caches, but not one for each sequence.
    pub fn logits<F: Real, W: Weights<F>>(
        &self,
        sequences: &[&[usize]],
        caches: &mut [Cache<F>],
        weights: &mut W,
        mut passed: impl FnMut(Stage),
    ) -> Result<Vec<Array2<F>>, W::Error> {
        assert!(caches.is_empty() || caches.len() == sequences.len(), "a cache for each sequence, or none");
        for ids in sequences {
            self.check(ids)?;
        }
        caches.iter_mut().for_each(Cache::mark);
        let enter = |parts: &mut Parts<F>| sequences.iter().map(|ids| self.enter(ids, parts)).collect::<Vec<_>>();
        let mut streams = weights.with(Stage::Embedding, enter)?;
        passed(Stage::Embedding);
        for layer in 0..self.depth {
            weights.with(Stage::Block(layer), |parts| {
                for (i, stream) in streams.iter_mut().enumerate().filter(|(i, _)| !sequences[*i].is_empty()) {
                    self.block(sequences[i].len(), layer, stream, caches.get_mut(i), parts);
                }
            })?;
            passed(Stage::Block(layer));
        }
        let leave = |parts: &mut Parts<F>| {
            let logits = |(ids, stream): (&&[usize], &Stream<F>)| match ids.len() {
                0 => Array2::from_elem((0, self.problem.size(Dim::S)), F::zero()),
                tokens => self.at(tokens, parts, |x| head(x, self.model, stream)),
            };
            sequences.iter().zip(&streams).map(logits).collect()
        };
        let logits = weights.with(Stage::Head, leave)?;
        passed(Stage::Head);
        caches.iter_mut().zip(sequences).for_each(|(cache, ids)| cache.tokens += ids.len());
        Ok(logits)
    }

    fn check(&self, ids: &[usize]) -> Result<(), Error> {
        let below = self.problem.size(Dim::S);
        match ids.iter().position(|&id| id >= below) {
            None => Ok(()),
            Some(at) => {
                let (op, got) = (self.problem.spec.name, ids[at].to_string());
                Err(Error::Index { op, port: "input_ids", at: vec![at], got, below })
            }
        }
    }

    /// Whether a block's mixer has states.
    fn stateful(&self, layer: usize) -> bool {
        !softmax(self.problem.spec.name, layer) && !self.model.mixer.states.is_empty()
    }

    /// Something at a unit that sees these inputs, which come back.
    fn at<F: Real, R>(&self, tokens: usize, parts: &mut Parts<F>, act: impl FnOnce(&Unit<'_, F>) -> R) -> R {
        let inputs = std::mem::take(parts);
        let unit = Unit { problem: &self.problem, tokens, asked: 0..tokens, fixed: &[], inputs };
        let result = act(&unit);
        *parts = unit.inputs;
        result
    }

    fn enter<F: Real>(&self, ids: &[usize], parts: &mut Parts<F>) -> Stream<F> {
        let symbols: Array1<F> = ids.iter().map(|&id| F::from_f64(id as f64)).collect();
        parts.insert("input_ids", symbols.into_dyn());
        let embedded =
            self.at(ids.len(), parts, |x| embed(x, &format!("{}.embeddings.weight", self.model.names.trunk)));
        Stream::new(&self.problem, embedded)
    }

    fn block<F: Real>(
        &self,
        tokens: usize,
        layer: usize,
        stream: &mut Stream<F>,
        mut cache: Option<&mut Cache<F>>,
        parts: &mut Parts<F>,
    ) {
        let before = cache.as_ref().and_then(|cache| cache.states[layer].clone());
        let states: Vec<(&'static Port, &'static Port)> = self.states(layer).collect();
        for (initial, _) in &states {
            let state = before.as_ref().and_then(|states| states.get(initial.name).cloned());
            parts.insert(initial.name, state.unwrap_or_else(|| self.neutral(initial)));
        }
        let seen = cache.as_mut().and_then(|cache| cache.seen[layer].as_mut());
        let after = self.at(tokens, parts, |x| block(x, self.model, layer, stream, seen));
        let names = states.iter().map(|(initial, _)| initial.name);
        if let Some(cache) = cache.filter(|_| self.stateful(layer)) {
            cache.states[layer] = Some(Arc::new(names.clone().zip(after).collect()));
        }
        for name in names {
            parts.remove(name);
        }
    }

    /// The states of a block: inputs, and the outputs from which it resumes, in the order in which it gives them.
    fn states(&self, layer: usize) -> impl Iterator<Item = (&'static Port, &'static Port)> + '_ {
        let own = move |name: &str| format!("layers.{layer}.{name}");
        let mixer = self.model.mixer.states.iter().filter(move |_| self.stateful(layer));
        mixer.filter_map(move |state| {
            let initial = self.problem.spec.input(&own(state.initial))?;
            Some((initial, self.problem.spec.output(&own(state.last))?))
        })
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
    let last = logits.index_axis(Axis(0), logits.nrows().checked_sub(1)?);
    let best = last
        .iter()
        .enumerate()
        .fold((0, f64::NEG_INFINITY), |best, (i, x)| if x.value() > best.1 { (i, x.value()) } else { best });
    Some(best.0)
}
