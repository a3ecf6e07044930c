//! What can be wrong with a configuration.

/// A configuration that describes no model of ours, with what was expected and what came.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// Nothing that says which model it is.
    #[error("model_type is missing, which says what model this configuration is of: add it, as one of {known}")]
    Unnamed {
        /// Every known type, comma separated.
        known: String,
    },
    /// A model that nobody knows.
    #[error("model_type {got:?} is unknown; the nearest is {nearest:?} (of {known})")]
    Model {
        /// What came.
        got: String,
        /// The known type that it resembles most.
        nearest: String,
        /// Every known type, comma separated.
        known: String,
    },
    /// A field that neither the model nor transformers has.
    #[error("{model}: unknown field {name:?}; the nearest is {nearest:?}")]
    Field {
        /// The model's type.
        model: &'static str,
        /// The field.
        name: String,
        /// The field of the model that it resembles most.
        nearest: String,
    },
    /// A value of the wrong type, or one that is not supported.
    #[error("{model}: {field} is {got}, expected {expected}")]
    Value {
        /// The model's type.
        model: &'static str,
        /// The field.
        field: String,
        /// What it may be.
        expected: String,
        /// The value as JSON.
        got: String,
    },
    /// Fields that together describe no valid stack.
    #[error("{model}: {source}")]
    Problem {
        /// The model's type.
        model: &'static str,
        /// Why.
        source: crate::error::Error,
    },
}
