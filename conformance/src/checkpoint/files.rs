//! The safetensors files of a checkpoint, mapped.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use reference::tensor::{DType, Tensor};
use safetensors::SafeTensors;
use serde_json::Value;

use super::error::Error;
use super::save::{INDEX, LAYOUT, SINGLE};
use super::{Found, json};
use crate::element;

/// Every tensor of every file.
#[derive(Debug)]
pub(super) struct Files {
    files: Vec<Mapped>,
    tensors: BTreeMap<String, Place>,
}

#[derive(Debug)]
struct Mapped {
    path: PathBuf,
    map: Mmap,
}

#[derive(Debug)]
struct Place {
    file: usize,
    bytes: Range<usize>,
    found: Found,
}

impl Files {
    /// The file or files of a folder.
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        let index = folder.join(INDEX);
        let mut files = Self { files: Vec::new(), tensors: BTreeMap::new() };
        if !index.is_file() {
            files.add(folder.join(SINGLE))?;
            return Ok(files);
        }
        let listed = listed(&index)?;
        let mut names: Vec<&String> = listed.values().collect();
        names.sort();
        names.dedup();
        for name in names {
            files.add(folder.join(name))?;
        }
        for (name, file) in &listed {
            let place = files.tensors.get(name).map(|place| &files.files[place.file].path);
            if place != Some(&folder.join(file)) {
                let message = format!("{name} should be in {file}, and is not");
                return Err(Error::Index { path: index, message });
            }
        }
        Ok(files)
    }

    fn add(&mut self, path: PathBuf) -> Result<(), Error> {
        let read = |source| Error::Read { path: path.clone(), source };
        let file = File::open(&path).map_err(read)?;
        let map = map(&file).map_err(read)?;
        let format = |e: safetensors::SafeTensorError| Error::Format { path: path.clone(), message: e.to_string() };
        let (header, metadata) = SafeTensors::read_metadata(&map).map_err(format)?;
        if let Some(got) = metadata.metadata().as_ref().and_then(|m| m.get("layout")).filter(|got| *got != LAYOUT) {
            return Err(Error::Layout { path, expected: LAYOUT, got: got.clone() });
        }
        let data = header + size_of::<u64>();
        for (name, info) in metadata.tensors() {
            let (from, to) = info.data_offsets;
            let dtype = element::known(info.dtype).ok_or_else(|| format!("{:?}", info.dtype));
            let found = Found { dtype, shape: info.shape.clone(), path: path.clone() };
            let place = Place { file: self.files.len(), bytes: data + from..data + to, found };
            if let Some(other) = self.tensors.insert(name.clone(), place) {
                return Err(Error::Twice { name, files: [other.found.path, path] });
            }
        }
        self.files.push(Mapped { path, map });
        Ok(())
    }

    pub(super) fn paths(&self) -> Vec<&Path> {
        self.files.iter().map(|f| f.path.as_path()).collect()
    }

    pub(super) fn shapes(&self) -> BTreeMap<String, Found> {
        self.tensors.iter().map(|(name, place)| (name.clone(), place.found.clone())).collect()
    }

    /// Type and bytes of a tensor.
    pub(super) fn bytes(&self, name: &str) -> Result<(DType, &[u8]), Error> {
        let missing = || Error::Missing { name: name.to_owned(), expected: Vec::new() };
        let place = self.tensors.get(name).ok_or_else(missing)?;
        let dtype = place.found.dtype.clone().map_err(|got| Error::Type { name: name.to_owned(), got })?;
        let bytes = self.files[place.file].map.get(place.bytes.clone()).ok_or_else(missing)?;
        Ok((dtype, bytes))
    }

    /// A tensor as it is stored.
    pub(super) fn tensor(&self, name: &str) -> Result<Tensor, Error> {
        let (dtype, bytes) = self.bytes(name)?;
        Ok(Tensor::from_bytes(dtype, &self.tensors[name].found.shape, bytes.to_vec())?)
    }
}

#[expect(unsafe_code, reason = "memory maps are unsafe because another process may change the file")]
fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the map is only read, and a file that changes meanwhile gives other numbers but no other lengths: ranges
    // are those of the header that was checked. One that is cut short ends the process, as it ends any reader of maps.
    unsafe { Mmap::map(file) }
}

/// The file of each tensor, as the index says.
fn listed(path: &Path) -> Result<BTreeMap<String, String>, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let object = json::parse(&text).map_err(|e| Error::Json { path: path.to_owned(), message: e.to_string() })?;
    let wrong = |message: String| Error::Index { path: path.to_owned(), message };
    let Some(Value::Object(map)) = object.get("weight_map") else {
        return Err(wrong("no weight_map, expected the file of each tensor".into()));
    };
    let file = |(name, file): (&String, &Value)| {
        // a name with folders in it could be any file of the machine
        let plain = file.as_str().filter(|f| Path::new(f).file_name() == Some(f.as_ref()));
        let plain = plain.ok_or_else(|| wrong(format!("{name} is in {file}, expected the name of a file beside")))?;
        Ok((name.clone(), plain.to_owned()))
    };
    map.iter().map(file).collect()
}
