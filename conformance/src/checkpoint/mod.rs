//! Checkpoints as fla and transformers write them: `config.json` with one `model.safetensors`, or with several files
//! and their index, tensors named by upstream's state-dict keys.
//!
//! Files are mapped, not read: a part of a stack becomes numbers when it is asked for.

mod error;
mod files;
mod json;
mod save;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use ndarray::{ArrayD, IxDyn};
use reference::models::config::{Stack, Tensor as Parameter, Weight};
use reference::models::walk::{Walk, Weights};
use reference::models::{Stage, config::ConfigError};
use reference::nearest::nearest;
use reference::real::Real;
use reference::tensor::{DType, Tensor, Tensors};
use reference::unit::Parts;

pub use error::Error;
pub use save::{LAYOUT, SHARD, save};

use files::Files;

/// The types that weights may have.
pub const DTYPES: [DType; 4] = [DType::F64, DType::F32, DType::F16, DType::Bf16];

/// The name of the configuration's file.
const CONFIG: &str = "config.json";

/// A model with the files that hold its weights.
#[derive(Debug)]
pub struct Checkpoint {
    /// The model.
    pub stack: Stack,
    files: Files,
}

impl Checkpoint {
    /// A checkpoint in which every tensor is there and fits.
    ///
    /// # Errors
    /// Files that cannot be read or are broken; a configuration or tensors that do not fit: the first of
    /// those that [`Checkpoint::inspect`] gives.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let (checkpoint, faults) = Self::inspect(folder)?;
        match faults.into_iter().next() {
            None => Ok(checkpoint),
            Some(fault) => Err(fault),
        }
    }

    /// A checkpoint, and every tensor that is missing, too many, misshaped or of a type that weights cannot have.
    ///
    /// # Errors
    /// Files that cannot be read or are broken, a configuration that describes no model.
    pub fn inspect(folder: &Path) -> Result<(Self, Vec<Error>), Error> {
        let stack = configuration(folder)?;
        let files = Files::open(folder)?;
        let faults = faults(&stack, &files.shapes());
        Ok((Self { stack, files }, faults))
    }

    /// Files that hold weights.
    #[must_use]
    pub fn paths(&self) -> Vec<&Path> {
        self.files.paths()
    }

    /// Numbers, and bytes, of every type that weights have.
    #[must_use]
    pub fn sizes(&self) -> BTreeMap<&'static str, (usize, usize)> {
        let mut sizes = BTreeMap::new();
        for found in self.files.shapes().values() {
            let Ok(dtype) = found.dtype else { continue };
            let count = found.shape.iter().product::<usize>();
            let (numbers, bytes) = sizes.entry(dtype.name()).or_insert((0, 0));
            *numbers += count;
            *bytes += count * dtype.size();
        }
        sizes
    }

    /// Every parameter as it is stored, by upstream's name.
    ///
    /// # Errors
    /// A tensor that is not there or not as it should be.
    pub fn tensors(&self) -> Result<Tensors, Error> {
        self.stack.tensors().into_iter().map(|t| Ok((t.name.clone(), self.files.tensor(&t.name)?))).collect()
    }

    /// The weights of one part of the stack, as numbers.
    ///
    /// # Errors
    /// A tensor that is not there or not as it should be.
    pub fn weights<F: Real>(&self, stage: Stage) -> Result<Parts<F>, Error> {
        self.stack.weights(stage).iter().map(|weight| Ok((weight.port.name, self.weight(weight)?))).collect()
    }

    fn weight<F: Real>(&self, weight: &Weight) -> Result<ArrayD<F>, Error> {
        let mut numbers = Vec::with_capacity(weight.shape.iter().product());
        for source in &weight.sources {
            let (dtype, bytes) = self.files.bytes(&source.tensor)?;
            let range = source.elements.start * dtype.size()..source.elements.end * dtype.size();
            let part =
                bytes.get(range).ok_or_else(|| Error::Missing { name: source.tensor.clone(), expected: Vec::new() })?;
            widen(dtype, part, &mut numbers);
        }
        let got = vec![numbers.len()];
        ArrayD::from_shape_vec(IxDyn(&weight.shape), numbers).map_err(|_| Error::Shape {
            name: weight.port.name.to_owned(),
            expected: weight.shape.clone(),
            got,
        })
    }

    /// All weights at once, in memory.
    ///
    /// # Errors
    /// As [`Checkpoint::weights`].
    pub fn hold<F: Real>(&self) -> Result<Held<F>, Error> {
        let walk = Walk::new(&self.stack.problem)?;
        walk.stages().map(|stage| Ok((stage, self.weights(stage)?))).collect::<Result<_, _>>().map(Held)
    }
}

/// Weights that come from the files whenever they are asked for, and go again.
impl<F: Real> Weights<F> for &Checkpoint {
    type Error = Error;

    fn with<R>(&mut self, stage: Stage, act: impl FnOnce(&mut Parts<F>) -> R) -> Result<R, Error> {
        Ok(act(&mut self.weights(stage)?))
    }
}

/// Weights that are in memory.
#[derive(Debug)]
pub struct Held<F>(BTreeMap<Stage, Parts<F>>);

