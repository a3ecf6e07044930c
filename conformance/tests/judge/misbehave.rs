//! Candidates with bad manners: each becomes a verdict, and the next call works again.
//!
//! They are shell scripts that replay prepared messages.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::question::{hgrn, question};
use fla_conformance::candidate::remote::{Remote, StartError};
use fla_conformance::candidate::{Candidate, Reply, Request, Timing};
use fla_conformance::wire::{Hello, Message, encode};
use reference::spec::Dim;
use reference::tensor::{DType, Tensor, Tensors};
use tempfile::TempDir;

/// Long enough for a shell to start on a busy machine, short enough to wait for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A folder with `hello`, `good` (the right names and shapes) and whatever a script needs.
struct Scene {
    folder: TempDir,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { folder: TempDir::new().expect("a writable temporary folder") };
        let hello = Hello { name: "rude".into(), ops: vec!["hgrn".into()], ..Hello::default() };
        scene.put("hello", &encode(&Message::Hello(hello), None));
        scene.put("good", &answer(&[("o", DType::F32, &[2, 3, 2])]));
        scene
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path().join(name), bytes).expect("a writable temporary folder");
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The command that runs `script` within the folder.
    fn script(&self, script: &str) -> Vec<String> {
        let script = format!("cd '{}' && {script}", self.path().display());
        ["sh", "-c", &script].map(str::to_owned).to_vec()
    }

    /// A candidate that says hello and then runs `script` at its first start, and answers well at later ones.
    fn rude(&self, script: &str, timeout: Duration) -> Remote {
        let script = format!(
            "cat hello; if [ -e met ]; then head -c 8 >/dev/null; cat good; cat >/dev/null; \
             else touch met; {script}; fi"
        );
        Remote::start(self.script(&script), timeout).expect("it says hello")
    }

    /// What the first call gives; the second must be answered.
    fn first(&self, script: &str) -> Reply {
        let mut candidate = self.rude(script, PATIENCE);
        let reply = candidate.call(&asked());
        recovers(&mut candidate);
        reply
    }
}

fn asked() -> Request {
    question(hgrn(), DType::F32, "o")
}

fn answer(tensors: &[(&str, DType, &[usize])]) -> Vec<u8> {
    let sample: Tensors = tensors.iter().map(|&(n, d, s)| (n.to_owned(), Tensor::filled(d, s, 1.0))).collect();
    encode(&Message::Done(Box::new(Timing { sample, ran: "script".into(), ..Timing::default() })), None)
}

fn recovers(candidate: &mut Remote) {
    let reply = candidate.call(&asked());
    assert!(matches!(&reply, Reply::Done { tensors, .. } if tensors.contains_key("o")), "after it: {reply:?}");
}

fn malformed(reply: &Reply, words: &[&str]) {
    let Reply::Malformed(message) = reply else { panic!("{reply:?}") };
    assert!(words.iter().all(|w| message.contains(w)), "{message}");
}

fn crashed(reply: &Reply, words: &[&str]) {
    let Reply::Crashed(message) = reply else { panic!("{reply:?}") };
    assert!(words.iter().all(|w| message.contains(w)), "{message}");
}

