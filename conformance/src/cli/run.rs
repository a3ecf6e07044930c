//! What a suite is put to, and how.

use std::path::PathBuf;

use clap::Args;

use super::{LevelName, Shard};
use crate::suite::Size;

/// `run`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  fla-conformance run
  fla-conformance run --candidate 'python3 mine.py' --suite smoke hgrn
  fla-conformance run --candidate reference --level layer
  fla-conformance run --candidate cuda --suite full --shard 2/8 --out out-2
  fla-conformance run --candidate cuda --suite full --resume out-2/records.jsonl --out out-3
  fla-conformance run --candidate ./libmine.so --expect mine.toml --check forward,backward 'gla(*dtype=bf16*)'

A FILTER is a part of a case string, or a pattern with * for the whole of it; a case is run when any filter fits.

A file given to --expect says what is known, and is strict: what passes all the same fails the run, and so does an
entry that fits nothing.
  [[expect]]                              what fails, is declined or cannot be judged, and why
  case = 'hgrn(*dtype=bf16*)'
  check = '*'
  verdict = 'declined'
  reason = 'there is no bf16'
  [[waiver]]                              an error of a known size, let pass up to a number of floors
  id = 'W-1'
  case = 'hgrn(*profile=slow_decay*)'
  check = 'backward'                      or forward, resume, decode, local, absent, gain: no other can be waived
  port = 'd_g'
  statistic = 'block'
  bound = 2.6
  device = '*H100*'
  version = '>=0.6, <0.7'
  owner = '@x'
  reason = 'issue 123'
  expires = '2027-03-01'                  180 days ahead at most
Every statistic beyond its limit needs a waiver of its own, and no error that exceeds what rounding can be has one.")]
pub struct RunArgs {
    /// cpu, cuda, hip, reference, a PATH.so, or a command that speaks the wire
    #[arg(long, default_value = "cpu", value_name = "NAME")]
    pub candidate: String,
    /// How much to ask
    #[arg(long, value_enum, default_value_t = Size::Smoke)]
    pub suite: Size,
    /// Only this level: op, module, layer or model
    #[arg(long, value_enum)]
    pub level: Option<LevelName>,
    /// Only the i-th of n parts, counted from 1
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Where records and reports go
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub out: PathBuf,
    /// Only these checks, of those that list names
    #[arg(long = "check", value_name = "NAME", value_delimiter = ',')]
    pub checks: Vec<String>,
    /// What is known to fail or to be missing, in addition to what is known of built-in candidates
    #[arg(long, value_name = "FILE")]
    pub expect: Vec<PathBuf>,
    /// Longest wait for one answer, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
    /// Cases at a time; all cores when not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Keep what the oracle says here, so that the next candidate need not wait for it
    #[arg(long, value_name = "DIR")]
    pub oracle_cache: Option<PathBuf>,
    /// Not what these records judge of this candidate already: an interrupted run goes on (with another --out)
    #[arg(long, value_name = "FILE")]
    pub resume: Vec<PathBuf>,
    /// Records on stdout too, one JSON line each; everything else goes to stderr
    #[arg(long)]
    pub json: bool,
    /// Parts of case strings, or patterns with *
    #[arg(value_name = "FILTER")]
    pub filters: Vec<String>,
}