impl<F> Weights<F> for Held<F> {
    type Error = Error;

    fn with<R>(&mut self, stage: Stage, act: impl FnOnce(&mut Parts<F>) -> R) -> Result<R, Error> {
        Ok(act(self.0.get_mut(&stage).expect("every part of the stack was read")))
    }
}

/// The model that the configuration in a folder describes.
///
/// # Errors
/// A file that cannot be read, or describes no model.
pub fn configuration(folder: &Path) -> Result<Stack, Error> {
    let path = folder.join(CONFIG);
    let text = std::fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
    let object = json::parse(&text).map_err(|e| Error::Json { path: path.clone(), message: e.to_string() })?;
    Stack::from_config(&object).map_err(|source: ConfigError| Error::Config { path, source })
}

/// What is known of a tensor without its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    /// The type, or the name of one that we do not have.
    dtype: Result<DType, String>,
    shape: Vec<usize>,
    path: PathBuf,
}

/// What a model's parameters and the tensors that were found have against each other.
fn faults(stack: &Stack, found: &BTreeMap<String, Found>) -> Vec<Error> {
    let parameters = stack.tensors();
    let mut faults: Vec<Error> = parameters.iter().filter_map(|p| fault(p, found.get(&p.name))).collect();
    let names = || parameters.iter().map(|p| p.name.as_str());
    for (name, tensor) in found.iter().filter(|(name, _)| !names().any(|n| n == *name)) {
        let (nearest, path) = (nearest(name, names()).to_owned(), tensor.path.clone());
        faults.push(Error::Extra { name: name.clone(), got: tensor.shape.clone(), nearest, path });
    }
    faults
}

fn fault(parameter: &Parameter, found: Option<&Found>) -> Option<Error> {
    let (name, expected) = (parameter.name.clone(), parameter.shape.clone());
    let Some(found) = found else { return Some(Error::Missing { name, expected }) };
    match &found.dtype {
        Ok(dtype) if parameter.count != (*dtype == DType::I64) || !(parameter.count || DTYPES.contains(dtype)) => {
            return Some(Error::Type { name, got: dtype.name().to_owned() });
        }
        Err(got) => return Some(Error::Type { name, got: got.clone() }),
        Ok(_) => {}
    }
    (found.shape != expected).then(|| Error::Shape { name, expected, got: found.shape.clone() })
}

/// Numbers of their little-endian bytes.
fn widen<F: Real>(dtype: DType, bytes: &[u8], into: &mut Vec<F>) {
    match dtype {
        DType::F32 => into.extend(bytes.as_chunks::<4>().0.iter().map(|b| F::from_f64(f32::from_le_bytes(*b).into()))),
        DType::Bf16 => {
            into.extend(bytes.as_chunks::<2>().0.iter().map(|b| F::from_f64(bf16::from_le_bytes(*b).into())));
        }
        DType::F16 => into.extend(bytes.as_chunks::<2>().0.iter().map(|b| F::from_f64(f16::from_le_bytes(*b).into()))),
        DType::F64 => into.extend(bytes.as_chunks::<8>().0.iter().map(|b| F::from_f64(f64::from_le_bytes(*b)))),
        DType::I64 => into.extend(bytes.as_chunks::<8>().0.iter().map(|b| F::from_f64(i64::from_le_bytes(*b) as f64))),
    }
}

/// Upstream's parameters from tensors by the names of ports.
///
/// # Errors
/// A port that is missing, or whose tensor has another shape.
pub fn join(stack: &Stack, ports: &Tensors) -> Result<Tensors, Error> {
    let mut bytes: BTreeMap<String, (DType, Vec<u8>)> = BTreeMap::new();
    for weight in stack.all_weights() {
        let name = weight.port.name;
        let missing = || Error::Missing { name: name.to_owned(), expected: weight.shape.clone() };
        let tensor = ports.get(name).ok_or_else(missing)?;
        if tensor.shape() != weight.shape {
            let (expected, got) = (weight.shape.clone(), tensor.shape().to_vec());
            return Err(Error::Shape { name: name.to_owned(), expected, got });
        }
        let mut rest = tensor.bytes();
        for source in &weight.sources {
            let (mine, others) = rest.split_at(source.elements.len() * tensor.dtype().size());
            let (dtype, whole) = bytes.entry(source.tensor.clone()).or_insert((tensor.dtype(), Vec::new()));
            if *dtype != tensor.dtype() {
                return Err(Error::Type { name: name.to_owned(), got: tensor.dtype().name().to_owned() });
            }
            whole.extend_from_slice(mine);
            rest = others;
        }
    }
    stack
        .tensors()
        .into_iter()
        .map(|p| {
            // no port is a count, which begins at 0
            let none = if p.count { Tensor::from_i64(&[0]).into_bytes() } else { Vec::new() };
            let dtype = if p.count { DType::I64 } else { DType::F32 };
            let (dtype, bytes) = bytes.remove(&p.name).unwrap_or((dtype, none));
            Ok((p.name, Tensor::from_bytes(dtype, &p.shape, bytes)?))
        })
        .collect()
}
