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
    let known = || described().map(Described::model_type);
    let name = match given.get("model_type") {
        Some(Value::String(name)) => name.as_str(),
        other => {
            let got = other.map_or_else(|| "none".to_owned(), Value::to_string);
            let nearest = nearest(&got, known()).to_owned();
            return Err(ConfigError::Model { got, nearest, known: known().collect::<Vec<_>>().join(", ") });
        }
    };
    described().find(|m| m.model_type() == name).ok_or_else(|| ConfigError::Model {
        got: name.to_owned(),
        nearest: nearest(name, known()).to_owned(),
        known: known().collect::<Vec<_>>().join(", "),
    })
}
