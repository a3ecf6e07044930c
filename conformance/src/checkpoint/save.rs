//! Checkpoints are written whole or not at all.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::Path;

use reference::models::config::Stack;
use reference::tensor::Tensors;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::error::Error;
use super::{CONFIG, Found, faults};
use crate::element;

/// How tensors are arranged in our files: as in upstream's, which do not say so.
pub const LAYOUT: &str = "state-dict keys of flash-linear-attention, row-major";

/// Most bytes of a file, unless told otherwise.
pub const SHARD: usize = 5_000_000_000;

pub(super) const SINGLE: &str = "model.safetensors";
pub(super) const INDEX: &str = "model.safetensors.index.json";

/// Writes a model and its parameters, by upstream's names, to a folder that does not exist yet: in one file, or in
/// several of at most so many bytes each, but for tensors that are larger alone.
///
/// # Errors
/// A folder that exists or cannot be written; tensors that are not the model's.
pub fn save(folder: &Path, stack: &Stack, tensors: &Tensors, most: usize) -> Result<(), Error> {
    let found = tensors.iter().map(|(name, tensor)| {
        let found = Found { dtype: Ok(tensor.dtype()), shape: tensor.shape().to_vec(), path: folder.to_owned() };
        (name.clone(), found)
    });
    if let Some(fault) = faults(stack, &found.collect()).into_iter().next() {
        return Err(fault);
    }
    if folder.exists() {
        return Err(Error::Exists { path: folder.to_owned() });
    }
    let write = |source: io::Error| Error::Write { path: folder.to_owned(), source };
    let parent = folder.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // beside the folder, so that a rename puts all files into place at once
    let stage = TempDir::new_in(parent).map_err(write)?;
    let inside = stage.path().join("checkpoint");
    fs::create_dir(&inside).map_err(write)?;
    files(&inside, stack, tensors, most)?;
    fs::rename(&inside, folder).map_err(write)
}

fn files(folder: &Path, stack: &Stack, tensors: &Tensors, most: usize) -> Result<(), Error> {
    let files = shards(stack, tensors, most);
    for (file, names) in &files {
        file_of(&folder.join(file), tensors, names)?;
    }
    if files.len() > 1 {
        let weight_map: BTreeMap<&str, &str> =
            files.iter().flat_map(|(file, names)| names.iter().map(|name| (*name, file.as_str()))).collect();
        let total: usize = tensors.values().map(|t| t.bytes().len()).sum();
        let mut metadata = json!(metadata());
        metadata["total_size"] = json!(total);
        text(&folder.join(INDEX), &json!({"metadata": metadata, "weight_map": weight_map}))?;
    }
    text(&folder.join(CONFIG), &Value::Object(stack.config()))
}

fn metadata() -> BTreeMap<&'static str, String> {
    let version = format!("flash-linear-attention 0.6.0, fla-conformance {}", env!("CARGO_PKG_VERSION"));
    // without a format, transformers refuses a file
    BTreeMap::from([("format", "pt".to_owned()), ("layout", LAYOUT.to_owned()), ("version", version)])
}

/// Files with the names of their tensors, in the order of the model's parameters.
fn shards<'a>(stack: &Stack, tensors: &'a Tensors, most: usize) -> Vec<(String, Vec<&'a str>)> {
    let mut shards: Vec<(usize, Vec<&str>)> = vec![(0, Vec::new())];
    for parameter in stack.tensors() {
        let Some((name, tensor)) = tensors.get_key_value(&parameter.name) else { continue };
        let (bytes, last) = (tensor.bytes().len(), shards.len() - 1);
        if shards[last].0 > 0 && shards[last].0 + bytes > most {
            shards.push((0, Vec::new()));
        }
        let last = shards.len() - 1;
        shards[last].0 += bytes;
        shards[last].1.push(name);
    }
    let count = shards.len();
    let file = |i: usize| match count {
        1 => SINGLE.to_owned(),
        _ => format!("model-{:05}-of-{count:05}.safetensors", i + 1),
    };
    shards.into_iter().enumerate().map(|(i, (_, names))| (file(i), names)).collect()
}

fn file_of(path: &Path, tensors: &Tensors, names: &[&str]) -> Result<(), Error> {
    let failed = |e: safetensors::SafeTensorError| Error::Write { path: path.to_owned(), source: io::Error::other(e) };
    let view = |name: &&str| {
        let tensor = &tensors[*name];
        let view = TensorView::new(element::stored(tensor.dtype()), tensor.shape().to_vec(), tensor.bytes());
        view.map(|view| ((*name).to_owned(), view))
    };
    let views = names.iter().map(view).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let metadata: HashMap<String, String> = metadata().into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    safetensors::serialize_to_file(views, Some(metadata), path).map_err(failed)
}

fn text(path: &Path, value: &Value) -> Result<(), Error> {
    let text = format!("{value:#}\n");
    fs::write(path, text).map_err(|source| Error::Write { path: path.to_owned(), source })
}
