//! The command line, as data.

mod lengths;
mod run;
mod steps;

use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

use crate::suite::Size;

pub use lengths::DriftArgs;
pub use run::RunArgs;
pub use steps::{AccountArgs, SwapArgs, TwinArgs};

/// Is this linear-attention kernel right, how fast is it, and how much memory does it use?
///
/// Without a command: run --candidate cpu --suite smoke --out out.
#[derive(Debug, Parser)]
#[command(name = "fla-conformance", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXIT_CODES: &str = "Exit codes: 0 all as expected; 1 something failed; 2 bad usage or input; 3 the environment \
lacks what was asked for.";

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// What can be judged, and by which names
    List(ListArgs),
    /// Judge a candidate
    Run(RunArgs),
    /// One case again, with the full account of what is wrong and where
    Replay(ReplayArgs),
    /// Speed and memory, side by side
    Bench(BenchArgs),
    /// One layer of a model through a candidate, and where the model starts to differ
    Swap(SwapArgs),
    /// Norms, magnitudes and the first NaN or Inf of a model's step, layer by layer
    Account(AccountArgs),
    /// Tiny models trained on exact gradients and on a candidate's, and where their losses part
    Twin(TwinArgs),
    /// How errors grow with the length of a sequence
    Drift(DriftArgs),
    /// Speak the wire on stdin and stdout
    Serve(ServeArgs),
    /// HTML, Markdown and JUnit from records
    Report(ReportArgs),
    /// How much the judge finds: planted faults, right answers, and the scores
    Zoo(crate::zoo::args::ZooArgs),
    /// A language model from its files: look at it, evaluate it, let it go on
    Model(crate::model::args::ModelArgs),
}

/// `list`.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("table").args(["support", "speed", "precision"]))]
#[command(group = ArgGroup::new("document").args(["check", "write"]).requires("table"))]
#[command(after_help = "Examples:
  fla-conformance list
  fla-conformance list --json | jq '.specs[].name'
  fla-conformance list --support --check README.md
  fla-conformance list --speed --write README.md
  fla-conformance list --precision --write conformance/precision.json")]
pub struct ListArgs {
    /// Only this level: op, module, layer or model
    #[arg(long, value_enum)]
    pub level: Option<LevelName>,
    /// For machines
    #[arg(long)]
    pub json: bool,
    /// The cases of a suite instead, one a line
    #[arg(long, value_name = "SUITE", value_enum, conflicts_with = "support")]
    pub cases: Option<Size>,
    /// What our kernels launch and allocate for each standard case of bench instead, as JSON
    #[arg(long, conflicts_with_all = ["support", "cases"])]
    pub plans: bool,
    /// The precision that every spec is held to instead, as JSON
    #[arg(long, conflicts_with_all = ["cases", "plans"])]
    pub precision: bool,
    /// Write the source of every kernel that GPUs compile here instead, each complete in one file
    #[arg(long, value_name = "DIR", conflicts_with_all = ["support", "speed", "precision", "cases", "plans"])]
    pub units: Option<PathBuf>,
    /// The support tables instead, from committed records
    #[arg(long)]
    pub support: bool,
    /// The speed table instead, from committed records
    #[arg(long, conflicts_with_all = ["cases", "plans"])]
    pub speed: bool,
    /// Fail when what this file has of --support, --speed or --precision is not the current one
    #[arg(long, value_name = "FILE", conflicts_with = "write")]
    pub check: Option<PathBuf>,
    /// Put --support, --speed or --precision into this file
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// Where the committed records are
    #[arg(long, value_name = "DIR", default_value = "reports/records")]
    pub records: PathBuf,
}

/// A level by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LevelName {
    /// One recurrence.
    Op,
    /// A building block with weights.
    Module,
    /// A token mixer or channel mixer with weights.
    Layer,
    /// A language model.
    Model,
}

/// `replay`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  fla-conformance replay 'hgrn(B=1,T=65,D=60,dtype=bf16,seed=3)'
  fla-conformance replay 'gated_delta_rule(T=63,K=16)' --candidate 'python3 mine.py' --check backward --shrink
  fla-conformance replay out/failures/3f2a.safetensors --candidate ./libmine.so")]
pub struct ReplayArgs {
    /// A case string, or the file of a dumped call
    #[arg(value_name = "CASE|FILE")]
    pub case: String,
    /// cpu, cuda, hip, reference, a PATH.so, or a command that speaks the wire
    #[arg(long, default_value = "cpu", value_name = "NAME")]
    pub candidate: String,
    /// Only these checks; every one that applies when not given
    #[arg(long = "check", value_name = "NAME", value_delimiter = ',')]
    pub checks: Vec<String>,
    /// Find the smallest case that still fails
    #[arg(long)]
    pub shrink: bool,
    /// Write every call of the checks as FILE.safetensors here
    #[arg(long, value_name = "DIR")]
    pub dump: Option<PathBuf>,
    /// Longest wait for one answer, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
    /// For machines: the verdicts as JSON lines
    #[arg(long)]
    pub json: bool,
}

/// `bench`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  fla-conformance bench --candidate cuda
  fla-conformance bench --candidate cuda --against 'python3 -m fla_conformance.shims.fla' hgrn
  fla-conformance bench --candidate cuda --shapes grids,decode 'gla(*profile=typical*)'
  fla-conformance bench --candidate cuda --bandwidth 3350 --tflops 990 --json")]
