//! What can be wrong with a checkpoint.

use std::io;
use std::path::PathBuf;

use reference::models::config::ConfigError;

/// A checkpoint that cannot be used or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that cannot be read.
    #[error("{}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that cannot be written.
    #[error("{}: cannot be written: {source}", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or folder that is there already.
    #[error("{}: exists already, expected a folder that does not", .path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// Not JSON, or not an object.
    #[error("{}: {message}", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        message: String,
    },
    /// A configuration that describes no model.
    #[error("{}: {source}", .path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ConfigError,
    },
    /// Not a safetensors file.
    #[error("{}: not a safetensors file: {message}", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// A file that says that its tensors are arranged in a way of which we know nothing.
    #[error("{}: layout is {got:?}, expected {expected:?}", .path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// Ours.
        expected: &'static str,
        /// The file's.
        got: String,
    },
    /// An index that is none, or names what is not there.
    #[error("{}: {message}", .path.display())]
    Index {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A parameter of the model that is not there.
    #[error("{name} is missing: expected shape {expected:?}, got no tensor of that name")]
    Missing {
        /// The parameter.
        name: String,
        /// Its shape.
        expected: Vec<usize>,
    },
    /// A tensor that is no parameter of the model.
    #[error(
        "{name} of shape {got:?} in {}: expected no tensor of that name; the nearest is {nearest}", .path.display()
    )]
    Extra {
        /// The tensor.
        name: String,
        /// Its shape.
        got: Vec<usize>,
        /// The parameter whose name it resembles most.
        nearest: String,
        /// The file.
        path: PathBuf,
    },
    /// A tensor of another shape.
    #[error("{name} has shape {got:?}, expected {expected:?}")]
    Shape {
        /// The parameter.
        name: String,
        /// Its shape.
        expected: Vec<usize>,
        /// The tensor's.
        got: Vec<usize>,
    },
    /// A tensor of a type that weights cannot have.
    #[error("{name} has type {got}, expected f64, f32, f16 or bf16, one for the whole parameter")]
    Type {
        /// The parameter.
        name: String,
        /// The tensor's type.
        got: String,
    },
    /// A tensor in two files.
    #[error("{name} is in {} and in {}, expected once", .files[0].display(), .files[1].display())]
    Twice {
        /// The tensor.
        name: String,
        /// The files.
        files: [PathBuf; 2],
    },
    /// A question that the model cannot answer.
    #[error(transparent)]
    Question(#[from] reference::error::Error),
}

impl Error {
    /// 2 bad usage or input, 3 the environment lacks what was asked for.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Write { .. } => 3,
            _ => 2,
        }
    }
}
