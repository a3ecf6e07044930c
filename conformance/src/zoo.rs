//! The power of the judge, measured.
//!
//! Faults are planted in our own kernels, without touching them: a table says which stretch of which source is replaced
//! by what, the host build of the kernels concerned is compiled with it, and a suite is put to the result. Scores are
//! the share of faults that are found. On the other side, right answers are judged: none may fail. Both campaigns leave
//! records, and the table in the README is made of these.

mod alarms;
pub mod args;
mod build;
mod ground;
mod hunt;
mod nulls;
mod past;
mod prey;
pub mod record;
mod rules;
mod score;
pub mod table;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use reports::marks::NoMarks;

use crate::candidate::open::{OpenError, OpenOptions};
use crate::environment;
use crate::output::print;
use args::{AlarmsArgs, HuntArgs, TableArgs, What, ZooArgs};
use record::Line;
use table::{SKELETONS, TEMPLATE};

pub use alarms::alarms;
pub use build::{Error as BuildError, Workshop};
pub use hunt::{Options, hunt};
pub use past::{Foreign, Past};
pub use prey::{Fault, null_faults, planted_faults, template_faults};
pub use score::Scores;

/// The name under which candidates that compute nothing are hunted.
pub const NULL: &str = "null";

/// A campaign that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such skeleton.
    #[error("no skeleton {name:?}, expected one of {}, or {TEMPLATE} or {NULL} for a hunt", SKELETONS.join(", "))]
    Skeleton {
        /// What was asked for.
        name: String,
    },
    /// Filters that leave nothing.
    #[error("no fault of {skeleton} fits {filters:?}")]
    Nothing {
        /// The skeleton.
        skeleton: String,
        /// The filters.
        filters: Vec<String>,
    },
    /// A table that does not parse.
    #[error("the table of faults of {skeleton}: {source}")]
    Table {
        /// The skeleton.
        skeleton: String,
        /// Why.
        source: toml::de::Error,
    },
    /// Kernels that cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A candidate that cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file that cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is no record.
    #[error("{path}: {source}")]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        source: record::ReadError,
    },
    /// A record that cannot be gone on with.
    #[error("cannot go on with {path}: {source}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Foreign,
    },
    /// A document without a place for the table.
    #[error("{path}: {source}")]
    Marks {
        /// The document.
        path: PathBuf,
        /// Why.
        source: NoMarks,
    },
    /// A document that says something else than the records.
    #[error("the scores in {path} are not current; run fla-conformance zoo table --write {path}")]
    Outdated {
        /// The document.
        path: PathBuf,
    },
}

impl Error {
    /// 1 for scores that claim something else than the records, 2 bad usage or input, 3 the environment.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Outdated { .. } => 1,
            Self::Open(e) => e.exit_code(),
            Self::Build(BuildError::Compiler { .. }) => 3,
            _ => 2,
        }
    }
}

/// `fla-conformance zoo`.
///
/// # Errors
/// See [`enum@Error`].
pub fn command(args: &ZooArgs) -> Result<ExitCode, Error> {
    match &args.what {
        What::Hunt(args) => hunt_command(args),
        What::Alarms(args) => alarms_command(args),
        What::Table(args) => table_command(args),
    }
}

