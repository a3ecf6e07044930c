//! Training twins: a tiny model of each family trained on the oracle's exact gradients, and the same on a candidate's.
//!
//! Both start from the same weights, in `f64`, see the same batches and take the same steps of Adam; a candidate gets
//! weights, and gives loss and gradients, in its storage type. How far two such runs may drift apart is what the
//! declared precision costs: further twins run on the oracle rounded as it would be ([`crate::measure::corridor`]).

mod adam;
mod memory;
mod page;
mod source;
mod task;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use ndarray::ArrayD;
use reference::models::DECODERS;
use reference::problem::Problem;
use reference::spec::{Dim, OpSpec};
use reference::tensor::{Arrays, DType};
use reports::record::Identity;
use serde::Serialize;

use crate::candidate::open::{BUILT_IN, OpenError, OpenOptions, open};
use crate::candidate::{BenchRequest, Candidate};
use crate::case::Case;
use crate::cli::TwinArgs;
use crate::environment;
use crate::measure::{corridor, parting, resolves};
use crate::nearest::nearest;
use crate::sample::Profile;
use crate::sheet;
use crate::weights;

use adam::Adam;
use source::{Source, faults};

/// Twins that cannot be trained.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The candidate cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No such family.
    #[error("no model {name:?}; the nearest is {nearest:?} (of {valid})")]
    Family {
        /// What was asked for.
        name: String,
        /// The valid name it resembles most.
        nearest: String,
        /// Every valid name.
        valid: String,
    },
    /// The oracle cannot take a step.
    #[error("{family}: the oracle cannot take step {step}: {message}")]
    Oracle {
        /// The family.
        family: String,
        /// The step, from 0.
        step: usize,
        /// Why.
        message: String,
    },
    /// The oracle cannot judge.
    #[error(transparent)]
    Judge(#[from] reference::error::Error),
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

/// The ten families, simple ones first.
pub const FAMILIES: [&str; 10] =
    ["linear_attn", "retnet", "gla", "hgrn", "delta_net", "gated_deltanet", "kda", "mamba2", "gsa", "transformer"];

/// Rows and tokens of a batch.
const ROWS: usize = 4;
const TOKENS: usize = 32;

/// Standard deviation of the initial weights: with so few channels, less would begin in the flat.
const RANGE: f64 = 0.2;

/// Rounded twins behind a corridor.
const SAMPLES: u64 = 2;

/// Steps whose losses are averaged where a single number stands for the end of a curve.
const LAST: usize = 10;

/// One trained model.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Curve {
    /// Mean loss before each update.
    pub losses: Vec<f64>,
    /// Seconds spent in asking for losses and gradients.
    pub seconds: f64,
    /// Most memory, bytes, where it is known.
    pub peak_bytes: Option<u64>,
    /// Why it ended early.
    pub stopped: Option<String>,
}

impl Curve {
    /// The mean of the last losses.
    #[must_use]
    pub fn last(&self) -> f64 {
        let tail = &self.losses[self.losses.len().saturating_sub(LAST)..];
        tail.iter().sum::<f64>() / tail.len() as f64
    }
}

/// Twins of one family.
#[derive(Debug, Clone, Serialize)]
pub struct Twins {
    /// Upstream's `model_type`.
    pub family: String,
    /// The model's case.
    pub case: String,
    /// Numbers that are learnt.
    pub parameters: usize,
    /// The loss of who does not look back.
    pub chance: f64,
    /// Trained on exact gradients.
    pub oracle: Curve,
    /// Trained on the candidate's.
    pub candidate: Curve,
    /// How far the latter may be from the former.
    pub corridor: Vec<f64>,
    /// The first step at which it is further, from 0.
    pub parted: Option<usize>,
    /// The first step from which the corridor is too wide to tell anything.
    pub blind: Option<usize>,
    /// The candidate's gradients at the first step that are beyond their limits.
    pub wrong: Vec<String>,
    /// Tokens of all steps.
    pub tokens: usize,
}

impl Twins {
    /// Whether the candidate's twin did as well as its precision allows, to the end.
    #[must_use]
    pub fn fine(&self) -> bool {
        self.parted.is_none() && self.candidate.stopped.is_none() && self.wrong.is_empty()
    }
}

/// How to train.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Updates.
    pub steps: usize,
    /// Storage type of what the candidate gets and gives.
    pub dtype: DType,
    /// Which weights, and which tasks.
    pub seed: u64,
}

