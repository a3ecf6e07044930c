//! The loss of every token of given texts.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use reference::models::walk::{Walk, loss};
use reference::real::Real;
use reference::spec::Dim;
use serde_json::json;

use super::args::{Arithmetic, EvaluateArgs};
use super::{Error, progress, text, tokens};
use crate::checkpoint::{self, Checkpoint};

/// Losses of the tokens of each sequence but its first, in nats.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation(pub Vec<Vec<f64>>);

impl Evaluation {
    /// How many tokens were predicted.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// The mean loss; NaN where nothing was predicted.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.0.iter().flatten().sum::<f64>() / self.tokens() as f64
    }

    /// e to the mean loss.
    #[must_use]
    pub fn perplexity(&self) -> f64 {
        self.mean().exp()
    }
}

/// Losses in the arithmetic of `F`. Weights come from the files block by block and go again, for all sequences at once;
/// `passed` is told of every part of the stack that is done.
///
/// # Errors
/// Tokens that the vocabulary does not have, weights that cannot be read.
pub fn evaluate<F: Real>(
    checkpoint: &Checkpoint,
    sequences: &[&[usize]],
    mut passed: impl FnMut(),
) -> Result<Evaluation, checkpoint::Error> {
    let walk = Walk::new(&checkpoint.stack.problem)?;
    let logits = walk.logits::<F, _>(sequences, &mut [], &mut &*checkpoint, |_| passed())?;
    let losses = logits.iter().zip(sequences).map(|(logits, ids)| {
        let targets: Vec<Option<usize>> =
            ids.iter().skip(1).map(|&id| Some(id)).chain([None]).take(ids.len()).collect();
        let losses = loss(logits, &targets);
        losses.iter().take(ids.len().saturating_sub(1)).map(|l| l.value()).collect()
    });
    Ok(Evaluation(losses.collect()))
}

pub(super) fn command(folder: &Path, args: &EvaluateArgs) -> Result<ExitCode, Error> {
    let checkpoint = Checkpoint::open(folder)?;
    let below = checkpoint.stack.problem.size(Dim::S);
    let (place, text) = text(&args.tokens)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let parsed = lines.map(|(i, line)| tokens(&format!("{place}, line {}", i + 1), line, below));
    let sequences = parsed.collect::<Result<Vec<_>, _>>()?;
    let longest = sequences.iter().map(Vec::len).max().unwrap_or(0);
    if longest < 2 {
        return Err(Error::Short { place, least: 2, got: longest });
    }
    let sequences: Vec<&[usize]> = sequences.iter().map(Vec::as_slice).collect();
    let walk = Walk::new(&checkpoint.stack.problem).map_err(checkpoint::Error::from)?;
    let bar = progress(&walk, 1, "evaluating");
    let found = match args.precision {
        Arithmetic::F32 => evaluate::<f32>(&checkpoint, &sequences, || bar.inc(1))?,
        Arithmetic::F64 => evaluate::<f64>(&checkpoint, &sequences, || bar.inc(1))?,
    };
    bar.finish_and_clear();
    write(&found, args, &mut io::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}

fn write(found: &Evaluation, args: &EvaluateArgs, out: &mut impl Write) -> io::Result<()> {
    if args.json {
        let (tokens, mean, perplexity) = (found.tokens(), found.mean(), found.perplexity());
        return writeln!(
            out,
            "{}",
            json!({"tokens": tokens, "loss": mean, "perplexity": perplexity, "losses": found.0})
        );
    }
    if args.per_token {
        for losses in &found.0 {
            writeln!(out, "{}", losses.iter().map(|l| format!("{l:.6}")).collect::<Vec<_>>().join(" "))?;
        }
    }
    writeln!(out, "{} tokens, loss {:.6}, perplexity {:.4}", found.tokens(), found.mean(), found.perplexity())
}
