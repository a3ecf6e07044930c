//! Standards kept on disk, so that judging another candidate costs the candidate alone.
//!
//! A file is named by the hash of everything its numbers follow from: this very program, the problem, the storage type,
//! inputs, cotangents and the number of rounded runs. A program that was built anew therefore finds nothing of an older
//! one's.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use ndarray::{ArrayD, IxDyn};
use reference::problem::Problem;
use reference::tensor::{DType, Tensors};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Standards, port};
use crate::measure::{Limit, Standard, Statistic};

/// A folder of standards.
#[derive(Debug)]
pub struct Shelf {
    folder: PathBuf,
    program: Vec<u8>,
}

/// What a standard has beside its arrays.
#[derive(Serialize, Deserialize)]
struct Label {
    /// Statistics, and the bits of their limits and of what is common, which decimal digits may miss by one.
    limits: Vec<(String, u64, Vec<[u64; 2]>)>,
    doubt: Option<String>,
    runs: u64,
}

impl Shelf {
    /// The shelf in `folder`, which is made if need be.
    ///
    /// # Errors
    /// A folder that cannot be made, or a program that cannot read itself.
    pub fn open(folder: &Path) -> std::io::Result<Self> {
        fs::create_dir_all(folder)?;
        let program = Sha256::digest(fs::read(std::env::current_exe()?)?).to_vec();
        Ok(Self { folder: folder.to_owned(), program })
    }

    /// Where the standards of a question belong that rest on so many rounded runs.
    pub(super) fn place(
        &self,
        problem: &Problem,
        dtype: DType,
        inputs: &Tensors,
        cotangents: &Tensors,
        runs: u64,
    ) -> PathBuf {
        let mut hash = Sha256::new();
        hash.update(&self.program);
        hash.update(format!("{problem} {dtype} {runs}"));
        for (name, tensor) in inputs.iter().chain(cotangents) {
            hash.update(format!("{name} {} {:?}", tensor.dtype(), tensor.shape()));
            hash.update(tensor.bytes());
        }
        self.folder.join(format!("{:x}", hash.finalize())).with_extension("safetensors")
    }
}

/// The standards that a file holds; `None` when there is none, or it is not whole.
pub(super) fn find(path: &Path, problem: &Problem, storage: DType) -> Option<Standards> {
    let bytes = fs::read(path).ok()?;
    let file = SafeTensors::deserialize(&bytes).ok()?;
    let (_, header) = SafeTensors::read_metadata(&bytes).ok()?;
    let labels = header.metadata().as_ref()?;
    let array = |name: &str| {
        let view = file.tensor(name).ok()?;
        let values = view.data().as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect();
        ArrayD::from_shape_vec(IxDyn(view.shape()), values).ok()
    };
    let standard = |(name, label): (&String, &String)| {
        let label: Label = serde_json::from_str(label).ok()?;
        let limit = |(name, quantiles, common): &(String, u64, Vec<[u64; 2]>)| {
            let common = common.iter().map(|bits| bits.map(f64::from_bits)).collect();
            Some(Limit { statistic: Statistic::from_name(name)?, quantiles: f64::from_bits(*quantiles), common })
        };
        let limits = label.limits.iter().map(limit).collect::<Option<Vec<_>>>()?;
        let (doubt, runs) = (label.doubt, label.runs);
        let port = port(problem, name)?;
        let (truth, sigma) = (array(&format!("{name} truth"))?, array(&format!("{name} sigma"))?);
        let dtype = Problem::dtype(port, storage);
        let port_name = name.clone();
        let found =
            Standard { port: port_name, dims: port.dims, dtype, truth, sigma, limits, doubt, runs, closer: None };
        Some((name.clone(), found))
    };
    labels.iter().map(standard).collect()
}

