//! Evidence from outside this repository: what fla 0.6.0 itself computes, with inputs, outputs and gradients.
//!
//! `manifest.toml` says of each vector who made it, where, with which versions and by which command;
//! `generate/` holds the makers. The vectors are embedded, so the suite works as a single file.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use reference::problem::Problem;
use reference::spec::{Attrs, OpSpec, Precision, Value};
use reference::tensor::{DType, Tensor, Tensors};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use sha2::{Digest, Sha256};

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// One entry of the manifest.
#[derive(Debug, Clone, Deserialize)]
pub struct Vector {
    /// Path below `vectors/`.
    pub file: String,
    /// Op.
    pub op: String,
    /// Attributes, as on the wire: a JSON object.
    #[serde(default = "no_attributes")]
    pub attrs: String,
    /// `naive` (fla's PyTorch code) or `triton` (its kernels).
    pub producer: String,
    /// Type in which the producer computes: `f64`, `f32`, `bf16`, `f16`.
    pub precision: String,
    /// Device it ran on.
    pub device: String,
    /// Versions of fla, torch, triton and Python.
    pub versions: BTreeMap<String, String>,
    /// The command that made it.
    pub command: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// What is particular about it.
    #[serde(default)]
    pub note: String,
    /// Set when fla is known to be wrong here: the finding in `FINDINGS.md`.
    #[serde(default)]
    pub finding: Option<String>,
}

/// A vector, taken apart.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The problem that its inputs pose.
    pub problem: Problem,
    /// Storage type.
    pub dtype: DType,
    /// Inputs by port.
    pub inputs: Tensors,
    /// Cotangents by `d_<output>`.
    pub cotangents: Tensors,
    /// What fla computed: outputs by port, gradients by `d_<input>`.
    pub expected: Tensors,
}

/// Why a vector cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The manifest does not parse.
    #[error("golden/manifest.toml: {0}")]
    Manifest(#[from] toml::de::Error),
    /// The manifest names a file that is not there.
    #[error("{file}: named in golden/manifest.toml but not among the vectors")]
    Absent {
        /// Path below `vectors/`.
        file: String,
    },
    /// The bytes are not those that the manifest vouches for.
    #[error("{file}: SHA-256 is {got}, the manifest says {expected}")]
    Hash {
        /// Path below `vectors/`.
        file: String,
        /// From the manifest.
        expected: String,
        /// Of the bytes.
        got: String,
    },
    /// Not a safetensors file, or one with an element type that no op uses.
    #[error("{file}: {message}")]
    Format {
        /// Path below `vectors/`.
        file: String,
        /// Why.
        message: String,
    },
    /// The tensors do not pose a valid problem.
    #[error("{file}: {source}")]
    Problem {
        /// Path below `vectors/`.
        file: String,
        /// Why.
        source: reference::error::Error,
    },
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    vector: Vec<Vector>,
}

fn no_attributes() -> String {
    "{}".to_owned()
}

/// Every vector of the manifest.
///
/// # Errors
/// A manifest that does not parse.
pub fn vectors() -> Result<&'static [Vector], &'static Error> {
    static MANIFEST: LazyLock<Result<Vec<Vector>, Error>> = LazyLock::new(|| {
        let manifest: Manifest = toml::from_str(include_str!("../manifest.toml"))?;
        Ok(manifest.vector)
    });
    MANIFEST.as_ref().map(Vec::as_slice)
}

/// What fla 0.6.0 offers in public, by qualified name; `generate/upstream.py` lists them.
pub fn upstream() -> impl Iterator<Item = &'static str> {
    include_str!("../upstream.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty())
}

/// The names of [`upstream`] of which there is no spec, each with the reason.
pub fn without_spec() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = include_str!("../upstream_without.txt").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(": "))
}

