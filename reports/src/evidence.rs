//! Records as they are committed: shards put together, and of each pass what was closest to its bound.

use crate::record::{FORMAT, Line, Run};
use crate::verdict::Verdict;

/// Runs of one candidate on one machine and day become one; a pass keeps one statistic, and no failure its heat map.
#[must_use]
pub fn condensed(runs: Vec<Run>) -> Vec<Run> {
    let mut merged: Vec<Run> = Vec::new();
    for run in runs {
        let same = |m: &&mut Run| {
            let (a, b) = (&m.environment, &run.environment);
            let held_alike = |(op, hash): (&String, &String)| a.precision.get(op).is_none_or(|known| known == hash);
            m.candidate == run.candidate
                && (&a.suite, &a.date, &a.machine) == (&b.suite, &b.date, &b.machine)
                && b.precision.iter().all(held_alike)
        };
        match merged.iter_mut().find(same) {
            Some(first) => {
                first.environment.precision.extend(run.environment.precision);
                first.judged.extend(run.judged);
                first.timed.extend(run.timed);
            }
            None => merged.push(run),
        }
    }
    for judged in merged.iter_mut().flat_map(|run| &mut run.judged) {
        judged.verdict.condense();
    }
    merged
}

/// The lines of runs, in order.
pub fn lines(runs: &[Run]) -> impl Iterator<Item = Line> + '_ {
    runs.iter().flat_map(|run| {
        let (candidate, environment) = (run.candidate.clone(), run.environment.clone());
        let first = Line::Run { format: FORMAT, candidate, environment };
        let judged = run.judged.iter().cloned().map(Line::Judged);
        std::iter::once(first).chain(judged).chain(run.timed.iter().cloned().map(Box::new).map(Line::Timed))
    })
}

impl Verdict {
    fn condense(&mut self) {
        match self {
            Self::Pass { measures } => {
                measures.sort_by(|a, b| (b.error / b.bound).total_cmp(&(a.error / a.bound)));
                measures.truncate(1);
            }
            Self::Fail { fault: crate::verdict::Fault::Inaccurate { heat, .. }, .. } => heat.clear(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Expected, Identity, Judged};
    use crate::verdict::Measure;

    fn shard(name: &str, case: &str) -> Run {
        let measure = |port: &str, error| {
            let statistic = "rms".to_owned();
            Measure { port: port.to_owned(), statistic, error, bound: 2.0, relative: 0.0, at: vec![], runs: 4 }
        };
        let measures = vec![measure("o", 0.5), measure("ht", 1.5), measure("d_q", 1.0)];
        let [op, check, suite, ran] = ["hgrn", "forward", "full", ""].map(str::to_owned);
        let verdict = Verdict::Pass { measures };
        let case = case.to_owned();
        let judged = vec![Judged { op, case, check, suite, verdict, expected: Expected::Pass, seconds: 0.0, ran }];
        Run { candidate: Identity { name: name.into(), ..Identity::default() }, judged, ..Run::default() }
    }

    #[test]
    fn shards_become_one_run_and_passes_keep_what_was_closest() {
        let runs = condensed(vec![shard("a", "1"), shard("b", "2"), shard("a", "3")]);
        assert_eq!(runs.iter().map(|r| r.judged.len()).collect::<Vec<_>>(), [2, 1]);
        let Verdict::Pass { measures } = &runs[0].judged[1].verdict else { panic!("a pass stays a pass") };
        assert_eq!(measures.iter().map(|m| m.port.as_str()).collect::<Vec<_>>(), ["ht"]);
        let kinds = |line: Line| matches!(line, Line::Run { .. });
        assert_eq!(lines(&runs).map(kinds).collect::<Vec<_>>(), [true, false, false, true, false]);
    }
}
