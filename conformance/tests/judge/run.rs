//! Whole runs of the program: what they print, what they leave behind, how they end.

use std::path::Path;
use std::process::{Command, Output};

use reports::record::{Expected, Run};
use tempfile::TempDir;

fn program(args: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_fla-conformance");
    Command::new(program).args(args).output().expect("this package's own program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn records(out: &Path) -> Vec<Run> {
    let file = std::fs::File::open(out.join("records.jsonl")).expect("every run writes records");
    reports::record::read(std::io::BufReader::new(file)).expect("records parse")
}

/// A run of `reference` over the `hgrn` cases of the smoke suite.
fn run(out: &Path, more: &[&str]) -> Output {
    let out = out.to_str().expect("a temporary path is text");
    program(&[&["run", "--candidate", "reference", "--out", out, "hgrn(*"], more].concat())
}

#[test]
fn a_run_ends_with_its_counts_and_leaves_records_and_reports() {
    let out = TempDir::new().expect("a temporary directory");
    let ran = run(out.path(), &["--check", "forward,poison"]);
    let stdout = text(&ran.stdout);
    assert_eq!(ran.status.code(), Some(0), "{stdout}{}", text(&ran.stderr));
    let runs = records(out.path());
    let (forward, poison): (Vec<_>, Vec<_>) = runs[0].judged.iter().partition(|j| j.check == "forward");
    let last = format!("conformance: {} passed, 0 failed, {} skipped", forward.len(), poison.len());
    assert_eq!(stdout.lines().last(), Some(last.as_str()));
    assert!(stdout.contains("not applicable: the candidate cannot poison"), "{stdout}");
    for file in ["report.html", "report.md", "junit.xml"] {
        assert!(out.path().join(file).is_file(), "{file}");
    }
}

#[test]
fn shards_are_a_partition() {
    let of = |more: &[&str]| -> Vec<String> {
        let out = TempDir::new().expect("a temporary directory");
        assert_eq!(run(out.path(), &[&["--check", "forward"], more].concat()).status.code(), Some(0));
        let mut cases: Vec<String> = records(out.path()).remove(0).judged.into_iter().map(|j| j.case).collect();
        cases.sort();
        cases
    };
    let mut parts = [of(&["--shard", "1/2"]), of(&["--shard", "2/2"])].concat();
    parts.sort();
    assert_eq!(parts, of(&[]));
}

#[test]
fn expectations_turn_results_around() {
    let out = TempDir::new().expect("a temporary directory");
    let file = out.path().join("expect.toml");
    let entry = "[[expect]]\ncase = 'hgrn(*)'\ncheck = 'forward'\nverdict = 'fail'\nreason = 'a test'\n";
    std::fs::write(&file, entry).expect("a temporary file");
    let path = file.to_str().expect("a temporary path is text");
    let ran = run(out.path(), &["--check", "forward", "--expect", path]);
    assert_eq!(ran.status.code(), Some(1), "a pass that was expected to fail fails the run");
    assert!(text(&ran.stdout).contains("unexpected pass forward"));
    assert!(records(out.path())[0].judged.iter().all(|j| j.expected == Expected::Surprise));

    std::fs::write(&file, entry.replace("hgrn(*)", "hgrn(T=12345*)")).expect("a temporary file");
    let unused = run(out.path(), &["--check", "forward", "--expect", path]);
    assert_eq!(unused.status.code(), Some(2));
    assert!(text(&unused.stderr).contains("no case of the suite fits"));
}

#[test]
fn json_goes_to_stdout_and_nothing_else_does() {
    let out = TempDir::new().expect("a temporary directory");
    let ran = run(out.path(), &["--check", "forward", "--json"]);
    let runs = reports::record::read(&ran.stdout[..]).expect("stdout holds records only");
    assert_eq!(runs, records(out.path()));
    assert!(text(&ran.stderr).contains("conformance: "));
}

#[test]
fn mistakes_on_the_command_line_are_named() {
    for (args, words) in [
        (&["run", "--check", "forwrad"][..], "\"forward\""),
        (&["run", "--candidate", "reference", "gla(T=none"], "no case of suite smoke"),
        (&["replay", "hrgn(T=1)"], "\"hgrn\""),
        (&["replay", "gated_delta_rule(H=2,HV=3)"], "C1"),
        (&["replay", "hgrn(T=1)", "--check", "resume"], "none of the checks"),
        (&["run", "--suite", "smke"], "smoke"),
        (&["run", "--shard", "3/2"], "1 ≤ I ≤ N"),
        (&["report", "/nonexistent.jsonl"], "/nonexistent.jsonl"),
    ] {
        let ran = program(args);
        assert_eq!(ran.status.code(), Some(2), "{args:?}: {}", text(&ran.stderr));
        assert!(text(&ran.stderr).contains(words), "{args:?}: {}", text(&ran.stderr));
    }
}

#[test]
fn a_bench_of_packed_sequences_leaves_a_whole_record() {
    let out = tempfile::tempdir().expect("a folder");
    let folder = out.path().to_str().expect("a path of text");
    let case = "hgrn(D=8,seqs=5+1+70,dtype=f32)";
    let done = program(&["bench", "--iterations", "4", "--pass", "forward", "--out", folder, case]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let runs = records(out.path());
    let [timed] = &runs[0].timed[..] else { panic!("one case and one pass make one record") };
    assert!(timed.checked && timed.case.contains("seqs=5+1+70") && timed.times_ns.len() == 4, "{timed:?}");
    assert_eq!(timed.timed_by, "wall clock around each call");
    assert!(timed.host_ns.is_some() && timed.first_call_ns.is_some_and(|ns| ns > 0.0));
    assert!(timed.errors.iter().any(|m| m.port == "o" && m.statistic == "rms" && m.within()));
    assert!(timed.judged_at.contains("seqs=") && timed.floor.contains("--bandwidth"), "{timed:?}");
    assert!(timed.device_state.unseen.is_some(), "nobody looks at a processor");
}

#[test]
fn a_document_that_claims_other_speeds_than_the_records_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("README.md");
    std::fs::write(&path, "<!-- speed:begin -->\n| ten times as fast |\n<!-- speed:end -->\n").expect("writable");
    let records = concat!(env!("CARGO_MANIFEST_DIR"), "/../reports/records");
    let list = |what: &str| program(&["list", "--speed", "--records", records, what, path.to_str().expect("text")]);
    let refused = list("--check");
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("list --speed --write"), "{}", text(&refused.stderr));
    assert_eq!(list("--write").status.code(), Some(0));
    assert_eq!(list("--check").status.code(), Some(0));
    let written = std::fs::read_to_string(&path).expect("readable");
    assert!(written.contains("H100") && !written.contains("ten times"), "{written}");
    std::fs::write(&path, "no marks").expect("writable");
    assert_eq!(list("--check").status.code(), Some(2));
}

