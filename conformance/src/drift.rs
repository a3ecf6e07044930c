//! Error against length: one head of each op, from hundreds of tokens to hundreds of thousands.
//!
//! The truth is streamed: the oracle goes through the sequence in pieces, with the state handed on, in `f64`; so does
//! what rounding explains, the ladder, rounded as the storage type declares and, once, as plain `f32` code does, the
//! worse of the two. A candidate is asked the first tokens of the same sequence, in one call for each length. Outputs
//! are compared over the second half of each length, states at its end, gradients as a whole. A state that is kept too
//! coarsely, or a sum that stops growing, errs more with every token, and shows at no single length as clearly as in
//! the exponent.

mod page;
mod walk;

use std::process::ExitCode;
use std::time::Duration;

use reference::error::Error as Invalid;
use reference::spec::{Dim, Level, OpSpec};
use reference::tensor::{DType, Tensors};
use serde::Serialize;

use crate::candidate::open::{OpenError, OpenOptions, open};
use crate::candidate::{Candidate, Fill, Mode, Request};
use crate::case::Case;
use crate::cli::DriftArgs;
use crate::examine::answer;
use crate::glob::selects;
use crate::measure::{SAMPLES, drifts, exponent};
use crate::output::print;
use crate::sample::{self, Profile};
use crate::{environment, sheet};

use walk::{Error as Errors, gradients, ladder, relative, stream};

/// A measurement that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The candidate cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Nothing between the lengths.
    #[error("--shortest {shortest} is beyond --longest {longest}: lengths go from 2^{shortest} to 2^{longest} tokens")]
    Lengths {
        /// Power of two of the first length.
        shortest: u32,
        /// Power of two of the last length.
        longest: u32,
    },
    /// Nothing to measure.
    #[error("no op with a state that {candidate} has fits {filters:?}; see fla-conformance list")]
    Nothing {
        /// Who was asked for.
        candidate: String,
        /// Which ops.
        filters: Vec<String>,
    },
    /// The oracle cannot go through the sequence.
    #[error(transparent)]
    Oracle(#[from] Invalid),
    /// The report cannot be written.
    #[error(transparent)]
    Sheet(#[from] sheet::Error),
}

impl Error {
    /// 2 bad usage or input, 3 the environment lacks what was asked for.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Open(e) => e.exit_code(),
            _ => 2,
        }
    }
}

/// One output or gradient of one op, profile and type.
#[derive(Debug, Clone, Serialize)]
pub struct Curve {
    /// The case of the greatest length.
    pub case: String,
    /// Output or gradient.
    pub port: String,
    /// Lengths, and the candidate's error relative to the truth.
    pub error: Vec<(f64, f64)>,
    /// The same of rounded runs of the oracle.
    pub ladder: Vec<(f64, f64)>,
    /// The exponents of both.
    pub exponents: [Option<f64>; 2],
    /// Why it grows faster than rounding explains.
    pub wrong: Option<String>,
}

/// `fla-conformance drift`.
///
/// # Errors
/// See [`enum@Error`].
pub fn command(args: &DriftArgs) -> Result<ExitCode, Error> {
    let DriftArgs { shortest, longest, .. } = *args;
    if shortest > longest {
        return Err(Error::Lengths { shortest, longest });
    }
    let options = OpenOptions { timeout: Duration::from_secs(args.timeout), ..OpenOptions::default() };
    let mut candidate = open(&args.candidate, &options)?;
    let cases = cases(args, candidate.as_ref());
    if cases.is_empty() {
        return Err(Error::Nothing { candidate: args.candidate.clone(), filters: args.filters.clone() });
    }
    let mut curves = Vec::new();
    for case in &cases {
        let found = measured(candidate.as_mut(), case, args)?;
        found.iter().filter(|_| !args.json).for_each(|c| print(&format!("{}\n", page::line(c))));
        curves.extend(found);
    }
    let page = page::page(&curves, candidate.identity(), &environment::here());
    sheet::deliver(&args.out, "drift", &page, &curves, args.json, "")?;
    let fine = curves.iter().all(|c| c.wrong.is_none());
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One head of every op with a state that the candidate has, at the greatest length.
fn cases(args: &DriftArgs, candidate: &dyn Candidate) -> Vec<Case> {
    let has = |spec: &&'static OpSpec| {
        spec.level == Level::Op && !spec.states.is_empty() && candidate.ops().iter().any(|o| o == spec.name)
    };
    let named = |name: &str| args.filters.is_empty() || args.filters.iter().any(|f| selects(f, name));
    let mut cases = Vec::new();
    for spec in reference::specs().filter(has).filter(|s| named(s.name)) {
        for profile in args.profiles.iter().filter_map(|p| Profile::from_name(p)).filter(|p| p.concerns(spec)) {
            for dtype in args.dtypes.iter().filter_map(|d| DType::from_name(d)) {
                cases.extend(one_head(spec, args, profile, dtype));
            }
        }
    }
    cases
}

