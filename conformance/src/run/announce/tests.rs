//! What a run says and writes.

use reports::verdict::Fault;

use super::*;

fn judged(check: &str, verdict: Verdict, expected: Expected) -> Judged {
    let [op, case, suite, ran] = ["hgrn", "hgrn(T=1)", "smoke", ""].map(str::to_owned);
    Judged { op, case, check: check.to_owned(), suite, verdict, expected, seconds: 0.0, ran }
}

fn pass() -> Verdict {
    Verdict::Pass { measures: Vec::new() }
}

fn fail() -> Verdict {
    Verdict::Fail { fault: Fault::Crash { message: "gone".into() }, call: 0 }
}

fn declined() -> Verdict {
    Verdict::Declined { reason: "no such option".into() }
}

fn mistrusted() -> Verdict {
    Verdict::Mistrusted { reason: "zeros".into() }
}

fn not_applicable() -> Verdict {
    Verdict::NotApplicable { reason: "no poison".into() }
}

#[test]
fn a_run_succeeds_with_what_passes_and_with_what_was_expected() {
    let fine = |verdict: &Verdict, expected| is_fine(&judged("forward", verdict.clone(), expected));
    for (verdict, quiet) in [(pass(), true), (not_applicable(), true), (fail(), false), (declined(), false)] {
        assert_eq!(fine(&verdict, Expected::Pass), quiet, "{verdict:?}");
        assert!(fine(&verdict, Expected::Waived) && !fine(&verdict, Expected::Surprise), "{verdict:?}");
    }
}

#[test]
fn checks_are_counted_by_what_came_of_them() {
    let came = [
        ("forward", vec![fail(), declined()]),
        ("backward", vec![pass(), mistrusted()]),
        ("resume", vec![pass(), not_applicable()]),
        ("decode", vec![pass()]),
        ("local", vec![declined()]),
        ("varlen", vec![mistrusted()]),
        ("isolation", vec![not_applicable(), not_applicable()]),
    ];
    let all = came.into_iter().flat_map(|(check, v)| v.into_iter().map(move |v| judged(check, v, Expected::Pass)));
    let lines = by_check(&Run { judged: all.collect(), ..Run::default() });
    let words = |line: &String| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
    let line = |check: &str, n: [u32; 4]| {
        format!("{check} {} applied {} declined {} mistrusted {} not applicable", n[0], n[1], n[2], n[3])
    };
    let expected = [
        line("forward", [1, 1, 0, 0]),
        line("backward", [1, 0, 1, 0]),
        line("resume", [1, 0, 0, 1]),
        line("decode", [1, 0, 0, 0]),
        line("local", [0, 1, 0, 0]),
        line("varlen", [0, 0, 1, 0]),
        line("isolation", [0, 0, 0, 2]),
    ];
    assert_eq!(lines.iter().map(words).collect::<Vec<_>>(), expected, "what never came is not told");
}

#[test]
fn what_was_skipped_is_told_with_its_reason() {
    let all = [
        judged("forward", declined(), Expected::Pass),
        judged("backward", declined(), Expected::Waived),
        judged("forward", mistrusted(), Expected::Pass),
        judged("forward", not_applicable(), Expected::Pass),
        judged("forward", fail(), Expected::Waived),
        judged("forward", fail(), Expected::Pass),
        judged("forward", mistrusted(), Expected::Surprise),
    ];
    let lines = skipped(&Run { judged: all.into(), ..Run::default() });
    assert_eq!(
        lines,
        ["skipped: 2 declined: no such option", "skipped: 1 mistrusted: zeros", "skipped: 1 not applicable: no poison"]
    );
}

#[test]
fn a_failure_is_told_with_the_command_that_repeats_it() {
    let told = |expected, colour| failure("cpu", &judged("forward", fail(), expected), colour);
    assert!(told(Expected::Pass, false).starts_with("fail forward: "), "{}", told(Expected::Pass, false));
    assert!(told(Expected::Surprise, true).starts_with("\x1b[31munexpected fail\x1b[0m forward: "));
    let again = "\n  fla-conformance replay --candidate cpu 'hgrn(T=1)' --check forward";
    assert!(told(Expected::Pass, false).ends_with(again));
}

#[test]
fn failures_that_were_expected_are_counted_by_their_reason() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("expect.toml");
    let entry = "[[expect]]\ncase = 'hgrn(*)'\ncheck = 'forward'\nverdict = 'fail'\nreason = 'known'\n";
    std::fs::write(&file, entry).expect("a temporary file");
    let expectations = Expectations::load("none", &[file]).expect("valid");
    let all = [
        judged("forward", fail(), Expected::Waived),
        judged("forward", fail(), Expected::Pass),
        judged("forward", declined(), Expected::Waived),
        judged("forward", fail(), Expected::Waived),
    ];
    assert_eq!(waived(&Run { judged: all.into(), ..Run::default() }, &expectations), ["skipped: 2 waived: known"]);
}

#[test]
fn what_passes_against_an_expectation_is_counted_as_failed() {
    let summary = Summary { passed: 7, failed: 3, declined: 1, surprises: 2, ..Summary::default() };
    assert_eq!(counts(&summary), "conformance: 5 passed, 5 failed, 1 skipped");
}

#[test]
fn few_specs_are_named_and_many_are_counted() {
    let said = |names: &[&'static str]| {
        let line = lacking(&names.iter().copied().collect())?;
        line.strip_prefix("not asked, because the candidate does not have them: ").map(str::to_owned)
    };
    assert_eq!((said(&[]), said(&["hgrn", "gla"]).as_deref()), (None, Some("gla, hgrn")));
    let ops = || reference::specs().filter(|s| s.level == Level::Op).map(|s| s.name);
    let [few, many] = [NAMED - 1, NAMED].map(|n| ops().take(n).chain(["gla_layer"]).collect::<Vec<_>>());
    assert_eq!(said(&few).map(|line| line.split(", ").count()), Some(NAMED));
    assert_eq!(said(&many), Some(format!("{NAMED} ops, 1 layer")));
}

#[test]
fn records_begin_with_the_candidate() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let out = folder.path().to_str().expect("a temporary path is text");
    let args = crate::run::tests::args(&["--candidate", "./mine.so", "--out", out]);
    let file = crate::run::create(&args.out).expect("a temporary file");
    Announcer::new(&args, file, &Expectations::default(), &[], Identity::default()).expect("it can be written");
    let written = std::fs::read(folder.path().join(RECORDS)).expect("there are records");
    let runs = record::read(&written[..]).expect("records parse");
    assert_eq!(runs.iter().map(|run| run.candidate.name.as_str()).collect::<Vec<_>>(), ["./mine.so"]);
}
