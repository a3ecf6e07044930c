//! What can be wrong with a question put to the oracle.

use crate::tensor::DType;

/// A question the oracle cannot answer, with what was expected and what came.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// An extent disagrees with the spec or with another port.
    #[error("{op}: {port} has shape {got:?}, expected {expected}")]
    Shape {
        /// Spec name.
        op: &'static str,
        /// Port name.
        port: String,
        /// The symbolic or numeric shape that was expected.
        expected: String,
        /// The shape that came.
        got: Vec<usize>,
    },
    /// More elements than memory has addresses for.
    #[error("{op}: {port} of shape {shape:?} is too large to be addressed")]
    Size {
        /// Spec name.
        op: &'static str,
        /// Port name.
        port: &'static str,
        /// The shape that the problem gives it.
        shape: Vec<usize>,
    },
    /// A required input was not given.
    #[error("{op}: input {port} is missing")]
    Missing {
        /// Spec name.
        op: &'static str,
        /// Port name.
        port: String,
    },
    /// A name that the spec does not know.
    #[error("{op}: unknown {kind} {name:?}, expected one of {expected}")]
    Unknown {
        /// Spec name.
        op: String,
        /// What the name was meant to be: input, output, attribute, dimension.
        kind: &'static str,
        /// The name that came.
        name: String,
        /// The valid names, comma separated.
        expected: String,
    },
    /// An attribute value of the wrong type.
    #[error("{op}: attribute {attr} = {got} is not {expected}")]
    Attribute {
        /// Spec name.
        op: &'static str,
        /// Attribute name.
        attr: String,
        /// The type that was expected.
        expected: String,
        /// The text that came.
        got: String,
    },
    /// A labelled constraint of the spec does not hold.
    #[error("{op}: constraint {label} is violated: {text}; got {got}")]
    Constraint {
        /// Spec name.
        op: &'static str,
        /// Label, as in the spec: C1, C2, …
        label: &'static str,
        /// The constraint in words.
        text: &'static str,
        /// The offending problem.
        got: String,
    },
    /// An element of an integer input that is no such index.
    #[error("{op}: {port}{at:?} is {got}, expected -1 or a whole number below {below} that was not listed before")]
    Index {
        /// Spec name.
        op: &'static str,
        /// Port name.
        port: &'static str,
        /// Where in the tensor.
        at: Vec<usize>,
        /// The number that came.
        got: String,
        /// How many blocks there are to choose from.
        below: usize,
    },
    /// Bytes that do not make up the tensor they claim to be.
    #[error("a {dtype} tensor of shape {shape:?} needs {expected} bytes, got {got}")]
    Bytes {
        /// Element type.
        dtype: DType,
        /// Claimed shape.
        shape: Vec<usize>,
        /// Bytes that shape and type need.
        expected: usize,
        /// Bytes that came.
        got: usize,
    },
    /// `cu_seqlens` that do not describe a packing.
    #[error("{op}: cu_seqlens {got:?} must start at 0, never decrease and end at T = {tokens}, with B = 1")]
    Packing {
        /// Spec name.
        op: &'static str,
        /// Tokens in the packed row.
        tokens: usize,
        /// The offsets that came.
        got: Vec<i64>,
    },
}
