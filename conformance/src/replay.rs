//! One case again, with the full account.

mod account;
mod likeness;
mod place;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use reference::tensor::DType;
use reports::record::{Expected, Judged, Line};
use reports::verdict::{Fault, Verdict};

use crate::candidate::open::{OpenError, OpenOptions, open};
use crate::candidate::{Candidate, Request};
use crate::case::{self, Case};
use crate::check::{Check, applicable, applies};
use crate::cli::ReplayArgs;
use crate::examine::{self, Asked, ask, judge};
use crate::lattice;
use crate::output::{print, print_record};
use crate::run::{self, reproducer};
use crate::shrink::shrink;
use crate::truth::Truth;
use crate::wire;

/// A replay that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a case string, and not a file.
    #[error(transparent)]
    Case(#[from] case::Error),
    /// The candidate cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A bad check name.
    #[error(transparent)]
    Run(#[from] run::Error),
    /// None of the checks applies.
    #[error("none of the checks {checks} has anything to check in {case}")]
    Nothing {
        /// The checks.
        checks: String,
        /// The case.
        case: String,
    },
    /// A file that is no dumped call.
    #[error("{path} is no dumped call: {source}")]
    Dump {
        /// The file.
        path: PathBuf,
        /// Why.
        source: wire::Error,
    },
    /// A file that cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A case for a larger machine.
    #[error(transparent)]
    Room(#[from] case::Room),
    /// A call that the oracle cannot answer.
    #[error(transparent)]
    Oracle(#[from] reference::error::Error),
}

impl Error {
    /// 2 bad usage or input, 3 the environment lacks what was asked for.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Open(e) => e.exit_code(),
            Self::Room(_) => 3,
            _ => 2,
        }
    }
}

/// How long smaller cases are looked for, of each check.
const PATIENCE: Duration = Duration::from_secs(60);

/// `fla-conformance replay`.
///
/// # Errors
/// See [`enum@Error`].
pub fn command(args: &ReplayArgs) -> Result<ExitCode, Error> {
    let checks = run::checks(&args.checks)?;
    let options = OpenOptions { timeout: Duration::from_secs(args.timeout), ..OpenOptions::default() };
    let path = Path::new(&args.case);
    if path.is_file() || path.extension().is_some_and(|e| e == "safetensors") {
        let request = load(path)?;
        return call(&request, open(&args.candidate, &options)?.as_mut());
    }
    let case: Case = args.case.parse()?;
    case.fits(DType::F64)?;
    let mine: Vec<&Check> = applicable(&case).filter(|c| checks.iter().any(|k| k.name == c.name)).collect();
    if mine.is_empty() {
        let checks = checks.iter().map(|c| c.name).collect::<Vec<_>>().join(", ");
        return Err(Error::Nothing { checks, case: case.to_string() });
    }
    let mut candidate = open(&args.candidate, &options)?;
    let truth = Truth::of(&case);
    let mut failed: Vec<&Check> = Vec::new();
    let (mut right, mut wrong) = (BTreeSet::new(), BTreeSet::new());
    for check in mine {
        let asked = ask(candidate.as_mut(), &case, &truth, check);
        let verdict = judge(&case, &truth, check, &asked);
        if let Some(folder) = &args.dump {
            dump(folder, check, &asked)?;
        }
        tell(args, &case, &truth, check, &asked, &verdict);
        let own = examine::wrong(&truth, check, &asked);
        right.extend(examine::judged(&truth, check, &asked).into_iter().filter(|name| !own.contains(name)));
        wrong.extend(own);
        if !matches!(verdict, Verdict::Pass { .. } | Verdict::NotApplicable { .. }) {
            failed.push(check);
        }
    }
    if !args.json && !wrong.is_empty() {
        print(&format!("{}\n", account::tensors(&right, &wrong)));
        let place = place::first_wrong(candidate.as_mut(), &case, &truth);
        for line in place.into_iter().chain(likeness::likeness(case.problem.spec.name, &wrong)) {
            print(&format!("{line}\n"));
        }
    }
    if args.shrink {
        for check in &failed {
            smallest(args, &case, check, candidate.as_mut());
        }
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(args: &ReplayArgs, case: &Case, truth: &Truth, check: &Check, asked: &Asked, verdict: &Verdict) {
    if !args.json {
        print(&account::full(case, truth, check, asked, verdict));
        return;
    }
    let judged = Judged {
        op: case.problem.spec.name.to_owned(),
        case: case.to_string(),
        check: check.name.to_owned(),
        suite: "replay".to_owned(),
        verdict: verdict.clone(),
        expected: Expected::Pass,
        seconds: 0.0,
        ran: asked.ran.clone(),
    };
    print_record(&Line::Judged(judged));
}

/// A dumped call has no case any more: its numbers are judged as they are.
fn call(request: &Request, candidate: &mut dyn Candidate) -> Result<ExitCode, Error> {
    print(&format!("{} {}\n", request.problem, request.dtype));
    let verdict = match examine::answer(request, candidate.call(request), 0) {
        Ok((tensors, _)) => {
            let verdict = examine::judge_request(request, &tensors)?;
            print(&account::of_call(request, &tensors, &verdict)?);
            verdict
        }
        Err(verdict) => {
            print(&format!("{}\n", account::line("call", &verdict)));
            *verdict
        }
    };
    let fine = matches!(verdict, Verdict::Pass { .. });
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn load(path: &Path) -> Result<Request, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    wire::decode_call(&bytes).map_err(|source| Error::Dump { path: path.to_owned(), source })
}

fn dump(folder: &Path, check: &Check, asked: &Asked) -> Result<(), Error> {
    for (i, request) in asked.requests.iter().enumerate() {
        let path = folder.join(format!("{}-{i}.safetensors", check.name));
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, wire::encode_call(request)))
            .map_err(|source| Error::File { path, source })?;
    }
    Ok(())
}

fn smallest(args: &ReplayArgs, case: &Case, check: &Check, candidate: &mut dyn Candidate) {
    let start = Instant::now();
    let mut fails = |check: &Check, case: &Case| {
        if start.elapsed() > PATIENCE || !applies(case, check) {
            return false;
        }
        let truth = Truth::of(case);
        let asked = ask(candidate, case, &truth, check);
        matches!(judge(case, &truth, check, &asked), Verdict::Fail { .. })
    };
    let (smallest, tried) = shrink(case, |case| fails(check, case));
    let again = |check: &Check, case: &Case| reproducer(&args.candidate, &case.to_string(), check.name);
    let mut text =
        format!("smallest case that fails {} after {tried} tries:\n  {}", check.name, again(check, &smallest));
    // a fault that shows where every answer is exact is no matter of precision
    let exact = lattice::on(smallest);
    if let Some(check) = crate::check::check("lattice").filter(|check| fails(check, &exact)) {
        let _ = write!(text, "\nit fails where every answer is exact, too:\n  {}", again(check, &exact));
    }
    if args.json { eprintln!("{text}") } else { print(&format!("{text}\n")) }
}

/// Whether a verdict says that elements are too far from the truth, and of which port.
fn inaccurate(verdict: &Verdict) -> Option<(&str, usize)> {
    match verdict {
        Verdict::Fail { fault: Fault::Inaccurate { worst, .. }, call } => Some((&worst.port, *call)),
        Verdict::Fail { fault: Fault::NonFinite { port, .. }, call } => Some((port, *call)),
        _ => None,
    }
}