pub struct BenchArgs {
    /// cpu, cuda, hip, reference, a PATH.so, or a command that speaks the wire
    #[arg(long, default_value = "cpu", value_name = "NAME")]
    pub candidate: String,
    /// Others to time in the same run, in turn with the first
    #[arg(long, value_name = "NAME")]
    pub against: Vec<String>,
    /// Timed iterations of each case at most, after warm-up
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub iterations: u32,
    /// Time for one candidate's iterations at one case; six there are in any case
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = positive, allow_negative_numbers = true)]
    pub seconds: f64,
    /// Groups of standard cases; for processors there is one group
    #[arg(long, value_enum, value_name = "GROUP", value_delimiter = ',', default_value = "headline")]
    pub shapes: Vec<Shapes>,
    /// What to time
    #[arg(long, value_enum, default_value_t = Pass::Both)]
    pub pass: Pass,
    /// Memory bandwidth of the device, GB/s, for the floor
    #[arg(long, value_name = "GB/S", value_parser = positive, allow_negative_numbers = true)]
    pub bandwidth: Option<f64>,
    /// Arithmetic of the device in the case's type, TFLOP/s, for the floor
    #[arg(long, value_name = "TFLOP/S", value_parser = positive, allow_negative_numbers = true)]
    pub tflops: Option<f64>,
    /// Where records and reports go
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub out: PathBuf,
    /// Longest wait for one answer, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
    /// Records on stdout, one JSON line each; everything else goes to stderr
    #[arg(long)]
    pub json: bool,
    /// Cases to time instead of the standard ones, or what standard ones are chosen by: 'gla(B=1' is the beginning of a
    /// case, '*gla(*T=8192*)' all of it, T=8192 a part
    #[arg(value_name = "CASE|FILTER")]
    pub filters: Vec<String>,
}

/// A group of standard cases of a bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shapes {
    /// B=1, T=8192, H=96, D=128: the size of published comparisons.
    Headline,
    /// From four heads and 131072 tokens to 32 rows of 512.
    Grids,
    /// Heads of 64 and of 256.
    Widths,
    /// Two, four and eight value heads for each key head.
    Grouped,
    /// Sequences of log-normal lengths.
    Packed,
    /// One token for each of 1 to 256 rows, from a state to a state.
    Decode,
    /// All of them.
    All,
}

/// What a bench times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Pass {
    /// Outputs only.
    Forward,
    /// Outputs and every gradient.
    #[value(name = "forward+backward")]
    ForwardBackward,
    /// One after the other.
    Both,
}

/// `serve`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  fla-conformance serve --candidate reference
  fla-conformance serve --candidate cuda < out/failures/3f2a.safetensors
  fla-conformance serve --abi ./libmine.so")]
pub struct ServeArgs {
    /// cpu, cuda, hip or reference
    #[arg(long, value_name = "NAME", conflicts_with = "abi")]
    pub candidate: Option<String>,
    /// A shared object that implements conformance/abi/candidate.h
    #[arg(long, value_name = "PATH.so")]
    pub abi: Option<PathBuf>,
    /// With --candidate cpu: a host build of some kernels, used in place of the program's own
    #[arg(long, value_name = "PATH.so", conflicts_with = "abi")]
    pub kernels: Vec<PathBuf>,
}

/// `report`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  fla-conformance report out-1/records.jsonl out-2/records.jsonl --out report
  fla-conformance report out/records.jsonl --evidence reports/records/h100-2026-11-24-cuda.jsonl")]
pub struct ReportArgs {
    /// Records files; runs in several files are shown side by side
    #[arg(required = true, value_name = "RECORDS")]
    pub records: Vec<PathBuf>,
    /// Where the report goes
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub out: PathBuf,
    /// Also write the records as evidence to commit: shards put together, a statistic for each pass
    #[arg(long, value_name = "FILE")]
    pub evidence: Option<PathBuf>,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x > 0.0 && x.is_finite() => Ok(x),
        _ => Err(format!("{text:?} is not a positive number, for example 0.02")),
    }
}

/// One part of a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    pub index: u64,
    /// How many there are.
    pub count: u64,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(i, n)| Some((i.parse::<u64>().ok()?, n.parse::<u64>().ok()?)));
        match parsed {
            Some((i, n)) if 1 <= i && i <= n => Ok(Self { index: i - 1, count: n }),
            _ => Err(format!("{text:?} is not I/N with 1 ≤ I ≤ N, for example 2/8")),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn examples_are_commands() {
        fn examples(command: &clap::Command) -> Vec<String> {
            let own = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let own = own.lines().filter_map(|line| line.strip_prefix("  fla-conformance ").map(str::to_owned));
            own.chain(command.get_subcommands().flat_map(examples)).collect()
        }
        let all = examples(&Cli::command());
        assert!(all.len() > 20, "{all:?}");
        for example in all {
            // what stands in quotes is a word
            let parts = example.split(" | ").next().unwrap_or_default().split('\'').enumerate();
            let words =
                parts.flat_map(|(i, part)| if i % 2 == 1 { vec![part] } else { part.split_whitespace().collect() });
            let words = words.take_while(|w| !w.starts_with(['#', '<', '>'])).map(str::to_owned);
            let parsed = Cli::try_parse_from(std::iter::once("fla-conformance".to_owned()).chain(words));
            assert!(parsed.is_ok(), "{example}: {}", parsed.err().map(|e| e.to_string()).unwrap_or_default());
        }
    }

    #[test]
    fn shards_count_from_one() {
        assert_eq!("1/3".parse(), Ok(Shard { index: 0, count: 3 }));
        for wrong in ["0/3", "4/3", "1", "a/b", "1/0"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
