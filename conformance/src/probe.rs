//! What a spec promises, found out by asking its function: a property that the oracle has on a small problem, to the
//! last bit of `f64`, is one that a candidate is held to. Nothing here names an op.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use reference::error::Error;
use reference::oracle;
use reference::problem::Problem;
use reference::spec::{Dim, Level};
use reference::tensor::{Arrays, DType, Tensors};

use crate::case::Case;
use crate::sample::{self, Profile};

/// Tokens of a small problem: so many that no mean over them is exact in binary.
const TOKENS: usize = 5;

/// The case with the same options and absent inputs, few tokens and two narrow key heads, as the first may be a special
/// case, in `f64`; `None` for what is built of ops, which promises nothing by itself, and where constraints forbid it.
#[must_use]
pub fn small(case: &Case, profile: Profile, rows: usize) -> Option<Case> {
    let spec = case.problem.spec;
    if spec.level > Level::Module {
        return None;
    }
    let mut problem = Problem { sequences: None, ..case.problem.clone() };
    let heads = case.problem.size(Dim::H).max(1);
    for (dim, size) in &mut problem.sizes {
        *size = match dim {
            Dim::T => TOKENS,
            Dim::B => rows,
            Dim::H => 2,
            Dim::HV | Dim::HQ => 2 * (*size / heads).clamp(1, 2),
            Dim::V => 3,
            // the same whatever the case, so that few problems are asked about
            _ => 4,
        };
    }
    problem.mend();
    problem.validate().ok()?;
    Some(Case { problem, dtype: DType::F64, profile, seed: 3 })
}

/// Inputs and cotangents.
#[derive(Debug, Clone)]
pub struct Question {
    /// The problem.
    pub problem: Problem,
    /// Inputs by port.
    pub inputs: Arrays,
    /// Cotangents by `d_<output>`.
    pub cotangents: Arrays,
}

impl Question {
    /// The question of a case.
    #[must_use]
    pub fn of(case: &Case) -> Self {
        let (inputs, cotangents) = (wide(&sample::inputs(case)), wide(&sample::cotangents(case)));
        Self { problem: case.problem.clone(), inputs, cotangents }
    }

    /// Outputs that are asked for.
    ///
    /// # Errors
    /// Inputs that do not fit the problem.
    pub fn outputs(&self) -> Result<Arrays, Error> {
        let all = oracle::forward(&self.problem, &self.inputs)?;
        Ok(all.into_iter().filter(|(name, _)| self.problem.outputs().any(|p| p.name == name)).collect())
    }

    /// Outputs that are asked for, and every gradient.
    ///
    /// # Errors
    /// Inputs that do not fit the problem.
    pub fn answer(&self) -> Result<Arrays, Error> {
        let want: Vec<&str> = self.problem.differentiable().map(|p| p.name).collect();
        let answer = oracle::gradients(&self.problem, &self.inputs, &self.cotangents, &want)?;
        let asked = |name: &String| self.problem.outputs().any(|p| p.name == name);
        Ok(answer.outputs.into_iter().filter(|(name, _)| asked(name)).chain(answer.gradients).collect())
    }
}

/// Tensors as the oracle takes them.
#[must_use]
pub fn wide(tensors: &Tensors) -> Arrays {
    tensors.iter().map(|(name, t)| (name.clone(), t.to_array())).collect()
}

/// Answers about problems that were asked before.
#[derive(Debug)]
pub struct Memo<T>(Mutex<BTreeMap<String, T>>);

impl<T: Clone> Memo<T> {
    /// No answers yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// The answer about a small case.
    pub fn of(&self, case: &Case, ask: impl FnOnce(&Case) -> T) -> T {
        let text = case.to_string();
        let known = |memo: &Self| memo.0.lock().unwrap_or_else(PoisonError::into_inner).get(&text).cloned();
        if let Some(found) = known(self) {
            return found;
        }
        let found = ask(case);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(text, found.clone());
        found
    }
}

impl<T: Clone> Default for Memo<T> {
    fn default() -> Self {
        Self::new()
    }
}