#[test]
fn a_replay_accounts_for_every_output() {
    let out = TempDir::new().expect("a temporary directory");
    let dump = out.path().to_str().expect("a temporary path is text");
    let args = ["replay", "hgrn(T=5,D=3)", "--candidate", "reference", "--check", "backward", "--dump", dump];
    let ran = program(&args);
    let stdout = text(&ran.stdout);
    assert_eq!(ran.status.code(), Some(0), "{stdout}");
    for word in ["backward", "d_x", "d_g", "d_h0", "rms", "max"] {
        assert!(stdout.contains(word), "{word}: {stdout}");
    }
    let call = out.path().join("backward-0.safetensors");
    let again = program(&["replay", call.to_str().expect("text"), "--candidate", "reference"]);
    assert_eq!(again.status.code(), Some(0), "{}{}", text(&again.stdout), text(&again.stderr));
    assert!(text(&again.stdout).contains("d_x"));
}

#[test]
fn the_list_is_for_people_and_for_machines() {
    let (people, machines) = (program(&["list"]), program(&["list", "--json"]));
    let list: serde_json::Value = serde_json::from_slice(&machines.stdout).expect("JSON");
    let specs = list["specs"].as_array().expect("a list of specs");
    assert_eq!(specs.len(), reference::specs().count());
    for spec in specs {
        assert!(text(&people.stdout).contains(spec["name"].as_str().expect("a name")));
    }
    let cases = program(&["list", "--cases", "smoke"]);
    assert_eq!(
        text(&cases.stdout).lines().count(),
        fla_conformance::suite::cases(fla_conformance::suite::Size::Smoke).len()
    );
}

#[test]
fn a_failure_comes_with_its_reproducer_and_its_call() {
    let out = TempDir::new().expect("a temporary directory");
    let path = out.path().to_str().expect("a temporary path is text");
    // a candidate that knows the wire but answers every call with an error
    let hello = fla_conformance::wire::encode(
        &fla_conformance::wire::Message::Hello(fla_conformance::wire::Hello {
            name: "sorry".into(),
            version: "1".into(),
            device: "none".into(),
            ops: vec!["hgrn".into()],
            ..Default::default()
        }),
        None,
    );
    let file = out.path().join("hello");
    std::fs::write(&file, hello).expect("a temporary file");
    let candidate = format!("sh -c 'cat {}; exit 3'", file.display());
    let ran = program(&["run", "--candidate", &candidate, "--out", path, "--check", "forward", "hgrn(B=1,T=65"]);
    let stdout = text(&ran.stdout);
    assert_eq!(ran.status.code(), Some(1), "{stdout}{}", text(&ran.stderr));
    assert!(stdout.contains("fla-conformance replay --candidate "), "{stdout}");
    let dumps = std::fs::read_dir(out.path().join("failures")).expect("failing calls are kept").count();
    assert!(dumps > 0);
}
