//! Bad input at the command line: each gets one plain sentence and its exit code, and nothing panics.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::question::hgrn;
use fla_conformance::candidate::Timing;
use fla_conformance::wire::{Hello, MAX_DATA, Message, encode, encode_call, read};
use reference::tensor::{DType, Tensor, Tensors};
use tempfile::TempDir;

fn program(args: &[&str], stdin: &[u8]) -> Output {
    let folder = TempDir::new().expect("a writable temporary folder");
    let mut child = Command::new(env!("CARGO_BIN_EXE_fla-conformance"))
        .args(args)
        .current_dir(folder.path())
        // no device on any machine
        .envs([("CUDA_VISIBLE_DEVICES", "-1"), ("HIP_VISIBLE_DEVICES", "-1")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this package's own binary");
    // a program that ends before it has read everything is fine
    _ = child.stdin.take().expect("a pipe").write_all(stdin);
    child.wait_with_output().expect("an exit")
}

/// Runs the program; it must exit with `code`, say all of `words` in stderr or stdout, and not panic.
fn expect(code: i32, words: &[&str], args: &[&str]) {
    let output = program(args, b"");
    let text = String::from_utf8_lossy(&[output.stderr, output.stdout].concat()).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    assert!(!text.contains("panicked"), "{args:?}: {text}");
    for word in words {
        assert!(text.contains(word), "{args:?} does not say {word:?}: {text}");
    }
}

#[test]
fn names_that_nobody_knows() {
    expect(2, &["cpuu", "cpu"], &["run", "--candidate", "cpuu"]);
    expect(2, &["no file ./none.so"], &["run", "--candidate", "./none.so"]);
    expect(2, &["ends within quotes"], &["run", "--candidate", "python3 'mine.py"]);
    expect(2, &["'smok'", "smoke"], &["run", "--suite", "smok"]);
    expect(2, &["hgnr", "hgrn"], &["replay", "hgnr(T=1)"]);
    expect(2, &["qk_l2nrom", "qk_l2norm"], &["replay", "gated_delta_rule(qk_l2nrom=true)"]);
    expect(2, &["hgrn(T=1"], &["replay", "hgrn(T=1"]);
    expect(2, &["C1"], &["replay", "gated_delta_rule(H=2,HV=3)"]);
    expect(2, &["nothing_like_it"], &["bench", "nothing_like_it"]);
    expect(2, &["serve needs one of"], &["serve"]);
    expect(2, &["nobody", "cpu, reference, cuda, hip"], &["serve", "--candidate", "nobody"]);
    expect(2, &["none.so"], &["serve", "--abi", "none.so"]);
}

#[test]
fn questions_that_ask_nothing_or_too_much() {
    expect(2, &["--shortest 12 is beyond --longest 8"], &["drift", "--shortest", "12", "--longest", "8", "hgrn"]);
    expect(2, &["no run in /dev/null", "out/records.jsonl"], &["report", "/dev/null"]);
    expect(2, &["none.safetensors", "No such file"], &["replay", "none.safetensors"]);
    expect(2, &["reports/records", "--records"], &["list", "--speed"]);
    expect(2, &["none.json", "No such file"], &["list", "--precision", "--check", "none.json"]);
    expect(2, &["\"-3\" is not a positive number"], &["bench", "--bandwidth", "-3"]);
    expect(2, &["hgrn is of level op, expected a model"], &["account", "hgrn()"]);
    expect(3, &["in f64", "of memory are free"], &["replay", "hgrn(T=1000000000000)"]);
    expect(3, &["in bf16", "of memory are free"], &["bench", "hgrn(T=1000000000000,dtype=bf16)"]);
}

#[test]
fn nobody_who_reads_on() {
    let folder = TempDir::new().expect("a writable temporary folder");
    let records = concat!(env!("CARGO_MANIFEST_DIR"), "/../reports/records");
    let asked: [&[&str]; 4] = [
        &["list"],
        &["run", "--candidate", "reference", "--check", "forward", "--json", "hgrn(B=1,T=65"],
        &["bench", "--candidate", "reference", "--iterations", "1", "--json", "hgrn(B=1,T=3,D=4)"],
        &["zoo", "table", "--records", records],
    ];
    for args in asked {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fla-conformance"))
            .args(args)
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("this package's own binary");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("an exit");
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn candidates_that_do_not_start() {
    expect(3, &["cannot start", "/nonexistent/program"], &["run", "--candidate", "/nonexistent/program --flag"]);
    expect(
        3,
        &["exited with status 4", "no such model"],
        &["run", "--candidate", "sh -c 'echo no such model >&2; exit 4'"],
    );
    expect(3, &["does not speak the wire", "Hello"], &["run", "--candidate", "sh -c 'echo Hello, everybody'"]);
    expect(3, &["did not say hello within 1 s"], &["run", "--timeout", "1", "--candidate", "sleep 1000"]);
    expect(3, &["does not speak the wire"], &["bench", "--candidate", "sh -c 'echo Hello, everybody'"]);
}

#[test]
fn devices_that_are_not_there() {
    for (command, candidate) in [("run", "cuda"), ("run", "hip"), ("serve", "cuda"), ("bench", "hip")] {
        expect(3, &["not available here"], &[command, "--candidate", candidate]);
    }
}

#[test]
fn folders_that_cannot_be_written() {
    let folder = TempDir::new().expect("a writable temporary folder");
    let file = folder.path().join("file");
    fs::write(&file, "in the way").expect("a writable temporary folder");
    let out = file.join("out");
    let out = out.to_string_lossy();
    for command in ["run", "bench"] {
        expect(2, &["cannot", "file"], &[command, "--candidate", "reference", "--out", &out, "hgrn"]);
    }
}

#[test]
fn a_served_stream_that_is_no_stream() {
    let output = program(&["serve", "--candidate", "reference"], b"this is no message at all");
    assert_eq!(output.status.code(), Some(2));
    let mut stdout = &*output.stdout;
    let mut next = || read(&mut stdout, || MAX_DATA).expect("a message").map(|m| m.message);
    assert!(matches!(next(), Some(Message::Hello(_))));
    assert!(matches!(next(), Some(Message::Refused(_))));
    assert!(next().is_none());
    let call = encode_call(&crate::question::question(hgrn(), DType::F32, "o"));
    let output = program(&["serve", "--candidate", "reference"], &call[..call.len() - 1]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the stream ended after"));
}

/// A folder with a candidate that answers every call by the file `answer`.
fn rude(answer: &[u8]) -> (TempDir, String) {
    let folder = TempDir::new().expect("a writable temporary folder");
    let hello = Hello { name: "rude".into(), ops: vec!["hgrn".into()], ..Hello::default() };
    let put =
        |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect("a writable temporary folder");
    put("hello", &encode(&Message::Hello(hello), None));
    put("answer", answer);
    let command = format!("cat {0}/hello; head -c 8 >/dev/null; cat {0}/answer", folder.path().display());
    (folder, command)
}

fn zeros(names: &[&str], value: f64) -> Vec<u8> {
    let shape = |name: &str| if name == "o" { vec![1, 3, 2] } else { vec![1, 2] };
    let tensor = |name: &&str| ((*name).to_owned(), Tensor::filled(DType::F32, &shape(name), value));
    let sample: Tensors = names.iter().map(tensor).collect();
    encode(&Message::Done(Box::new(Timing { sample, ..Timing::default() })), None)
}

#[test]
fn bad_manners_are_failures() {
    let judged = |answer: &[u8], then: &str, words: &[&str]| {
        let (_folder, command) = rude(answer);
        let candidate = format!("sh -c '{command}; {then}'");
        let case = "hgrn(B=1,T=3,D=2,dtype=f32,seed=1)";
        expect(1, words, &["replay", case, "--check", "forward", "--timeout", "5", "--candidate", &candidate]);
    };
    let right = ["o", "ht"];
    judged(&zeros(&right, 0.0), "cat >/dev/null", &["fail"]);
    judged(&zeros(&right, f64::NAN), "cat >/dev/null", &["fail"]);
    judged(&zeros(&["o"], 0.0), "cat >/dev/null", &["ht is missing"]);
    judged(b"Traceback (most recent call last)", "cat >/dev/null", &["Tracebac"]);
    judged(b"", "kill -SEGV $$", &["SIGSEGV"]);
    judged(b"", "exit 9", &["exited with status 9"]);
    judged(b"", "sleep 1000", &["5"]);
}
