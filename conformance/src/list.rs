//! What can be judged.

mod catalogue;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use optimized::Backend;
use reference::spec::OpSpec;
use reports::marks::NoMarks;
use reports::record::Run;
use reports::speed::{self, Tree};
use reports::support::{self, SupportRow, Trial};
use serde::Serialize;

use crate::case::Case;
use crate::check::applicable;
use crate::cli::{LevelName, ListArgs};
use crate::output::print;
use crate::precision;
use crate::report;
use crate::suite::{self, Size};
use crate::zoo;

/// A list that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The golden vectors cannot be listed.
    #[error(transparent)]
    Golden(&'static golden::Error),
    /// A records file that cannot be used.
    #[error(transparent)]
    Records(#[from] report::Error),
    /// No folder of records.
    #[error("{path}: {source}; --records names the folder of committed records, reports/records of the repository")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A document without a place for the table.
    #[error("{path}: {source}")]
    Marks {
        /// The document.
        path: PathBuf,
        /// Why.
        source: NoMarks,
    },
    /// A document whose table is not what the records and sources say.
    #[error("the {table} table in {path} is not current: run fla-conformance list --{table} --write {path}")]
    Outdated {
        /// The document.
        path: PathBuf,
        /// Which table.
        table: &'static str,
    },
    /// The list is not JSON, which cannot be.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

impl Error {
    /// 1 for a support table that claims something else than the records, 2 for bad input.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        if matches!(self, Self::Outdated { .. }) { 1 } else { 2 }
    }
}

/// `fla-conformance list`.
///
/// # Errors
/// See [`enum@Error`].
pub fn command(args: &ListArgs) -> Result<ExitCode, Error> {
    if args.support {
        return support(args);
    }
    if args.speed {
        return speed(args);
    }
    if args.plans {
        print(&json(&crate::bench::plans())?);
        return Ok(ExitCode::SUCCESS);
    }
    if args.precision {
        let published = precision::published();
        return document(args, "precision", &published, |_| Ok(published.clone()));
    }
    if let Some(folder) = &args.units {
        return units(folder);
    }
    if let Some(size) = args.cases {
        let asked = |case: &&Case| args.level.is_none_or(|level| level.is_of(case));
        let cases: Vec<String> = suite::cases(size).iter().filter(asked).map(ToString::to_string).collect();
        print(&if args.json { json(&cases)? } else { cases.join("\n") + "\n" });
        return Ok(ExitCode::SUCCESS);
    }
    let catalogue = catalogue::Catalogue::new(args.level.map(LevelName::name))?;
    print(&if args.json { json(&catalogue)? } else { catalogue.to_string() });
    Ok(ExitCode::SUCCESS)
}

fn json(list: &impl Serialize) -> Result<String, Error> {
    Ok(serde_json::to_string_pretty(list)? + "\n")
}

impl LevelName {
    /// Whether a case is of this level.
    #[must_use]
    pub fn is_of(self, case: &Case) -> bool {
        case.problem.spec.level.name() == self.name()
    }

    /// As specs name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Op => "op",
            Self::Module => "module",
            Self::Layer => "layer",
            Self::Model => "model",
        }
    }
}

/// The runs of every committed records file, by file name.
fn committed(args: &ListArgs) -> Result<Vec<Run>, Error> {
    let failed = |source| Error::Folder { path: args.records.clone(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&args.records).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|e| e == "jsonl") && !zoo::is_record(&path) {
            files.push(path);
        }
    }
    files.sort();
    let mut runs = Vec::new();
    for path in files {
        runs.extend(report::read(&path)?);
    }
    Ok(runs)
}

/// The cases and checks of each suite, by spec.
fn trials() -> BTreeMap<&'static str, BTreeMap<&'static str, BTreeSet<Trial>>> {
    let mut trials: BTreeMap<_, BTreeMap<_, BTreeSet<Trial>>> = BTreeMap::new();
    for size in [Size::Smoke, Size::Full, Size::Soak] {
        for case in suite::cases(size) {
            let text = case.to_string();
            let of_spec = trials.entry(case.problem.spec.name).or_default().entry(size.name()).or_default();
            of_spec.extend(applicable(&case).map(|check| (text.clone(), check.name)));
        }
    }
    trials
}

/// `<folder>/cuda/<symbol>.cu` and `<folder>/hip/<symbol>.hip`.
fn units(folder: &Path) -> Result<ExitCode, Error> {
    let write = |path: PathBuf, text: &str| {
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        made.and_then(|()| std::fs::write(&path, text)).map_err(|source| Error::File { path, source })
    };
    for (backend, name, extension) in [(Backend::Cuda, "cuda", "cu"), (Backend::Hip, "hip", "hip")] {
        for (symbol, text) in optimized::units(backend) {
            write(folder.join(name).join(symbol).with_extension(extension), &text)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The support tables.
fn support(args: &ListArgs) -> Result<ExitCode, Error> {
    let mut trials = trials();
    let row = |s: &'static OpSpec| SupportRow {
        level: s.level.name(),
        op: s.name.to_owned(),
        summary: s.summary.to_owned(),
        kernels: optimized::kernel_hash(s.name),
        trials: trials.remove(s.name).unwrap_or_default(),
    };
    let rows: Vec<SupportRow> = reference::specs().map(row).collect();
    let support = support::support(&rows, &committed(args)?);
    let whole = format!("{}\n{}", support.summary, support.whole);
    document(args, "support", &whole, |document| support.splice(document))
}

/// The speed tables.
fn speed(args: &ListArgs) -> Result<ExitCode, Error> {
    let names = || reference::specs().map(|s| s.name);
    let tree = Tree {
        kernels: names().filter_map(|op| Some((op.to_owned(), optimized::kernel_hash(op)?))).collect(),
        memory: names().map(|op| (op.to_owned(), optimized::workspaces(op))).collect(),
        headline: crate::bench::headline(),
    };
    let speed = speed::speed(&committed(args)?, &tree);
    document(args, "speed", &format!("{}\n{}", speed.summary, speed.whole), |document| speed.splice(document))
}

/// A table: printed, compared with a document, or put into it.
fn document(
    args: &ListArgs,
    table: &'static str,
    text: &str,
    splice: impl Fn(&str) -> Result<String, NoMarks>,
) -> Result<ExitCode, Error> {
    let Some(path) = args.check.as_ref().or(args.write.as_ref()) else {
        print(text);
        return Ok(ExitCode::SUCCESS);
    };
    let failed = |source| Error::File { path: path.clone(), source };
    let document = std::fs::read_to_string(path).map_err(failed)?;
    let current = splice(&document).map_err(|source| Error::Marks { path: path.clone(), source })?;
    if args.write.is_some() {
        std::fs::write(path, current).map_err(failed)?;
    } else if current != document {
        return Err(Error::Outdated { path: path.clone(), table });
    }
    Ok(ExitCode::SUCCESS)
}