fn one_head(spec: &'static OpSpec, args: &DriftArgs, profile: Profile, dtype: DType) -> Option<Case> {
    let size = |dim: &&Dim| matches!(dim, Dim::H | Dim::HV | Dim::HQ | Dim::K | Dim::V | Dim::D);
    let extent = |dim: &Dim| if matches!(dim, Dim::K | Dim::V | Dim::D) { args.width } else { 1 };
    let sizes: Vec<String> = spec.sizes.iter().filter(size).map(|d| format!("{d}={}", extent(d))).collect();
    let fields =
        [format!("T={}", 1usize << args.longest), format!("dtype={dtype}"), format!("profile={}", profile.name())];
    format!("{}({})", spec.name, [sizes, fields.to_vec()].concat().join(",")).parse().ok()
}

/// Everything about one case.
fn measured(candidate: &mut dyn Candidate, case: &Case, args: &DriftArgs) -> Result<Vec<Curve>, Error> {
    let (inputs, cotangents) = (sample::inputs(case), sample::cotangents(case));
    let lengths: Vec<usize> = (args.shortest..=args.longest).map(|k| 1usize << k).collect();
    let truth = stream(case, &inputs, &lengths, None)?;
    let mut errors = Errors::new(&lengths);
    for sample in 0..=SAMPLES {
        let rounded = stream(case, &inputs, &lengths, Some(ladder(case.dtype, sample)))?;
        errors.rounded(sample, &truth, &rounded, case);
    }
    for &length in &lengths {
        let asked = ask(candidate, case, &inputs, &Tensors::new(), length);
        errors.got(&truth, asked.as_ref(), length, case);
    }
    for &length in lengths.iter().filter(|&&t| t <= 1 << args.gradients) {
        let exact = gradients(case, &inputs, &cotangents, length, None)?;
        for sample in [0, 1, SAMPLES] {
            let rounded = gradients(case, &inputs, &cotangents, length, Some(ladder(case.dtype, sample)))?;
            exact.iter().for_each(|(name, y)| errors.explain(sample, name, length, relative(&rounded[name], y)));
        }
        let asked = ask(candidate, case, &inputs, &cotangents, length);
        for (name, y) in &exact {
            let got = asked.as_ref().and_then(|a| a.get(name)).map_or(f64::NAN, |t| relative(&t.to_array(), y));
            errors.found(name, length, got);
        }
    }
    Ok(errors.curves().map(|(port, error, ladder)| curve(case, port, error, ladder)).collect())
}

fn curve(case: &Case, port: String, error: Vec<(f64, f64)>, ladder: Vec<(f64, f64)>) -> Curve {
    let exponents = [exponent(&error), exponent(&ladder)];
    let wrong = drifts(&error, &ladder);
    Curve { case: case.to_string(), port, error, ladder, exponents, wrong }
}

/// What the candidate answers about the first tokens; nothing when it does not.
fn ask(
    candidate: &mut dyn Candidate,
    case: &Case,
    inputs: &Tensors,
    cotangents: &Tensors,
    length: usize,
) -> Option<Tensors> {
    let problem = walk::first(&case.problem, length);
    let want = match cotangents.is_empty() {
        true => problem.outputs().map(|p| p.name.to_owned()).collect(),
        false => problem.differentiable().map(|p| format!("d_{}", p.name)).collect(),
    };
    let (inputs, cotangents) = (walk::tokens(case, inputs, 0..length), walk::tokens(case, cotangents, 0..length));
    let request =
        Request { problem, dtype: case.dtype, inputs, cotangents, want, fill: Fill::Any, mode: Mode::default() };
    let reply = candidate.call(&request);
    answer(&request, reply, 0).ok().map(|(tensors, _)| tensors)
}

#[cfg(test)]
mod tests;