/// Whether the process ends soon, reaped or not.
fn ends(pid: &str) -> bool {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        if stat.is_empty() || stat.contains(") Z ") {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

#[test]
fn it_does_not_start() {
    let start = |command: &[&str], timeout| {
        Remote::start(command.iter().map(|&w| w.to_owned()).collect(), timeout).expect_err("no candidate")
    };
    let missing = start(&["/nonexistent/candidate", "x"], PATIENCE);
    assert!(matches!(&missing, StartError::Spawn { command, .. } if command.contains("nonexistent")), "{missing}");
    let gone = start(&["sh", "-c", "echo no luck >&2; exit 7"], PATIENCE);
    assert!(matches!(&gone, StartError::Exit { code: Some(7), log, .. } if log.contains("no luck")), "{gone}");
    let loud = start(&["sh", "-c", "echo Hello, world; sleep 100"], PATIENCE);
    assert!(matches!(&loud, StartError::Protocol { message, .. } if message.contains("Hello, w")), "{loud}");
    let quiet = start(&["sleep", "100"], Duration::from_millis(200));
    assert!(matches!(quiet, StartError::Silent { .. }), "{quiet}");
    let scene = Scene::new();
    let early = Remote::start(scene.script("cat good; sleep 100"), PATIENCE).expect_err("an answer is no hello");
    assert!(matches!(&early, StartError::Protocol { message, .. } if message.contains("done")), "{early}");
}

#[test]
fn it_dies() {
    let scene = Scene::new();
    crashed(
        &scene.first("head -c 8 >/dev/null; echo out of ideas >&2; kill -SEGV $$"),
        &["SIGSEGV (11)", "out of ideas"],
    );
    let scene = Scene::new();
    crashed(&scene.first("head -c 8 >/dev/null; exit 3"), &["exited with status 3"]);
    let scene = Scene::new();
    crashed(
        &scene.first("head -c 8 >/dev/null; head -c 100 good; kill -KILL $$"),
        &["SIGKILL (9)", "while it answered"],
    );
}

#[test]
fn it_dies_after_an_answer() {
    let scene = Scene::new();
    let mut candidate = scene.rude("echo $$ >pid; head -c 8 >/dev/null; cat good; kill -BUS $$", PATIENCE);
    assert!(matches!(candidate.call(&asked()), Reply::Done { .. }));
    let pid = fs::read_to_string(scene.path().join("pid")).expect("written before the answer");
    assert!(ends(&pid));
    crashed(&candidate.call(&asked()), &["SIGBUS"]);
    recovers(&mut candidate);
}

#[test]
fn it_hangs_and_its_children_die_with_it() {
    let scene = Scene::new();
    let mut candidate = scene.rude("sleep 1000 & echo $! >grandchild; wait", Duration::from_secs(2));
    let start = Instant::now();
    assert!(matches!(candidate.call(&asked()), Reply::Hung(after) if after == Duration::from_secs(2)));
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    let grandchild = fs::read_to_string(scene.path().join("grandchild")).expect("written before the hang");
    assert!(ends(&grandchild), "{grandchild} is still there");
    recovers(&mut candidate);
}

#[test]
fn it_never_reads() {
    let scene = Scene::new();
    let mut candidate = scene.rude("sleep 1000", Duration::from_secs(2));
    let mut big = hgrn();
    big.sizes.insert(Dim::T, 1 << 18);
    assert!(matches!(candidate.call(&question(big, DType::F32, "o")), Reply::Hung(_)));
    recovers(&mut candidate);
}

#[test]
fn it_prints_into_the_stream() {
    let scene = Scene::new();
    malformed(
        &scene.first("head -c 8 >/dev/null; echo Compiling kernels; cat good; sleep 1000"),
        &["Compilin", "no message"],
    );
    let scene = Scene::new();
    malformed(&scene.first("head -c 8 >/dev/null; head -c 100 good; exit 0"), &["ended after"]);
}

#[test]
fn it_lies_about_lengths() {
    let scene = Scene::new();
    let mut bytes = b"\0\0\0\0\0\0\0\0{\"o\":{\"dtype\":\"F32\",\"shape\":[2,3,2],\"data_offsets\":[0,40]}}".to_vec();
    bytes[0] = (bytes.len() - 8) as u8;
    bytes.extend([0; 40]);
    scene.put("lying", &bytes);
    malformed(&scene.first("head -c 8 >/dev/null; cat lying; sleep 1000"), &["not a safetensors message"]);
    let scene = Scene::new();
    let mut bytes =
        b"\0\0\0\0\0\0\0\0{\"o\":{\"dtype\":\"F32\",\"shape\":[250000000000],\"data_offsets\":[0,1000000000000]}}"
            .to_vec();
    bytes[0] = (bytes.len() - 8) as u8;
    scene.put("huge", &bytes);
    malformed(&scene.first("head -c 8 >/dev/null; cat huge /dev/zero"), &["1000000000000 bytes"]);
}

#[test]
fn it_answers_something_else() {
    let (shape, more) = (&[2, 3, 2][..], &[2, 2][..]);
    let wrong = [
        (answer(&[("o", DType::F32, &[2, 2, 3])]), ["o has shape [2, 2, 3]", "expected [2, 3, 2]"]),
        (answer(&[("o", DType::I64, shape)]), ["o has element type I64", "expected a float type"]),
        (answer(&[("out", DType::F32, shape)]), ["o is missing", "got out"]),
        (answer(&[("o", DType::F32, shape), ("ht", DType::F32, more)]), ["ht was not wanted", "expected o"]),
    ];
    for (message, words) in wrong {
        let scene = Scene::new();
        scene.put("wrong", &message);
        let mut candidate = scene.rude("head -c 8 >/dev/null; cat wrong; cat >/dev/null", PATIENCE);
        malformed(&candidate.call(&asked()), &words);
    }
    let scene = Scene::new();
    let mut candidate = scene.rude("head -c 8 >/dev/null; cat hello; cat >/dev/null", PATIENCE);
    malformed(&candidate.call(&asked()), &["answered by hello"]);
}

#[test]
fn it_answers_twice() {
    let scene = Scene::new();
    let mut candidate = scene.rude("head -c 8 >/dev/null; cat good good; cat >/dev/null", PATIENCE);
    assert!(matches!(candidate.call(&asked()), Reply::Done { .. }));
    // both answers are in the pipe at once; the second is read while this process sleeps
    std::thread::sleep(Duration::from_secs(1));
    malformed(&candidate.call(&asked()), &["a second answer (done)"]);
    recovers(&mut candidate);
}

#[test]
fn an_answer_to_another_question_is_recognised() {
    let scene = Scene::new();
    scene.put("stale", &encode(&Message::Done(Box::default()), Some(41)));
    malformed(&scene.first("head -c 8 >/dev/null; cat stale; cat >/dev/null"), &["question 41", "question 1"]);
}

#[test]
fn a_flood_is_held_back_and_found() {
    let scene = Scene::new();
    let mut candidate = scene.rude("head -c 8 >/dev/null; while cat good; do :; done 2>/dev/null", PATIENCE);
    assert!(matches!(candidate.call(&asked()), Reply::Done { .. }));
    std::thread::sleep(Duration::from_secs(1));
    malformed(&candidate.call(&asked()), &["a second answer"]);
    recovers(&mut candidate);
}

#[test]
fn only_the_end_of_a_long_log_is_kept() {
    let scene = Scene::new();
    let reply = scene.first("head -c 8 >/dev/null; yes noise | head -c 1000000 >&2; echo the reason >&2; exit 1");
    let Reply::Crashed(message) = reply else { panic!("{reply:?}") };
    assert!(message.ends_with("the reason") && message.len() < 5000, "{} bytes", message.len());
}

#[test]
fn an_exit_after_an_error_is_no_second_error() {
    let scene = Scene::new();
    scene.put("sorry", &encode(&Message::Refused(Reply::Failed("sticky".into())), None));
    let mut candidate = scene.rude("head -c 8 >/dev/null; cat sorry; sleep 0.2; exit 1", PATIENCE);
    assert!(matches!(candidate.call(&asked()), Reply::Failed(m) if m == "sticky"));
    recovers(&mut candidate);
}

#[test]
fn a_bench_without_times_is_no_bench() {
    use fla_conformance::candidate::BenchRequest;
    let scene = Scene::new();
    let mut candidate = scene.rude("head -c 8 >/dev/null; cat good; cat >/dev/null", PATIENCE);
    let (want, profile) = (vec!["o".into()], "typical".into());
    let asked = BenchRequest { problem: hgrn(), dtype: DType::F32, want, iterations: 1, profile, seed: 0 };
    let reply = candidate.bench(&asked).expect_err("no times");
    malformed(&reply, &["times_ns"]);
}
