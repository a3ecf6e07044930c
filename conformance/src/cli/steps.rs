//! The commands that run a model's training steps.

use std::path::PathBuf;

use clap::Args;

use super::positive;

use crate::swap::Swap;

/// `swap`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  fla-conformance swap 'hgrn_model(T=64)' --swap 1=cpu
  fla-conformance swap 'gla_model(B=2,T=48,dtype=bf16)' --swap '0=python3 -m fla_conformance.shims.fla'
  fla-conformance swap 'gated_deltanet_model()' --swap 0=cpu --swap 1=reference --only gated_delta_rule")]
pub struct SwapArgs {
    /// The case string of a model; its states are left out, as in training
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// Which layer, from 0, through whom: cpu, cuda, hip, reference, a PATH.so, or a command that speaks the wire
    #[arg(long, value_name = "LAYER=CANDIDATE", required = true)]
    pub swap: Vec<Swap>,
    /// Hand over questions of this spec alone; the layer, or else every op of it that the candidate has, when not given
    #[arg(long, value_name = "SPEC")]
    pub only: Option<String>,
    /// Where the report goes
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub out: PathBuf,
    /// Longest wait for one answer, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
    /// For machines: everything that was judged as JSON lines
    #[arg(long)]
    pub json: bool,
}

/// `account`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  fla-conformance account 'gla_model(B=2,T=64)'
  fla-conformance account 'mamba2_model()' --initializer-range 0.02,0.006,1.0 --dtype bf16,f16")]
pub struct AccountArgs {
    /// The case string of a model; its states are left out, as in training
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// Standard deviations that weights are drawn with
    #[arg(long, value_name = "X", value_delimiter = ',', default_values_t = [0.02, 0.006], value_parser = positive)]
    #[arg(allow_negative_numbers = true)]
    pub initializer_range: Vec<f64>,
    /// Precisions, beside f64
    #[arg(long, value_name = "TYPE", value_delimiter = ',', value_parser = ["f32", "bf16", "f16"])]
    #[arg(default_values_t = ["f32", "bf16", "f16"].map(str::to_owned))]
    pub dtype: Vec<String>,
    /// Where the report goes
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub out: PathBuf,
    /// For machines: the table as JSON lines
    #[arg(long)]
    pub json: bool,
}

/// `twin`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  fla-conformance twin
  fla-conformance twin --candidate 'python3 -m fla_conformance.shims.fla' --families gla,hgrn --dtype bf16
  fla-conformance twin --families retnet --steps 50 --out out/retnet")]
pub struct TwinArgs {
    /// Whose gradients train the second model: reference, a PATH.so, or a command that speaks the wire
    #[arg(long, default_value = "reference", value_name = "NAME")]
    pub candidate: String,
    /// Models, by upstream's model_type; ten of them when not given
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub families: Vec<String>,
    /// Updates of each model
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub steps: u32,
    /// Element type of what the candidate gets and gives
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = ["f64", "f32", "bf16", "f16"])]
    pub dtype: String,
    /// Which weights, and which tasks
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Where the report goes
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub out: PathBuf,
    /// Longest wait for one answer, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
    /// For machines: one JSON line a family, with its curves
    #[arg(long)]
    pub json: bool,
}
