//! A model as its `config.json` describes it: upstream's fields, with upstream's names and defaults, and what they
//! mean.
//!
//! Each model file says what its own fields are ([`Field`]); what most models share is in [`SKELETON`] and its
//! neighbours. Fields of transformers itself are known and change nothing; others are an error that names the nearest.

mod described;
mod draft;
mod error;
mod field;
mod softmax;
mod weights;

use serde_json::{Map, Value};

use super::described;
use crate::nearest::nearest;
use crate::problem::Problem;

pub use described::{Described, Inner, Own};
pub use draft::Draft;
pub(crate) use draft::{number, whole};
pub use error::ConfigError;
pub use field::{Config, Field, LOSS, MIXER, Means, POSITIONS, SKELETON, TRANSFORMERS};
pub(crate) use weights::ports;
pub use weights::{Source, Tensor, Weight};

/// A model of a certain depth, width and certain options, without its weights.
#[derive(Debug, Clone)]
pub struct Stack {
    /// What distinguishes it from other models.
    pub model: &'static dyn Described,
    /// How many blocks it has.
    pub depth: usize,
    /// The question of one token; extents other than `B` and `T`, attributes and absent weights are the model's.
    pub problem: Problem,
    renamed: draft::Renamed,
    given: Map<String, Value>,
}

impl Stack {
    /// The model that a configuration describes.
    ///
    /// # Errors
    /// A model type, a field or a value that is unknown or not supported; fields that contradict each other.
    pub fn from_config(given: &Map<String, Value>) -> Result<Self, ConfigError> {
        let model = model(given)?;
        if let Some(name) = given.keys().find(|name| !model.knows(name)) {
            let known: Vec<_> = model.fields().iter().map(|f| f.name).collect();
            let nearest = nearest(name, known).to_owned();
            return Err(ConfigError::Field { model: model.model_type(), name: name.clone(), nearest });
        }
        let (problem, depth, renamed) = Draft::new(model, given).finish()?;
        Ok(Self { model, depth, problem, renamed, given: given.clone() })
    }

    /// Every field of the configuration: those that were given as they were, the others with their defaults.
    #[must_use]
    pub fn config(&self) -> Map<String, Value> {
        let mut all = self.given.clone();
        for field in self.model.fields() {
            if let (false, Some(default)) = (all.contains_key(field.name), field.default()) {
                all.insert(field.name.to_owned(), default);
            }
        }
        all
    }
}

/// The model of which `model_type` is the name.
fn model(given: &Map<String, Value>) -> Result<&'static dyn Described, ConfigError> {
    let names = || described().map(Described::model_type);
    let known = || names().collect::<Vec<_>>().join(", ");
    let given = given.get("model_type").ok_or_else(|| ConfigError::Unnamed { known: known() })?;
    let name = given.as_str().map_or_else(|| given.to_string(), str::to_owned);
    described().find(|m| m.model_type() == name).ok_or_else(|| ConfigError::Model {
        nearest: nearest(&name, names()).to_owned(),
        got: name,
        known: known(),
    })
}
