//! What records say already: an interrupted run goes on from there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use reports::record::{Identity, Judged, Run};

use super::{Error, RECORDS, Task};
use crate::report;

/// The runs of all records, which must not be those that this run is about to write.
pub(super) fn read(records: &[PathBuf], out: &Path) -> Result<Vec<Run>, Error> {
    let written = std::fs::canonicalize(out.join(RECORDS)).ok();
    let mut runs = Vec::new();
    for path in records {
        if written.is_some() && std::fs::canonicalize(path).ok() == written {
            return Err(Error::Overwrites { path: path.clone() });
        }
        runs.extend(report::read(path)?);
    }
    Ok(runs)
}

/// Cases and checks that have a verdict.
#[derive(Debug, Default)]
pub(super) struct Past<'a>(BTreeSet<(&'a str, &'a str)>);

impl<'a> Past<'a> {
    /// What was judged of this candidate in this suite; of kernels of ours, of the same sources.
    pub(super) fn of(runs: &'a [Run], candidate: &Identity, suite: &str) -> Self {
        let mine = runs.iter().filter(|run| run.candidate.name == candidate.name);
        let judged = mine.flat_map(|run| {
            let same = |j: &&Judged| run.candidate.kernels.get(&j.op) == candidate.kernels.get(&j.op);
            run.judged.iter().filter(move |j| j.suite == suite && same(j))
        });
        Self(judged.map(|j| (j.case.as_str(), j.check.as_str())).collect())
    }

    /// What is left of the tasks.
    pub(super) fn left(&self, mut tasks: Vec<Task>) -> Vec<Task> {
        for task in tasks.iter_mut().filter(|_| !self.0.is_empty()) {
            let case = task.case.to_string();
            task.checks.retain(|check| !self.0.contains(&(case.as_str(), check.name)));
        }
        tasks.retain(|task| !task.checks.is_empty());
        tasks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::check;
    use crate::suite::{self, Size};

    #[test]
    fn only_verdicts_of_the_same_candidate_suite_and_sources_are_left_out() {
        let case = suite::cases(Size::Smoke).into_iter().next().expect("a suite has cases");
        let op = case.problem.spec.name;
        let line = format!(
            r#"{{"kind":"judged","op":"{op}","case":"{case}","check":"forward","suite":"smoke","verdict":"declined",
            "reason":"no","expected":"pass","seconds":1.0,"ran":""}}"#
        );
        let judged = serde_json::from_str(&line).expect("a verdict as it is written");
        let me = Identity { name: "mine".into(), kernels: [(op.into(), "1".into())].into(), ..Identity::default() };
        let runs = [Run { candidate: me.clone(), judged: vec![judged], ..Run::default() }];
        let left = |candidate: &Identity, suite| {
            let checks = ["forward", "backward"].map(|name| check(name).expect("a check")).to_vec();
            let left = Past::of(&runs, candidate, suite).left(vec![Task { case: case.clone(), checks }]);
            left.iter().flat_map(|task| &task.checks).map(|c| c.name).collect::<Vec<_>>()
        };
        assert_eq!(left(&me, "smoke"), ["backward"]);
        let both = ["forward", "backward"];
        assert_eq!(left(&me, "full"), both);
        assert_eq!(left(&Identity { name: "other".into(), ..me.clone() }, "smoke"), both);
        assert_eq!(left(&Identity { kernels: [(op.into(), "2".into())].into(), ..me }, "smoke"), both);
    }
}
