//! One safetensors blob: metadata and tensors, whatever they mean.

use std::collections::HashMap;
use std::fmt::Display;
use std::io::{ErrorKind, Read};

use reference::tensor::{DType, Tensor, Tensors};
use safetensors::tensor::{Dtype, Metadata, TensorView, serialize};
use safetensors::{SafeTensorError, SafeTensors};

use super::{Error, MAX_HEADER};
use crate::element;

/// Metadata and tensors.
#[derive(Debug, Default)]
pub(super) struct Frame {
    /// The verb and its fields.
    pub(super) fields: HashMap<String, String>,
    /// By name.
    pub(super) tensors: Tensors,
}

impl Frame {
    pub(super) fn new(verb: &str) -> Self {
        Self { fields: HashMap::from([("verb".to_owned(), verb.to_owned())]), tensors: Tensors::new() }
    }

    pub(super) fn set(&mut self, field: &str, value: impl Display) {
        self.fields.insert(field.to_owned(), value.to_string());
    }

    pub(super) fn get(&self, field: &str) -> Option<&str> {
        self.fields.get(field).map(String::as_str)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let views = self.tensors.iter().map(|(name, t)| {
            let view = TensorView::new(element::stored(t.dtype()), t.shape().to_vec(), t.bytes());
            (name, view.expect("a tensor's bytes fit its shape by construction"))
        });
        serialize(views, Some(self.fields.clone())).expect("headers are far below the format's limit")
    }

    /// Reads one blob; `None` when the stream ends before its first byte.
    pub(super) fn read(input: &mut impl Read, limit: impl FnOnce() -> u64) -> Result<Option<Self>, Error> {
        let mut blob = Vec::new();
        match append(input, &mut blob, 8, "length") {
            Err(Error::Truncated { got: 0, .. }) => return Ok(None),
            other => other?,
        }
        let length = u64::from_le_bytes([blob[0], blob[1], blob[2], blob[3], blob[4], blob[5], blob[6], blob[7]]);
        if length > MAX_HEADER {
            return Err(Error::Garbage { start: String::from_utf8_lossy(&blob).into_owned(), length });
        }
        append(input, &mut blob, length, "header")?;
        let data = data_length(&blob[8..])?;
        let limit = limit();
        if data > limit {
            return Err(Error::TooLarge { got: data, limit });
        }
        append(input, &mut blob, data, "data")?;
        Self::parse(&blob).map(Some)
    }

    fn parse(blob: &[u8]) -> Result<Self, Error> {
        let (_, header) = SafeTensors::read_metadata(blob)?;
        let fields = header.metadata().clone().unwrap_or_default();
        let mut tensors = Tensors::new();
        for (name, view) in SafeTensors::deserialize(blob)?.iter() {
            let dtype = from_wire(name, view.dtype())?;
            tensors.insert(name.to_owned(), Tensor::from_bytes(dtype, view.shape(), view.data().to_vec())?);
        }
        Ok(Self { fields, tensors })
    }
}

/// Bytes of data that a header announces.
fn data_length(header: &[u8]) -> Result<u64, Error> {
    let text = std::str::from_utf8(header).map_err(SafeTensorError::InvalidHeader)?;
    let header: Metadata = serde_json::from_str(text).map_err(SafeTensorError::InvalidHeaderDeserialization)?;
    Ok(header.tensors().values().map(|info| info.data_offsets.1 as u64).max().unwrap_or(0))
}

/// Appends exactly `count` bytes. Memory grows with what comes, not with what is announced.
fn append(input: &mut impl Read, blob: &mut Vec<u8>, count: u64, part: &'static str) -> Result<(), Error> {
    let before = blob.len();
    // a broken pipe on the reading side is an end like any other
    if let Err(e) = input.by_ref().take(count).read_to_end(blob)
        && e.kind() != ErrorKind::BrokenPipe
    {
        return Err(e.into());
    }
    let got = (blob.len() - before) as u64;
    if got < count { Err(Error::Truncated { part, expected: count, got }) } else { Ok(()) }
}

fn from_wire(tensor: &str, dtype: Dtype) -> Result<DType, Error> {
    let expected = "F64, F32, F16, BF16 or I64";
    element::known(dtype).ok_or_else(|| Error::DType { tensor: tensor.to_owned(), got: format!("{dtype:?}"), expected })
}
