//! The command line of `model`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::checkpoint::SHARD;

/// `model`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  fla-conformance model gla-1.3B inspect
  fla-conformance model gla-1.3B evaluate --tokens ids.txt
  echo 1 15 27 9 | fla-conformance model gla-1.3B evaluate --tokens - --precision f64 --json
  fla-conformance model gla-1.3B generate --prompt '1 15 27' --tokens 20
  fla-conformance model gla-1.3B save gla-in-parts --shard 500000000

DIR holds config.json and model.safetensors, or model.safetensors.index.json and the files that it names.")]
pub struct ModelArgs {
    /// The folder of a checkpoint
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// What to do with it
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done with a model.
#[derive(Debug, Clone, Subcommand)]
pub enum Action {
    /// What it is, how large, and which tensors are missing, too many or wrong
    Inspect {
        /// For machines
        #[arg(long)]
        json: bool,
    },
    /// Loss of every token after the first, and perplexity, one block's weights in memory at a time
    Evaluate(EvaluateArgs),
    /// Goes on with prompts, always by the most likely token
    Generate(GenerateArgs),
    /// The same checkpoint in another folder, in one file or several
    Save {
        /// The folder, which must not exist
        #[arg(value_name = "DIR")]
        to: PathBuf,
        /// Most bytes of a file
        #[arg(long, value_name = "BYTES", default_value_t = SHARD)]
        shard: usize,
    },
}

/// `model evaluate`.
#[derive(Debug, Clone, Args)]
pub struct EvaluateArgs {
    /// Numbers of tokens, separated by blanks or commas, a sequence a line; - is stdin
    #[arg(long, value_name = "FILE|-")]
    pub tokens: PathBuf,
    /// The arithmetic
    #[arg(long, value_enum, default_value_t = Arithmetic::F32)]
    pub precision: Arithmetic,
    /// The loss of each token too
    #[arg(long)]
    pub per_token: bool,
    /// For machines
    #[arg(long)]
    pub json: bool,
}

/// `model generate`.
#[derive(Debug, Clone, Args)]
pub struct GenerateArgs {
    /// Numbers of tokens, separated by blanks or commas; given again, another prompt beside it
    #[arg(long, value_name = "IDS", required = true)]
    pub prompt: Vec<String>,
    /// How many tokens to add
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub tokens: u32,
    /// The arithmetic
    #[arg(long, value_enum, default_value_t = Arithmetic::F32)]
    pub precision: Arithmetic,
    /// Go on after the token that ends a text, eos_token_id of the configuration
    #[arg(long)]
    pub past_the_end: bool,
    /// For machines
    #[arg(long)]
    pub json: bool,
}

/// In which arithmetic a model is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Arithmetic {
    /// Single precision.
    F32,
    /// Double precision: the oracle's truth.
    F64,
}
