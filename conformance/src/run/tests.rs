//! What a run asks, and of whom.

use clap::Parser;

use super::*;
use crate::cli::{Cli, Command};

pub(super) fn args(more: &[&str]) -> RunArgs {
    match Cli::parse_from([&["fla-conformance", "run"], more].concat()).command {
        Some(Command::Run(args)) => args,
        other => panic!("{other:?}"),
    }
}

fn task(case: &str) -> Task {
    Task { case: case.parse().expect("valid"), checks: Vec::new() }
}

#[test]
fn shards_are_a_partition() {
    let of = |more: &[&str]| -> BTreeSet<String> {
        let tasks = tasks(&args(&[&["hgrn(*"], more].concat())).expect("there are such cases");
        tasks.iter().map(|task| task.case.to_string()).collect()
    };
    let (whole, parts) = (of(&[]), ["1/3", "2/3", "3/3"].map(|shard| of(&["--shard", shard])));
    let all = || parts.iter().flatten();
    assert!(all().count() == whole.len() && all().all(|case| whole.contains(case)));
    assert!(parts.iter().all(|part| part.len() * 6 > whole.len()), "nearly thirds");
    assert!(matches!(tasks(&args(&["hgrn(none"])), Err(Error::Nothing { suite: "smoke", .. })));
}

#[test]
fn a_candidate_is_asked_about_the_ops_that_it_has() {
    let tasks = ["hgrn(T=3)", "gla(T=3)", "hgrn(T=0)"].map(task);
    let (forward, backward) = (checks(&["forward".into()]), checks(&["backward".into()]));
    let asked = |ops: &[&str], checks: &[&Check]| -> Vec<(String, usize)> {
        let lacking = lacking(&tasks, &ops.iter().map(|&op| op.to_owned()).collect::<Vec<_>>());
        let asked = asked(tasks.to_vec(), &lacking, checks);
        asked
            .iter()
            .map(|t| (format!("{} {}", op(t), t.case.problem.size(reference::spec::Dim::T)), t.checks.len()))
            .collect()
    };
    let forward = forward.expect("a check");
    let of = |names: &[&str]| names.iter().map(|&name| (name.to_owned(), 1)).collect::<Vec<_>>();
    assert_eq!(asked(&["hgrn"], &forward), of(&["hgrn 3", "hgrn 0"]));
    assert_eq!(asked(&["hgrn", "gla"], &forward), of(&["hgrn 3", "gla 3", "hgrn 0"]));
    assert_eq!(asked(&["kda"], &forward), of(&["hgrn 3", "gla 3", "hgrn 0"]), "it declines them all");
    assert_eq!(asked(&["hgrn"], &backward.expect("a check")), of(&["hgrn 3"]), "nothing to differentiate");
}

#[test]
fn an_unknown_check_is_told_those_that_there_are() {
    let error = checks(&["forwrad".into()]).expect_err("no such check");
    assert_eq!(error.exit_code(), 2);
    let text = error.to_string();
    assert!(text.contains("the nearest is \"forward\"") && text.contains("(of forward, backward, resume,"), "{text}");
}

#[test]
fn what_the_environment_lacks_has_a_code_of_its_own() {
    let missing = OpenError::Unavailable { name: "cuda".into(), reason: "no driver".into() };
    assert_eq!(Error::Open(missing).exit_code(), 3);
    assert_eq!(Error::Open(OpenError::Quotes { line: "'".into() }).exit_code(), 2);
}

#[test]
fn each_worker_has_a_candidate_of_its_own_where_it_lives_in_this_process() {
    assert_eq!((environment::jobs(Some(3)), environment::jobs(None) > 0), (3, true));
    let opened = |name: &str| candidates(name, 1, 3).map(|all| all.len());
    assert!(matches!(opened("reference"), Ok(3)));
    let silent = opened("sleep 20").expect_err("it says nothing").to_string();
    assert!(silent.contains("within 1 s"), "{silent}");
}

#[test]
fn a_candidate_is_called_what_it_says_or_what_it_was_asked_for_by() {
    let identity = |name: &str| Identity { name: name.into(), version: "2".into(), ..Identity::default() };
    assert_eq!(named("./mine.so", identity("")), identity("./mine.so"));
    assert_eq!(named("./mine.so", identity("mine")), identity("mine"));
}