/// Keeps standards. A shelf that cannot be written is no reason to fail: they are computed again.
pub(super) fn keep(path: &Path, standards: &Standards) {
    let bytes = |array: &ArrayD<f64>| array.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let mut arrays = Vec::new();
    let mut labels = HashMap::new();
    for (name, s) in standards {
        arrays.push((format!("{name} truth"), s.truth.shape(), bytes(&s.truth)));
        arrays.push((format!("{name} sigma"), s.sigma.shape(), bytes(&s.sigma)));
        let bits = |l: &Limit| {
            let common = l.common.iter().map(|parts| parts.map(f64::to_bits)).collect();
            (l.statistic.name().to_owned(), l.quantiles.to_bits(), common)
        };
        let limits = s.limits.iter().map(bits);
        let label = Label { limits: limits.collect(), doubt: s.doubt.clone(), runs: s.runs };
        let Ok(text) = serde_json::to_string(&label) else { return };
        labels.insert(name.clone(), text);
    }
    let views: Option<Vec<_>> = arrays
        .iter()
        .map(|(name, shape, data)| Some((name, TensorView::new(Dtype::F64, shape.to_vec(), data).ok()?)))
        .collect();
    let Some(Ok(blob)) = views.map(|v| serialize(v, Some(labels))) else { return };
    let put = || -> std::io::Result<()> {
        let mut draft = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
        draft.write_all(&blob)?;
        draft.persist(path)?;
        Ok(())
    };
    _ = put();
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::measure::{MORE, MOST_SAMPLES};
    use crate::truth::Truth;

    #[test]
    fn what_is_found_is_what_was_kept_and_a_broken_file_is_not_found() {
        let folder = tempfile::TempDir::new().expect("a temporary directory");
        let shelf = Arc::new(Shelf::open(folder.path()).expect("a folder of ours"));
        let case: crate::case::Case = "simple_gla(T=20,H=1,K=8,V=8,absent=g_gamma,dtype=f32)".parse().expect("valid");
        let first = Truth::of(&case).on(Some(shelf.clone()));
        let (fresh, gradients) = (first.outputs(), first.gradients(&first.cotangents));
        let (fresh, gradients) = (fresh.expect("valid"), gradients.expect("valid"));
        assert!(fresh.values().any(|s| s.limits.iter().any(|l| !l.common.is_empty())), "{fresh:?}");
        let files: Vec<_> = fs::read_dir(folder.path()).expect("there").map(|f| f.expect("there").path()).collect();
        assert_eq!(files.len(), 2);
        let second = Truth::of(&case).on(Some(shelf.clone()));
        assert_eq!(second.outputs().expect("kept"), fresh);
        assert_eq!(second.gradients(&second.cotangents).expect("kept"), gradients);
        for file in files {
            assert!(find(&file, &case.problem, case.dtype).is_some());
            fs::write(&file, &fs::read(&file).expect("there")[..100]).expect("a folder of ours");
            assert!(find(&file, &case.problem, case.dtype).is_none());
        }
        let third = Truth::of(&case).on(Some(shelf));
        assert_eq!(third.outputs().expect("computed again"), fresh);
    }

    #[test]
    fn a_second_look_is_kept_beside_the_first_one() {
        let folder = tempfile::TempDir::new().expect("a temporary directory");
        let shelf = Arc::new(Shelf::open(folder.path()).expect("a folder of ours"));
        let files = || fs::read_dir(folder.path()).expect("there").count();
        let case: crate::case::Case = "hgrn(B=1,T=20,D=8,dtype=bf16)".parse().expect("valid");
        let look = || {
            let truth = Truth::of(&case).on(Some(shelf.clone()));
            let first = truth.outputs().expect("valid")["o"].clone();
            let kept = files();
            let second = first.closer.as_ref().and_then(|closer| closer.standard("o")).cloned();
            (first, kept, second.expect("valid"))
        };
        let (first, kept, second) = look();
        assert_eq!((kept, files()), (1, 2), "nobody looks before somebody asks");
        assert_eq!((first.runs, second.runs), (MOST_SAMPLES, MORE * MOST_SAMPLES));
        assert!(first.truth == second.truth && first.sigma != second.sigma && second.closer.is_none());
        let ((first_again, _, second_again), kept) = (look(), files());
        assert_eq!((first_again, second_again, kept), (first, second, 2));
    }
}