impl Vector {
    /// Checks the hash and takes the vector apart.
    ///
    /// # Errors
    /// A missing file, a wrong hash, tensors that do not pose a valid problem.
    pub fn load(&self) -> Result<Loaded, Error> {
        let file = || self.file.clone();
        let format = |message: String| Error::Format { file: file(), message };
        let bytes = FILES.iter().find(|(name, _)| *name == self.file).ok_or_else(|| Error::Absent { file: file() })?.1;
        let got = format!("{:x}", Sha256::digest(bytes));
        if got != self.sha256 {
            return Err(Error::Hash { file: file(), expected: self.sha256.clone(), got });
        }
        let spec = reference::spec(&self.op).ok_or_else(|| format(format!("unknown op {:?}", self.op)))?;
        let mut tensors = tensors(bytes).map_err(format)?;
        let offsets = tensors.remove("cu_seqlens").map(|t| t.to_i64());
        let inputs: Tensors = spec.inputs.iter().filter_map(|p| tensors.remove_entry(p.name)).collect();
        let cotangents = spec.outputs.iter().filter_map(|p| tensors.remove_entry(&format!("d_{}", p.name))).collect();
        let attrs = attributes(spec, &self.attrs).map_err(format)?;
        let shapes = inputs.iter().map(|(name, t)| (name.clone(), t.shape().to_vec())).collect();
        let problem = Problem::infer(spec, attrs, &shapes, offsets.as_deref())
            .map_err(|source| Error::Problem { file: file(), source })?;
        // indices have no storage type
        let first = spec.inputs.iter().filter(|p| p.precision != Precision::Index).find_map(|p| inputs.get(p.name));
        let dtype = first.map(Tensor::dtype).ok_or_else(|| format("no inputs".to_owned()))?;
        Ok(Loaded { problem, dtype, inputs, cotangents, expected: tensors })
    }
}

fn tensors(bytes: &[u8]) -> Result<Tensors, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let mut tensors = Tensors::new();
    for (name, view) in file.tensors() {
        let dtype = match view.dtype() {
            Dtype::F64 => DType::F64,
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::Bf16,
            Dtype::I64 => DType::I64,
            other => return Err(format!("{name} has element type {other:?}")),
        };
        let tensor = Tensor::from_bytes(dtype, view.shape(), view.data().to_vec()).map_err(|e| e.to_string())?;
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}

fn attributes(spec: &OpSpec, text: &str) -> Result<Attrs, String> {
    let given: BTreeMap<String, serde_json::Value> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    given
        .into_iter()
        .map(|(name, value)| {
            let attr = spec.attr(&name).ok_or_else(|| format!("unknown attribute {name:?}"))?;
            let value = match &value {
                serde_json::Value::Bool(x) => Some(Value::Flag(*x)),
                serde_json::Value::Number(x) => x.as_f64().map(Value::Number),
                serde_json::Value::String(x) => attr.named(x),
                _ => None,
            };
            Ok((attr.name, value.ok_or_else(|| format!("attribute {name} is not {}", attr.expected()))?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vector_loads_and_every_file_is_in_the_manifest() {
        let vectors = vectors().expect("the manifest parses");
        for vector in vectors {
            let loaded = vector.load().unwrap_or_else(|e| panic!("{e}"));
            assert!(!loaded.expected.is_empty(), "{}: nothing to compare with", vector.file);
        }
        for (file, _) in FILES {
            assert!(vectors.iter().any(|v| v.file == *file), "{file} is not in the manifest");
        }
    }

    #[test]
    fn a_changed_vector_is_refused() {
        let vector = vectors().expect("the manifest parses").first().expect("there are vectors");
        let wrong = Vector { sha256: "00".repeat(32), ..vector.clone() };
        assert!(matches!(wrong.load(), Err(Error::Hash { .. })));
        let lost = Vector { file: "none.safetensors".to_owned(), ..vector.clone() };
        assert!(matches!(lost.load(), Err(Error::Absent { .. })));
    }
}
