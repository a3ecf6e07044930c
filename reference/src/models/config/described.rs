//! What a configuration needs to know of a model.

use std::fmt::Debug;

use super::Draft;
use super::field::{Config, Field, HYBRID, RESIDUALS, TRANSFORMERS};
use crate::models::MODELS;
use crate::models::blueprint::Model;
use crate::spec::{Attr, Dim, OpSpec};

/// A model that configurations describe.
pub trait Described: Debug + Sync {
    /// Upstream's `model_type`.
    fn model_type(&self) -> &'static str;

    /// The fields of its configuration.
    fn config(&self) -> &Config;

    /// Whether chosen blocks may have softmax attention instead.
    fn hybrid(&self) -> bool;

    /// Whether blocks may read mixtures of earlier sums.
    fn attnres(&self) -> bool;

    /// An option.
    fn option(&self, name: &str) -> Option<&'static Attr>;

    /// What comes before the names of a mixer's weights, in a block.
    fn mixer(&self) -> &'static str;

    /// Its feed-forward networks.
    fn inner(&self) -> &'static [Inner];

    /// Counts that a checkpoint holds besides the weights.
    fn counts(&self) -> &'static [&'static str] {
        &[]
    }

    /// The spec of the stack that a draft describes; `softmax` says for each block whether it has softmax attention.
    fn spec(&'static self, draft: &Draft, softmax: &[bool]) -> OpSpec;

    /// Every field of the model's configuration, once: what the model says itself comes before what it shares.
    fn fields(&self) -> Vec<Field> {
        let residuals: &[Field] = if self.attnres() { RESIDUALS } else { &[] };
        let hybrid: &[Field] = if self.hybrid() { HYBRID } else { &[] };
        let shared = self.config().shared.iter().copied().chain([residuals, hybrid]).flatten();
        let mut fields: Vec<Field> = Vec::new();
        for field in self.config().own.iter().chain(shared) {
            if fields.iter().all(|f| f.name != field.name) {
                fields.push(*field);
            }
        }
        fields
    }

    /// Whether it, or transformers, has a field of that name.
    fn knows(&self, name: &str) -> bool {
        self.fields().iter().any(|f| f.name == name) || TRANSFORMERS.contains(&name)
    }
}

/// The inner width of a feed-forward network where `intermediate_size` is not given: a width times `hidden_ratio` times
/// a fraction, rounded down, and up to the next multiple.
#[derive(Debug, Clone, Copy)]
pub struct Inner {
    /// The extent.
    pub dim: Dim,
    /// The width from which it follows.
    pub of: Dim,
    /// `hidden_ratio` where it is null.
    pub ratio: f64,
    /// Numerator and denominator of the fraction.
    pub fraction: [f64; 2],
    /// What it is a multiple of.
    pub multiple: usize,
}

impl Inner {
    /// That of most models.
    pub const GATED: Self = Self { dim: Dim::F, of: Dim::D, ratio: 4.0, fraction: [2.0, 3.0], multiple: 256 };

    /// The width where `hidden_ratio` is that.
    pub(super) fn width(&self, of: usize, ratio: Option<f64>) -> usize {
        let width = of as f64 * ratio.unwrap_or(self.ratio) * self.fraction[0] / self.fraction[1];
        (width as usize).next_multiple_of(self.multiple)
    }
}

impl Described for Model {
    fn model_type(&self) -> &'static str {
        self.model_type
    }

    fn config(&self) -> &Config {
        &self.config
    }

    fn hybrid(&self) -> bool {
        self.hybrid
    }

    fn attnres(&self) -> bool {
        self.attnres
    }

    fn option(&self, name: &str) -> Option<&'static Attr> {
        self.mixer.attr(name)
    }

    fn mixer(&self) -> &'static str {
        self.names.mixer
    }

    fn inner(&self) -> &'static [Inner] {
        if self.names.mlp.is_some() { &[Inner::GATED] } else { &[] }
    }

    fn spec(&'static self, _: &Draft, softmax: &[bool]) -> OpSpec {
        self.spec(softmax)
    }
}

/// A model with blocks of its own.
#[derive(Debug)]
pub struct Own {
    /// Upstream's `model_type`.
    pub model_type: &'static str,
    /// The fields of its configuration.
    pub config: Config,
    /// Whether chosen blocks may have softmax attention instead.
    pub hybrid: bool,
    /// Whether blocks may read mixtures of earlier sums.
    pub attnres: bool,
    /// Its feed-forward networks.
    pub inner: &'static [Inner],
    /// Counts that a checkpoint holds besides the weights.
    pub counts: &'static [&'static str],
    /// The spec of the stack that a draft describes, whose blocks have softmax attention or not.
    pub spec: fn(&Draft, &[bool]) -> OpSpec,
}

impl Described for Own {
    fn model_type(&self) -> &'static str {
        self.model_type
    }

    fn config(&self) -> &Config {
        &self.config
    }

    fn hybrid(&self) -> bool {
        self.hybrid
    }

    fn attnres(&self) -> bool {
        self.attnres
    }

    fn option(&self, name: &str) -> Option<&'static Attr> {
        let own = |spec: &&&'static OpSpec| {
            let stack = spec.name.split('@').next().and_then(|stack| stack.strip_suffix("_model"));
            stack == Some(self.model_type)
        };
        MODELS.iter().filter(own).find_map(|spec| spec.attr(name))
    }

    fn mixer(&self) -> &'static str {
        "attn"
    }

    fn inner(&self) -> &'static [Inner] {
        self.inner
    }

    fn counts(&self) -> &'static [&'static str] {
        self.counts
    }

    fn spec(&'static self, draft: &Draft, softmax: &[bool]) -> OpSpec {
        (self.spec)(draft, softmax)
    }
}