/// `fla-conformance twin`.
///
/// # Errors
/// See [`enum@Error`].
pub fn command(args: &TwinArgs) -> Result<ExitCode, Error> {
    let specs = specs(&args.families)?;
    let options = OpenOptions { timeout: Duration::from_secs(args.timeout), ..OpenOptions::default() };
    let mut candidate = open(&args.candidate, &options)?;
    let own = BUILT_IN[..2].contains(&args.candidate.trim());
    let dtype = DType::from_name(&args.dtype).unwrap_or(DType::F32);
    let plan = Plan { steps: args.steps as usize, dtype, seed: args.seed };
    let mut all: Vec<Twins> = Vec::new();
    for spec in specs {
        let mut twins = twins(spec, candidate.as_mut(), &plan)?;
        if !own {
            twins.candidate.peak_bytes = measured(spec, candidate.as_mut(), &plan);
        }
        eprintln!("{}", page::line(&twins));
        all.push(twins);
    }
    let who: Identity = candidate.identity().clone();
    let page = page::page(&all, &who, &plan, &environment::here());
    sheet::deliver(&args.out, "twin", &page, &all, args.json, &page::text(&all))?;
    Ok(if all.iter().all(Twins::fine) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn specs(families: &[String]) -> Result<Vec<&'static OpSpec>, Error> {
    let spec = |name: &str| reference::spec(&format!("{name}_model"));
    let find = |name: &String| {
        spec(name).ok_or_else(|| {
            let valid = || DECODERS.iter().map(|m| m.model_type);
            let nearest = nearest(name, valid()).to_owned();
            Error::Family { name: name.clone(), nearest, valid: valid().collect::<Vec<_>>().join(", ") }
        })
    };
    if families.is_empty() {
        return Ok(FAMILIES.iter().filter_map(|name| spec(name)).collect());
    }
    families.iter().map(find).collect()
}

/// Trains the twins of one family.
///
/// # Errors
/// A step that the oracle cannot take.
pub fn twins(spec: &'static OpSpec, candidate: &mut dyn Candidate, plan: &Plan) -> Result<Twins, Error> {
    let case = case(spec, plan);
    let family = spec.name.trim_end_matches("_model").to_owned();
    let weights: Arrays = weights::initial(&case, RANGE).iter().map(|(name, t)| (name.clone(), t.to_array())).collect();
    let exact = |mut source: Source<'_>| match train(&case.problem, weights.clone(), &mut source, plan) {
        Curve { stopped: Some(message), losses, .. } => {
            Err(Error::Oracle { family: family.clone(), step: losses.len(), message })
        }
        curve => Ok(curve),
    };
    let oracle = exact(Source::Exact)?;
    let samples = (0..SAMPLES).map(|k| Ok(exact(Source::Rounded(plan.dtype, k))?.losses));
    let samples = samples.collect::<Result<Vec<_>, Error>>()?;
    let corridor = corridor(&oracle.losses, &samples, plan.dtype);
    let mut inputs = weights.clone();
    let (cotangents, _) = batch(&mut inputs, plan, 0);
    let wrong = faults(candidate, &case.problem, &inputs, &cotangents, plan.dtype)?;
    let candidate = train(&case.problem, weights.clone(), &mut Source::Asked(candidate, plan.dtype), plan);
    let parameters = case.problem.differentiable().map(|p| weights[p.name].len()).sum();
    let parted = parting(&oracle.losses, &candidate.losses, &corridor);
    let blind = corridor.iter().position(|&width| !resolves(width, oracle.losses[0]));
    let tokens = plan.steps * ROWS * TOKENS;
    let (case, chance) = (case.to_string(), task::chance());
    Ok(Twins { family, case, parameters, chance, oracle, candidate, corridor, parted, blind, wrong, tokens })
}

/// The model: two blocks, as small as its layer allows.
fn case(spec: &'static OpSpec, plan: &Plan) -> Case {
    let size = |&dim: &Dim| {
        let extent = match dim {
            Dim::B | Dim::N => ROWS,
            Dim::T => TOKENS,
            Dim::S => task::SYMBOLS,
            Dim::D => 16,
            Dim::I | Dim::F => 32,
            Dim::K | Dim::V | Dim::M => 8,
            Dim::W | Dim::E | Dim::C => 4,
            Dim::AK => 8,
            Dim::H | Dim::HV | Dim::HQ | Dim::L | Dim::R | Dim::AQ | Dim::AH => 2,
            Dim::G => 1,
        };
        (dim, extent)
    };
    let sizes: Vec<_> = spec.sizes.iter().map(size).collect();
    let mut problem = Problem::new(spec, &sizes);
    problem.absent.extend(spec.states.iter().flat_map(|s| [s.initial, s.last]));
    problem.mend();
    Case { problem, dtype: plan.dtype, profile: Profile::Typical, seed: plan.seed }
}

/// Trains one model.
fn train(problem: &Problem, mut inputs: Arrays, source: &mut Source<'_>, plan: &Plan) -> Curve {
    let (mut adam, mut curve) = (Adam::default(), Curve::default());
    let fresh = memory::restart();
    for step in 0..plan.steps {
        let (cotangents, counted) = batch(&mut inputs, plan, step);
        let begun = Instant::now();
        match source.slope(problem, &inputs, &cotangents, step as u64) {
            Ok(slope) => {
                curve.seconds += begun.elapsed().as_secs_f64();
                curve.losses.push(slope.losses / counted);
                adam.update(&mut inputs, &slope.gradients);
            }
            Err(message) => {
                curve.stopped = Some(message);
                break;
            }
        }
    }
    curve.peak_bytes = memory::peak().filter(|_| fresh);
    curve
}

/// Puts the symbols and targets of a step among the inputs; gives what makes a mean of the losses, and of how many.
fn batch(inputs: &mut Arrays, plan: &Plan, step: usize) -> (Arrays, f64) {
    let batch = task::batch(ROWS, TOKENS, plan.seed, step);
    let targets = &batch["targets"];
    let counted = targets.iter().filter(|&&y| y >= 0.0).count() as f64;
    let cotangents = Arrays::from([("d_loss".to_owned(), ArrayD::from_elem(targets.raw_dim(), 1.0 / counted))]);
    inputs.extend(batch);
    (cotangents, counted)
}

/// What a candidate of another process says of its memory, where it measures.
fn measured(spec: &'static OpSpec, candidate: &mut dyn Candidate, plan: &Plan) -> Option<u64> {
    if !candidate.abilities().bench {
        return None;
    }
    let Case { problem, dtype, profile, seed } = case(spec, plan);
    let gradients = problem.differentiable().map(|p| format!("d_{}", p.name));
    let want = std::iter::once("loss".to_owned()).chain(gradients).collect();
    let profile = profile.name().to_owned();
    candidate.bench(&BenchRequest { problem, dtype, want, iterations: 1, profile, seed }).ok()?.peak_bytes
}
