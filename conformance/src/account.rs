//! The stability account of a model's training step: norms and magnitudes layer by layer, in every precision.
//!
//! A step runs in `f64` and, with every operation rounded, as each precision would; what passes the blocks, and every
//! gradient, is then looked at as that type stores it: what is too large for it is infinite, what is too small is zero.
//! All of it for several standard deviations of the initial weights.

mod page;

use std::process::ExitCode;

use rayon::prelude::*;
use reference::tensor::DType;
use serde::Serialize;

use crate::cli::AccountArgs;
use crate::environment;
use crate::measure::{index, rounding};
use crate::sheet;
use crate::step::{self, Quantity, Step, Trace};
use crate::weights;

/// An account that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a model, or no step of one.
    #[error(transparent)]
    Step(#[from] step::Error),
    /// A question that the oracle cannot answer.
    #[error(transparent)]
    Oracle(#[from] reference::error::Error),
    /// The report cannot be written.
    #[error(transparent)]
    Sheet(#[from] sheet::Error),
}

/// One line of the account.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Standard deviation of the initial weights.
    pub initializer_range: f64,
    /// Precision.
    pub dtype: &'static str,
    /// `embeddings`, `layers.1.mixer`, `layers.1`, `logits`, `lm_head.weight`.
    pub place: String,
    /// See [`Quantity::kind`].
    pub what: &'static str,
    /// Root mean square of what is finite.
    #[serde(with = "reports::number")]
    pub norm: f64,
    /// Largest magnitude.
    #[serde(with = "reports::number")]
    pub largest: f64,
    /// Smallest magnitude that is not zero.
    #[serde(with = "reports::number")]
    pub smallest: f64,
    /// Elements that the type stores as zero and that are not.
    pub vanished: usize,
    /// Elements that are NaN or infinite.
    pub not_finite: usize,
    /// The first of them.
    pub at: Option<Vec<usize>>,
    /// Root mean square of the difference to `f64`, over that of `f64`.
    #[serde(with = "reports::number")]
    pub error: f64,
}

/// The whole account.
#[derive(Debug, Clone)]
pub struct Account {
    /// The case.
    pub case: String,
    /// For each range and precision, forwards and then backwards.
    pub rows: Vec<Row>,
    /// Range, precision, mean loss.
    pub losses: Vec<(f64, &'static str, f64)>,
}

impl Account {
    /// The first NaN or Inf of each range and precision that has one.
    #[must_use]
    pub fn first(&self) -> Vec<&Row> {
        let mut found: Vec<&Row> = Vec::new();
        for row in self.rows.iter().filter(|r| r.not_finite > 0) {
            let known = |r: &&Row| (r.initializer_range.to_bits(), r.dtype);
            if !found.iter().any(|f| known(f) == known(&row)) {
                found.push(row);
            }
        }
        found
    }
}

/// `fla-conformance account`.
///
/// # Errors
/// See [`enum@Error`].
pub fn command(args: &AccountArgs) -> Result<ExitCode, Error> {
    let step = Step::parse(&args.model)?;
    let dtypes: Vec<DType> = args.dtype.iter().filter_map(|name| DType::from_name(name)).collect();
    let steps: Vec<(f64, Step)> = args
        .initializer_range
        .iter()
        .map(|&range| Ok((range, Step::new(step.case.clone(), weights::initial(&step.case, range))?)))
        .collect::<Result<_, step::Error>>()?;
    eprintln!("{} steps of {}", steps.len() * (1 + dtypes.len()), step.case);
    let account = account(&steps, &dtypes)?;
    let page = page::page(&account, &environment::here().command);
    sheet::deliver(&args.out, "account", &page, &account.rows, args.json, &page::text(&account))?;
    Ok(if account.first().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The account of steps, each with the standard deviation of its weights, at these precisions and in `f64`.
///
/// # Errors
/// Numbers that do not fit the problem.
pub fn account(steps: &[(f64, Step)], dtypes: &[DType]) -> Result<Account, Error> {
    let all: Vec<DType> = std::iter::once(DType::F64).chain(dtypes.iter().copied()).collect();
    let runs: Vec<(f64, Step)> =
        steps.iter().flat_map(|(range, step)| all.iter().map(|&d| (*range, at(step, d)))).collect();
    let traces = runs.par_iter().map(|(_, step)| run(step)).collect::<Result<Vec<_>, _>>()?;
    let mut account = Account {
        case: steps.first().map_or_else(String::new, |s| s.1.case.to_string()),
        rows: Vec::new(),
        losses: Vec::new(),
    };
    for (group, traces) in runs.chunks(all.len()).zip(traces.chunks(all.len())) {
        let exact = group[0].1.quantities(&traces[0]);
        for ((range, step), trace) in group.iter().zip(traces) {
            let quantities = step.quantities(trace);
            account.losses.push((*range, step.case.dtype.name(), trace.loss));
            account.rows.extend(quantities.iter().zip(&exact).map(|(q, exact)| row(step, *range, q, exact)));
        }
    }
    Ok(account)
}

/// The same step in another precision.
fn at(step: &Step, dtype: DType) -> Step {
    let mut other = step.clone();
    other.case.dtype = dtype;
    other.inputs = weights::stored(&other.case, &step.inputs);
    other
}

fn run(step: &Step) -> Result<Trace, reference::error::Error> {
    let dtype = step.case.dtype;
    step.run((dtype != DType::F64).then(|| rounding(dtype, 0)).as_ref())
}

fn row(step: &Step, range: f64, quantity: &Quantity, exact: &Quantity) -> Row {
    let place = quantity.name.strip_prefix("d_").unwrap_or(&quantity.name).to_owned();
    let stored = quantity.values.mapv(|x| quantity.dtype.round(x));
    let finite = || stored.iter().copied().filter(|x| x.is_finite());
    let first = stored.iter().position(|x| !x.is_finite());
    let square = |values: &mut dyn Iterator<Item = f64>| {
        let (sum, count) = values.fold((0.0, 0usize), |(sum, n), x| (sum + x * x, n + 1));
        (sum / count.max(1) as f64).sqrt()
    };
    let difference = square(&mut stored.iter().zip(&exact.values).map(|(a, b)| a - b).filter(|x| x.is_finite()));
    let signal = square(&mut exact.values.iter().copied());
    Row {
        initializer_range: range,
        dtype: step.case.dtype.name(),
        place,
        what: quantity.kind,
        norm: square(&mut finite()),
        largest: stored.iter().fold(0.0, |most: f64, x| if x.is_nan() { most } else { most.max(x.abs()) }),
        smallest: finite().map(f64::abs).filter(|&x| x > 0.0).fold(f64::INFINITY, f64::min),
        vanished: stored.iter().zip(&quantity.values).filter(|(s, x)| **s == 0.0 && **x != 0.0).count(),
        not_finite: stored.len() - finite().count(),
        at: first.map(|i| index(stored.shape(), i)),
        error: if difference > 0.0 { difference / signal } else { 0.0 },
    }
}
