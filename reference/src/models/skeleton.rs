//! How stacks are run: an entrance, blocks one after the other, an exit. All at once that is the function of a spec;
//! part by part, with further tokens of sequences that have begun, it is [`super::walk`].

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayD, Axis};

use super::blueprint::Model;
use super::cat::Cat;
use super::decoder::judged;
use super::part::Part;
use super::rodimus::Rodimus;
use super::rwkv::{Rwkv, VERSIONS};
use super::yoco::Mixer;
use crate::real::Real;
use crate::spec::OpSpec;
use crate::unit::{Outputs, Unit};

/// What runs, and where its weights are.
pub(super) trait Skeleton {
    /// What runs through the blocks of one sequence.
    type Flow<F: Real>;

    /// Whether no part can go on from what the tokens before have left, but all of them are read again.
    const AGAIN: bool = false;

    /// What comes before the names of all weights but the head's.
    fn trunk(&self) -> &'static str {
        "model"
    }

    /// How many blocks a stack has.
    fn depth(&self, spec: &OpSpec) -> usize;

    /// The part of a stack that reads a weight.
    fn home(&self, spec: &OpSpec, weight: &str) -> Home {
        let _ = spec;
        plain(self.trunk(), weight)
    }

    /// The states of a block, initial and final, in the order in which it gives them.
    fn states(&self, spec: &OpSpec, layer: usize) -> Vec<[String; 2]>;

    /// From symbols to what the first block reads.
    fn enter<F: Real>(&self, x: &Unit<'_, F>) -> Self::Flow<F>;

    /// One block; and the states after it.
    fn block<F: Real>(
        &self,
        x: &Unit<'_, F>,
        layer: usize,
        flow: &mut Self::Flow<F>,
        memory: &mut Memory<F>,
    ) -> Vec<ArrayD<F>>;

    /// What the head reads.
    fn leave<F: Real>(&self, x: &Unit<'_, F>, flow: &Self::Flow<F>) -> Array2<F>;
}

/// The part of a stack that reads a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    Embedding,
    Block(usize),
    /// Every block.
    Blocks,
    Head,
}

/// Where a weight is read in most stacks.
pub(super) fn plain(trunk: &str, weight: &str) -> Home {
    let rest = weight.strip_prefix(trunk).and_then(|rest| rest.strip_prefix('.')).unwrap_or(weight);
    match (rest, layer(rest, "layers.")) {
        (_, Some(layer)) => Home::Block(layer),
        ("embeddings.weight", None) => Home::Embedding,
        ("lower_bounds", None) => Home::Blocks,
        _ => Home::Head,
    }
}

/// The number of a layer in the name of its weight.
pub(super) fn layer(weight: &str, before: &str) -> Option<usize> {
    weight.strip_prefix(before)?.split('.').next()?.parse().ok()
}

/// The states of a part whose states are at `place`.
pub(super) fn states_of(part: &Part, place: &str) -> impl Iterator<Item = [String; 2]> {
    part.spec.states.iter().map(move |s| [s.initial, s.last].map(|port| format!("{place}.{port}")))
}

/// What layers without states have read of a sequence so far; nothing is kept of one that is read at once.
#[derive(Debug, Clone)]
pub(super) struct Memory<F>(Option<BTreeMap<String, Array2<F>>>);

impl<F: Real> Memory<F> {
    /// Of a sequence that is read at once.
    pub(super) const fn none() -> Self {
        Self(None)
    }

    /// Of a sequence that goes on later.
    pub(super) const fn empty() -> Self {
        Self(Some(BTreeMap::new()))
    }

    /// Forgets all but so many tokens.
    pub(super) fn truncate(&mut self, tokens: usize) {
        for seen in self.0.iter_mut().flat_map(BTreeMap::values_mut) {
            *seen = seen.slice_axis(Axis(0), (..tokens).into()).to_owned();
        }
    }

    /// All that was read at `place`, with these further tokens.
    pub(super) fn with(&mut self, place: &str, hidden: Array2<F>) -> Array2<F> {
        let Some(places) = &mut self.0 else { return hidden };
        let seen = places.entry(place.to_owned()).or_insert_with(|| Array2::from_elem((0, hidden.ncols()), F::zero()));
        seen.append(Axis(0), hidden.view()).expect("what is read at one place has one width");
        seen.clone()
    }

    /// What a layer without states makes of further tokens: it is asked about all of them again.
    pub(super) fn again(
        &mut self,
        place: &str,
        hidden: Array2<F>,
        layer: impl FnOnce(&Array2<F>) -> Array2<F>,
    ) -> Array2<F> {
        let tokens = hidden.nrows();
        let o = layer(&self.with(place, hidden));
        match o.nrows() - tokens {
            0 => o,
            before => o.slice_axis(Axis(0), (before..).into()).to_owned(),
        }
    }
}

/// Which skeleton a stack has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Decoder(&'static Model),
    Rwkv(&'static Rwkv),
    Rodimus(&'static Rodimus),
    Yoco(&'static Mixer),
    Cat(&'static Cat),
}

/// Does the same whatever the skeleton is.
macro_rules! each {
    ($kind:expr, $skeleton:ident => $act:expr) => {
        match $kind {
            Kind::Decoder($skeleton) => $act,
            Kind::Rwkv($skeleton) => $act,
            Kind::Rodimus($skeleton) => $act,
            Kind::Yoco($skeleton) => $act,
            Kind::Cat($skeleton) => $act,
        }
    };
}
pub(super) use each;

impl Kind {
    /// That of the stack of this name; none where it is no stack.
    pub(super) fn find(spec: &str) -> Option<Self> {
        let (stack, suffix) = spec.split_at(spec.find('@').unwrap_or(spec.len()));
        Some(match stack.strip_suffix("_model")? {
            "rodimus" => Self::Rodimus(&Rodimus),
            "yoco" => Self::Yoco(Mixer::of(suffix)?),
            "cat" => Self::Cat(&Cat),
            name => match VERSIONS.iter().find(|v| v.model_type == name) {
                Some(version) => Self::Rwkv(version),
                None => Self::Decoder(super::decoder(spec)?),
            },
        })
    }

    /// The same.
    ///
    /// # Panics
    /// When there is none: only specs of stacks ask.
    pub(super) fn of(spec: &str) -> Self {
        Self::find(spec).expect("a spec of the table, or of a stack")
    }

    pub(super) fn trunk(self) -> &'static str {
        each!(self, s => s.trunk())
    }

    pub(super) fn depth(self, spec: &OpSpec) -> usize {
        each!(self, s => s.depth(spec))
    }

    pub(super) fn home(self, spec: &OpSpec, weight: &str) -> Home {
        each!(self, s => s.home(spec, weight))
    }

    pub(super) fn states(self, spec: &OpSpec, layer: usize) -> Vec<[String; 2]> {
        each!(self, s => s.states(spec, layer))
    }
}

/// The function of every model; which one it is says the spec's name.
pub(super) fn stack<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    each!(Kind::of(x.problem.spec.name), s => whole(s, x))
}

fn whole<F: Real, S: Skeleton>(skeleton: &S, x: &Unit<'_, F>) -> Outputs<F> {
    let mut flow = skeleton.enter(x);
    let mut states = Vec::new();
    for layer in 0..skeleton.depth(x.problem.spec) {
        states.extend(skeleton.block(x, layer, &mut flow, &mut Memory::none()));
    }
    judged(x, &skeleton.leave(x, &flow), &embedding(skeleton.trunk()), states)
}

/// The embedding's name.
pub(super) fn embedding(trunk: &str) -> String {
    format!("{trunk}.embeddings.weight")
}