fn hunt_command(args: &HuntArgs) -> Result<ExitCode, Error> {
    let fits = |fault: &Fault| args.filters.is_empty() || args.filters.iter().any(|f| fault.name().contains(f));
    let mut work = Vec::new();
    for (op, faults) in faults(&args.skeleton)? {
        work.push((op, faults.into_iter().filter(fits).collect::<Vec<_>>()));
    }
    if work.iter().all(|(_, faults)| faults.is_empty()) {
        return Err(Error::Nothing { skeleton: args.skeleton.clone(), filters: args.filters.clone() });
    }
    let open = OpenOptions { timeout: Duration::from_secs(args.timeout), ..OpenOptions::default() };
    let (suite, first, cases) = (args.suite, args.first, args.cases.clone());
    let options = Options { suite, first, jobs: environment::jobs(args.jobs), cases, open };
    let past = past(&args.out, &args.skeleton, args.resume)?;
    let mut out = Output::open(&args.out, args.resume)?;
    let ops: Vec<&str> = work.iter().map(|(op, _)| op.as_str()).collect();
    out.put(&Line::campaign(&args.skeleton, &ops, args.suite.name()))?;
    let mut alive: BTreeSet<(String, String)> = BTreeSet::new();
    for (op, faults) in work {
        let open = faults.iter().filter(|fault| !fault.is_equivalent() && !past.has_found(&op, fault.name()));
        alive.extend(open.map(|fault| (op.clone(), fault.name().to_owned())));
        hunt(&args.skeleton, &op, faults, &options, &past, |line| {
            if let Line::Hunted(hunted) = &line {
                if hunted.killed.is_some() {
                    alive.remove(&(hunted.op.clone(), hunted.name.clone()));
                }
                eprintln!("{}", score::in_a_line(hunted));
            }
            out.put(&line)
        })?;
    }
    print(&format!("{} faults are still alive; records: {}\n", alive.len(), args.out.display()));
    Ok(if alive.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the records at `path` say, when they are to be gone on with.
fn past(path: &Path, skeleton: &str, resume: bool) -> Result<Past, Error> {
    if !resume || !path.exists() {
        return Ok(Past::default());
    }
    Past::of(&lines(path)?, skeleton).map_err(|source| Error::Foreign { path: path.to_owned(), source })
}

/// The faults of a skeleton, by the op whose kernels they are in.
fn faults(skeleton: &str) -> Result<Vec<(String, Vec<Fault>)>, Error> {
    let table = |name: &str| match table::table(name) {
        Some(parsed) => parsed.map_err(|source| Error::Table { skeleton: name.to_owned(), source }),
        None => Err(Error::Skeleton { name: name.to_owned() }),
    };
    if skeleton == NULL {
        return SKELETONS.iter().map(|name| Ok((table(name)?.op, null_faults()))).collect();
    }
    let table = table(skeleton)?;
    let faults = if skeleton == TEMPLATE { template_faults(&table) } else { planted_faults(&table) };
    Ok(vec![(table.op, faults)])
}

fn alarms_command(args: &AlarmsArgs) -> Result<ExitCode, Error> {
    let unknown = || Error::Skeleton { name: args.skeleton.clone() };
    let known = SKELETONS.contains(&args.skeleton.as_str());
    let parsed = table::table(&args.skeleton).filter(|_| known).ok_or_else(unknown)?;
    let table = parsed.map_err(|source| Error::Table { skeleton: args.skeleton.clone(), source })?;
    let past = past(&args.out, &args.skeleton, args.resume)?;
    let first = Line::campaign(&args.skeleton, &[&table.op], crate::suite::Size::Soak.name());
    let write = |tally: &[record::Alarms; 2]| {
        let rest = tally.iter().cloned().map(Line::Alarms);
        replace(&args.out, std::iter::once(first.clone()).chain(rest))
    };
    let mut failed = 0;
    for alarms in alarms(&args.skeleton, &table.op, args.runs, environment::jobs(args.jobs), &past, write)? {
        print(&format!(
            "{}: {} right answers, {} failed, {} had a second look, {} not judged\n",
            alarms.source, alarms.runs, alarms.failed, alarms.again, alarms.mistrusted
        ));
        alarms.examples.iter().for_each(|example| print(&format!("  {example}\n")));
        failed += alarms.failed;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table_command(args: &TableArgs) -> Result<ExitCode, Error> {
    let scores = Scores::of(&committed(&args.records)?);
    let Some(path) = args.check.as_ref().or(args.write.as_ref()) else {
        print(&format!("{}\n{}", scores.summary, scores.whole));
        return Ok(ExitCode::SUCCESS);
    };
    let failed = |source| Error::File { path: path.clone(), source };
    let document = std::fs::read_to_string(path).map_err(failed)?;
    let current = scores.splice(&document).map_err(|source| Error::Marks { path: path.clone(), source })?;
    if args.write.is_some() {
        std::fs::write(path, current).map_err(failed)?;
    } else if current != document {
        return Err(Error::Outdated { path: path.clone() });
    }
    Ok(ExitCode::SUCCESS)
}

/// The lines of every committed campaign, by file name.
fn committed(folder: &Path) -> Result<Vec<Line>, Error> {
    let failed = |source| Error::File { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|e| e == "jsonl") && is_record(&path) {
            files.push(path);
        }
    }
    files.sort();
    let mut all = Vec::new();
    for path in files {
        all.extend(lines(&path)?);
    }
    Ok(all)
}

fn lines(path: &Path) -> Result<Vec<Line>, Error> {
    let file = File::open(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    record::read(BufReader::new(file)).map_err(|source| Error::Record { path: path.to_owned(), source })
}

/// Whether a file among the records is of a campaign of the zoo.
#[must_use]
pub fn is_record(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("zoo-"))
}

/// A file of records under way.
struct Output {
    path: PathBuf,
    file: File,
}

impl Output {
    fn open(path: &Path, resume: bool) -> Result<Self, Error> {
        let failed = |source| Error::File { path: path.to_owned(), source };
        room(path)?;
        let file = if resume { File::options().append(true).create(true).open(path) } else { File::create(path) };
        Ok(Self { path: path.to_owned(), file: file.map_err(failed)? })
    }

    fn put(&mut self, line: &Line) -> Result<(), Error> {
        record::write(&mut self.file, line).map_err(|source| Error::File { path: self.path.clone(), source })
    }
}

/// Puts these lines in place of a file, which is whole at any time.
fn replace(path: &Path, lines: impl Iterator<Item = Line>) -> Result<(), Error> {
    room(path)?;
    let failed = |source| Error::File { path: path.to_owned(), source };
    let new = path.with_extension("jsonl.new");
    let mut file = File::create(&new).map_err(failed)?;
    for line in lines {
        record::write(&mut file, &line).map_err(failed)?;
    }
    std::fs::rename(&new, path).map_err(failed)
}

/// A folder for a file.
fn room(path: &Path) -> Result<(), Error> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(folder).map_err(|source| Error::File { path: path.to_owned(), source })
}
