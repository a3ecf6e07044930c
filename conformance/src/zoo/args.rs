//! The command line of `zoo`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::suite::Size;

/// `zoo`.
#[derive(Debug, Clone, Args)]
pub struct ZooArgs {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// The campaigns, and their table.
#[derive(Debug, Clone, Subcommand)]
pub enum What {
    /// Plant every fault in turn and see which check finds it
    Hunt(HuntArgs),
    /// Judge many right answers: none may fail
    Alarms(AlarmsArgs),
    /// The scores of committed campaigns
    Table(TableArgs),
}

/// `zoo hunt`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  fla-conformance zoo hunt scan
  fla-conformance zoo hunt chunk --suite full --out reports/records/zoo-chunk.jsonl
  fla-conformance zoo hunt delta --first 'd_g' 'transposed'
  fla-conformance zoo hunt delta --suite full --resume --case '*HV=*' 'value heads' --out reports/records/zoo-delta.jsonl

Every verdict is written as it comes; --resume goes on where the record was cut off, or with another suite.
In smoke every check gets its chance with every fault; the cases beyond are put to what is left.")]
pub struct HuntArgs {
    /// chunk, delta, scan; template for a Python candidate, null for candidates that compute nothing
    #[arg(value_name = "SKELETON")]
    pub skeleton: String,
    /// How much to ask
    #[arg(long, value_enum, default_value_t = Size::Smoke)]
    pub suite: Size,
    /// Stop at the first check that finds a fault
    #[arg(long)]
    pub first: bool,
    /// Where the records go
    #[arg(long, value_name = "FILE", default_value = "out/zoo.jsonl")]
    pub out: PathBuf,
    /// Go on with the records that are there; what they say is not asked again
    #[arg(long)]
    pub resume: bool,
    /// Only cases that fit this pattern, as in `run`; may be given several times
    #[arg(long = "case", value_name = "PATTERN")]
    pub cases: Vec<String>,
    /// Faults at a time; all cores when not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Longest wait for one answer, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
    /// Parts of the names of faults
    #[arg(value_name = "FILTER")]
    pub filters: Vec<String>,
}

/// `zoo alarms`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:
  fla-conformance zoo alarms scan --runs 3000 --out reports/records/zoo-scan-alarms.jsonl")]
pub struct AlarmsArgs {
    /// chunk, delta or scan
    #[arg(value_name = "SKELETON")]
    pub skeleton: String,
    /// Right answers of the oracle to judge, and of the kernels, at least
    #[arg(long, value_name = "N", default_value_t = 3000, value_parser = clap::value_parser!(u64).range(1..))]
    pub runs: u64,
    /// Where the records go
    #[arg(long, value_name = "FILE", default_value = "out/zoo-alarms.jsonl")]
    pub out: PathBuf,
    /// Go on with the records that are there
    #[arg(long)]
    pub resume: bool,
    /// Cases at a time; all cores when not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
}

/// `zoo table`.
#[derive(Debug, Clone, Args)]
pub struct TableArgs {
    /// Fail when the table in this file is not the current one
    #[arg(long, value_name = "FILE", conflicts_with = "write")]
    pub check: Option<PathBuf>,
    /// Put the table into this file
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// Where the committed records are
    #[arg(long, value_name = "DIR", default_value = "reports/records")]
    pub records: PathBuf,
}
