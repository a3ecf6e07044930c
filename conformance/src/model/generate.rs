//! Prompts go on by the most likely token.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use reference::models::walk::{Cache, Walk, Weights, most_likely};
use reference::real::Real;
use reference::spec::Dim;
use serde_json::{Value, json};

use super::args::{Arithmetic, GenerateArgs};
use super::{Error, progress, tokens};
use crate::checkpoint::{self, Checkpoint};

/// Up to so many further tokens of each prompt, each the most likely one; a token of `ends` is the last.
///
/// # Errors
/// Tokens that the vocabulary does not have, weights that cannot be read.
///
/// # Panics
/// When a prompt is empty: nothing is likely after nothing.
pub fn generate<F: Real, W: Weights<F>>(
    walk: &Walk,
    weights: &mut W,
    prompts: &[&[usize]],
    count: usize,
    ends: &[usize],
    mut passed: impl FnMut(),
) -> Result<Vec<Vec<usize>>, W::Error> {
    let mut caches: Vec<Cache<F>> = prompts.iter().map(|_| walk.cache(0)).collect();
    let mut added = vec![Vec::new(); prompts.len()];
    let mut next: Vec<Vec<usize>> = prompts.iter().map(|p| p.to_vec()).collect();
    for _ in 0..count {
        let sequences: Vec<&[usize]> = next.iter().map(Vec::as_slice).collect();
        let logits = walk.logits(&sequences, &mut caches, weights, |_| passed())?;
        for (i, logits) in logits.iter().enumerate().filter(|(i, _)| !sequences[*i].is_empty()) {
            let token = most_likely(logits).expect("a sequence with tokens has logits");
            added[i].push(token);
        }
        // a sequence that has ended reads nothing more
        let open = |added: &Vec<usize>| added.last().filter(|last| !ends.contains(last)).copied();
        next = added.iter().map(|added| open(added).into_iter().collect()).collect();
        if next.iter().all(Vec::is_empty) {
            break;
        }
    }
    Ok(added)
}

pub(super) fn command(folder: &Path, args: &GenerateArgs) -> Result<ExitCode, Error> {
    let checkpoint = Checkpoint::open(folder)?;
    let below = checkpoint.stack.problem.size(Dim::S);
    let prompt = |(i, text): (usize, &String)| {
        let place = format!("prompt {}", i + 1);
        let ids = tokens(&place, text, below)?;
        if ids.is_empty() { Err(Error::Short { place, least: 1, got: 0 }) } else { Ok(ids) }
    };
    let prompts = args.prompt.iter().enumerate().map(prompt).collect::<Result<Vec<_>, _>>()?;
    let ends = if args.past_the_end { Vec::new() } else { ends(&checkpoint) };
    let added = match args.precision {
        Arithmetic::F32 => run::<f32>(&checkpoint, &prompts, args, &ends)?,
        Arithmetic::F64 => run::<f64>(&checkpoint, &prompts, args, &ends)?,
    };
    let mut out = io::stdout().lock();
    for (prompt, added) in prompts.iter().zip(&added) {
        match args.json {
            true => writeln!(out, "{}", json!({"prompt": prompt, "tokens": added}))?,
            false => writeln!(out, "{}", added.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn run<F: Real>(
    checkpoint: &Checkpoint,
    prompts: &[Vec<usize>],
    args: &GenerateArgs,
    ends: &[usize],
) -> Result<Vec<Vec<usize>>, checkpoint::Error> {
    let walk = Walk::new(&checkpoint.stack.problem)?;
    let count = args.tokens as usize;
    let bar = progress(&walk, count, "generating");
    let prompts: Vec<&[usize]> = prompts.iter().map(Vec::as_slice).collect();
    let added = generate::<F, _>(&walk, &mut checkpoint.hold::<F>()?, &prompts, count, ends, || bar.inc(1))?;
    bar.finish_and_clear();
    Ok(added)
}

/// The tokens that end a text, as the configuration says: one, several or none.
fn ends(checkpoint: &Checkpoint) -> Vec<usize> {
    let id = |value: &Value| value.as_u64().and_then(|id| usize::try_from(id).ok());
    match checkpoint.stack.config().get("eos_token_id") {
        Some(Value::Array(several)) => several.iter().filter_map(id).collect(),
        Some(one) => id(one).into_iter().collect(),
        None => Vec::new(),
    }
}
