//! The command that looks at long sequences.

use std::path::PathBuf;

use clap::Args;

/// `drift`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  fla-conformance drift
  fla-conformance drift --candidate 'python3 mine.py' --longest 20 --dtype bf16 simple_gla
  fla-conformance drift --candidate cuda --gradients 0 --profile slow_decay --out out/drift")]
pub struct DriftArgs {
    /// cpu, cuda, hip, reference, a PATH.so, or a command that speaks the wire
    #[arg(long, default_value = "cpu", value_name = "NAME")]
    pub candidate: String,
    /// Power of two of the first length
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(4..=20))]
    pub shortest: u32,
    /// Power of two of the last length
    #[arg(long, value_name = "N", default_value_t = 17, value_parser = clap::value_parser!(u32).range(5..=20))]
    pub longest: u32,
    /// Power of two of the last length whose gradients are taken; 0 for none
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = clap::value_parser!(u32).range(0..=17))]
    pub gradients: u32,
    /// Width of keys and values
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub width: u16,
    /// Where the numbers come from
    #[arg(long = "profile", value_name = "NAME", value_delimiter = ',')]
    #[arg(default_values_t = ["typical", "slow_decay"].map(str::to_owned))]
    #[arg(value_parser = ["typical", "slow_decay", "hard_gates", "model_scale", "repeated_keys"])]
    pub profiles: Vec<String>,
    /// Storage types
    #[arg(long = "dtype", value_name = "TYPE", value_delimiter = ',', value_parser = ["f32", "bf16", "f16"])]
    #[arg(default_values_t = ["bf16", "f32"].map(str::to_owned))]
    pub dtypes: Vec<String>,
    /// Where the report goes
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub out: PathBuf,
    /// Longest wait for one answer, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
    /// For machines: one JSON line a curve
    #[arg(long)]
    pub json: bool,
    /// Parts of the names of ops, or patterns with *
    #[arg(value_name = "FILTER")]
    pub filters: Vec<String>,
}
