//! A fixed part of the campaigns of the zoo: faults that the record says smoke finds are found again, and right answers
//! still pass.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;

use fla_conformance::candidate::open::OpenOptions;
use fla_conformance::suite::Size;
use fla_conformance::zoo::record::{Hunted, Line, read};
use fla_conformance::zoo::table::{SKELETONS, table};
use fla_conformance::zoo::{Fault, Options, Past, alarms, hunt, planted_faults};

/// One fault in so many is planted again.
const STRIDE: usize = 20;

/// Right answers of each skeleton, by each source, that are judged again.
const RUNS: u64 = 12;

/// What the committed campaign says of a skeleton's faults.
fn recorded(skeleton: &str) -> Vec<Hunted> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../reports/records/zoo-{skeleton}.jsonl"));
    let file = File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let lines = read(BufReader::new(file)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    lines.into_iter().filter_map(|line| if let Line::Hunted(h) = line { Some(h) } else { None }).collect()
}

fn names<'a>(all: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    all.collect()
}

// what is planted and not in the record counts as not found, so the score cannot gain by it
#[test]
fn the_record_is_of_faults_that_there_are() {
    for skeleton in SKELETONS {
        let table = table(skeleton).expect("it is listed").expect("it parses");
        let recorded = recorded(skeleton);
        let (planted, hunted) =
            (names(table.mutants.iter().map(|m| &*m.name)), names(recorded.iter().map(|h| &*h.name)));
        assert!(2 * hunted.len() > planted.len(), "{skeleton}: run fla-conformance zoo hunt {skeleton} --suite full");
        let gone: Vec<_> = hunted.difference(&planted).collect();
        assert!(gone.is_empty(), "{skeleton}: no such faults: {gone:?}; run fla-conformance zoo hunt {skeleton} again");
    }
}

#[test]
fn faults_are_found_again() {
    let program = Some(env!("CARGO_BIN_EXE_fla-conformance").into());
    let open = OpenOptions { timeout: Duration::from_secs(60), program };
    let options = Options { suite: Size::Smoke, first: true, jobs: 2, cases: Vec::new(), open };
    for skeleton in SKELETONS {
        let table = table(skeleton).expect("it is listed").expect("it parses");
        let found: BTreeSet<String> = recorded(skeleton)
            .into_iter()
            .filter(|h| h.killed.as_ref().is_some_and(|kill| kill.suite == Size::Smoke.name()))
            .map(|h| h.name)
            .collect();
        let faults = planted_faults(&table).into_iter().filter(|f| found.contains(f.name()));
        let sample: Vec<Fault> = faults.step_by(STRIDE).collect();
        assert!(sample.len() >= 2, "{skeleton}: only {} faults are found in smoke", found.len());
        let mut expected = sample.len();
        let taken = hunt(skeleton, &table.op, sample, &options, &Past::default(), |line| {
            match line {
                Line::Hunted(h) => {
                    assert!(h.killed.is_some(), "{skeleton}: {} is alive", h.name);
                    expected -= 1;
                }
                Line::Unchanged(u) => assert_eq!(u.failed, 0, "{skeleton}: kernels without a fault fail"),
                _ => {}
            }
            Ok(())
        });
        taken.unwrap_or_else(|e| panic!("{skeleton}: {e}"));
        assert_eq!(expected, 0, "{skeleton}: faults without a line");
    }
}

#[test]
fn right_answers_pass() {
    for skeleton in SKELETONS {
        let table = table(skeleton).expect("it is listed").expect("it parses");
        let mut said = 0;
        let both = alarms(skeleton, &table.op, RUNS, 2, &Past::default(), |so_far| {
            said = so_far.iter().map(|a| a.runs).sum();
            Ok(())
        });
        let both = both.unwrap_or_else(|e| panic!("{skeleton}: {e}"));
        assert_eq!(both.iter().map(|a| a.runs).sum::<u64>(), said);
        for alarms in both {
            assert!(alarms.runs >= RUNS && alarms.turns >= alarms.runs / 4, "{skeleton}: {alarms:?}");
            assert_eq!(alarms.failed, 0, "{skeleton}: {:?}", alarms.examples);
        }
    }
}
