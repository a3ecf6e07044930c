//! The wire, protocol 1: safetensors blobs over a child's stdin and stdout.
//!
//! Each message, both ways, is one blob: an 8-byte little-endian header length, a JSON header, the data; the header's
//! offsets say how long the data is, so messages delimit themselves. `__metadata__` (string to string) carries the
//! verb and its fields.
//!
//! | verb | from | fields | tensors |
//! |---|---|---|---|
//! | `hello` | candidate, first | `protocol` = "1", `name`, `version`, `device`, `ops` (comma-separated) | – |
//! | `call` | harness | `op`, `attrs` (JSON object), `want` (comma-separated) | inputs, `d_<output>`, `cu_seqlens` |
//! | `bench` | harness | `op`, `attrs`, `dims` (JSON object), `dtype`, `want`, `iterations`, `profile`, `seed` | – |
//! | `done` | candidate | `ran`; of bench `times_ns` (JSON array), `peak_bytes`, `workspace_bytes` | what `want` has |
//! | `declined` | candidate | `reason` | – |
//! | `failed` | candidate | `message` | – |
//! | `bye` | harness | – | – |
//!
//! Inputs that are indices are `I64`, like `cu_seqlens`; every other tensor is of floats.
//!
//! # Optional extensions
//! A peer that does not know them ignores them, and without them everything works as above.
//! - `hello`: `features`, comma-separated: `fill` when `call`'s field `fill` is honoured, `bench` when `bench` is,
//!   `bench_packed` when its field `seqs` is, `evaluation`, `recompute` and `graph` when `call`'s field `mode` is.
//!   `kernels` is a JSON object, by op the SHA-256 of the kernel sources, for candidates that are built from a known
//!   tree.
//! - `call`: `fill` is "nan" or "huge": what fresh memory holds before the kernels run; only sent to candidates with
//!   the feature. `mode` asks a layer or model as for inference ("evaluation"), to compute activations once more on the
//!   way back ("recompute"), or any spec to launch what was captured of its problem before ("graph"), likewise. `id` is
//!   a number that the answer may repeat, which makes an answer to an older question recognisable.
//! - `bench`: `inputs` (comma-separated) names the inputs that are given; without it every one that the spec allows
//!   together. `seqs` (JSON array) are the lengths of packed sequences; only sent to candidates with the feature.
//! - `done` to a bench: `host_ns`, what it takes the host to queue one call; `timed_by`, how the times were taken.
//! - `failed`: `trespass` (any value) says that memory outside the outputs was written; `out_of_memory` likewise.

mod call;
mod frame;

use std::collections::BTreeMap;
use std::io::{Read, Write};

use safetensors::SafeTensorError;

use crate::candidate::{BenchRequest, Reply, Request, Timing};
use frame::Frame;

/// The version spoken here.
pub const PROTOCOL: &str = "1";

/// Longest header that is read, bytes.
pub const MAX_HEADER: u64 = 4 << 20;

/// Data limit for readers that expect calls rather than answers, bytes.
pub const MAX_DATA: u64 = 64 << 30;

/// Bytes that are no message, or a message with wrong contents.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream broke.
    #[error("the stream broke: {0}")]
    Io(#[from] std::io::Error),
    /// A header length that nobody would mean: the stream is something else, printed text for example.
    #[error("this is no message: it starts with {start:?}, which reads as a header of {length} bytes")]
    Garbage {
        /// The first bytes, as text.
        start: String,
        /// What they say as a length.
        length: u64,
    },
    /// The stream ended within a message.
    #[error("the stream ended after {got} of {expected} bytes of a message's {part}")]
    Truncated {
        /// `length`, `header` or `data`.
        part: &'static str,
        /// Bytes that were announced.
        expected: u64,
        /// Bytes that came.
        got: u64,
    },
    /// A header that is no safetensors header, or offsets and shapes that contradict one another.
    #[error("not a safetensors message: {0}")]
    Header(#[from] SafeTensorError),
    /// More data than the answer can need.
    #[error("a message of {got} bytes of data where at most {limit} make sense")]
    TooLarge {
        /// Bytes that were announced.
        got: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// An element type that does not travel here.
    #[error("{tensor} has element type {got}, expected {expected}")]
    DType {
        /// Tensor name.
        tensor: String,
        /// What came.
        got: String,
        /// What is understood.
        expected: &'static str,
    },
    /// A verb nobody knows.
    #[error("unknown verb {got:?}, expected one of hello, call, bench, done, declined, failed, bye")]
    Verb {
        /// What came.
        got: String,
    },
    /// A field that is missing or does not parse.
    #[error("{verb}: field {field} is {got}, expected {expected}")]
    Field {
        /// Verb of the message.
        verb: &'static str,
        /// Field name.
        field: &'static str,
        /// What came.
        got: String,
        /// What was expected.
        expected: String,
    },
    /// Another version of this protocol.
    #[error("protocol {got:?}, expected {PROTOCOL:?}")]
    Protocol {
        /// What came.
        got: String,
    },
    /// An op, attribute, input or shape that the spec does not allow.
    #[error(transparent)]
    Problem(#[from] reference::error::Error),
}

/// A candidate's first message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hello {
    /// Who.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it runs on.
    pub device: String,
    /// Specs it implements.
    pub ops: Vec<String>,
    /// Optional abilities: `fill`.
    pub features: Vec<String>,
    /// By op the SHA-256 of its kernel sources.
    pub kernels: BTreeMap<String, String>,
}

/// One message.
#[derive(Debug, Clone)]
pub enum Message {
    /// Candidate, first.
    Hello(Hello),
    /// Compute.
    Call(Box<Request>),
    /// Time.
    Bench(Box<BenchRequest>),
    /// Computed or timed; a timing's sample are the tensors. Names are not checked here: the asker knows them.
    Done(Box<Timing>),
    /// Any answer without tensors.
    Refused(Reply),
    /// The end.
    Bye,
}

impl Message {
    /// The verb.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Call(_) => "call",
            Self::Bench(_) => "bench",
            Self::Done(_) => "done",
            Self::Refused(Reply::Declined(_)) => "declined",
            Self::Refused(_) => "failed",
            Self::Bye => "bye",
        }
    }
}

/// A message as it came.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// What it says; a message that is well delimited but wrong inside leaves the stream usable.
    pub message: Message,
    /// The question it belongs to, when it says so.
    pub id: Option<u64>,
}

/// A message's bytes.
#[must_use]
pub fn encode(message: &Message, id: Option<u64>) -> Vec<u8> {
    let mut frame = call::to_frame(message);
    if let Some(id) = id {
        frame.set("id", id);
    }
    frame.encode()
}

/// The bytes of a call, as they travel and as failures are dumped.
#[must_use]
pub fn encode_call(request: &Request) -> Vec<u8> {
    call::request_to_frame(request).encode()
}

/// The call in `bytes`: the inverse of [`encode_call`].
///
/// # Errors
/// Anything but exactly one well-formed call.
pub fn decode_call(bytes: &[u8]) -> Result<Request, Error> {
    let field = |got: &str| Error::Field { verb: "call", field: "verb", got: got.into(), expected: "call".into() };
    match read(&mut &*bytes, || MAX_DATA)?.ok_or_else(|| field("missing"))?.message {
        Message::Call(request) => Ok(*request),
        other => Err(field(other.verb())),
    }
}

/// Writes one message and flushes.
///
/// # Errors
/// When the stream is broken.
pub fn write(output: &mut impl Write, message: &Message, id: Option<u64>) -> std::io::Result<()> {
    output.write_all(&encode(message, id))?;
    output.flush()
}

/// The bytes of a call that asks for its number to be repeated in the answer.
#[must_use]
pub fn encode_question(request: &Request, id: u64) -> Vec<u8> {
    let mut frame = call::request_to_frame(request);
    frame.set("id", id);
    frame.encode()
}

/// Reads one message; `None` at the end of the stream. `limit` is asked for the most bytes of data once the header is
/// there.
///
/// # Errors
/// See [`enum@Error`]. After [`Error::is_contained`] ones the next message can be read.
pub fn read(input: &mut impl Read, limit: impl FnOnce() -> u64) -> Result<Option<Incoming>, Error> {
    let Some(frame) = Frame::read(input, limit)? else { return Ok(None) };
    let id = frame.get("id").and_then(|id| id.parse().ok());
    Ok(Some(Incoming { message: call::from_frame(frame)?, id }))
}

impl Error {
    /// Whether the message was read to its end, so that the stream is still in step.
    #[must_use]
    pub const fn is_contained(&self) -> bool {
        matches!(
            self,
            Self::DType { .. } | Self::Verb { .. } | Self::Field { .. } | Self::Protocol { .. } | Self::Problem(_)
        )
    }
}

/// Attributes as they travel: a JSON object.
pub(crate) fn attrs_json(attrs: &reference::spec::Attrs) -> String {
    call::attrs_to_json(attrs).to_string()
}
