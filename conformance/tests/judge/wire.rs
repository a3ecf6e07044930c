//! Messages: what travels comes back, and whatever else comes is a typed error.

use std::collections::HashMap;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::question::{hgrn, problem, question};
use fla_conformance::candidate::{BenchRequest, Fill, Mode, Reply, Timing};
use fla_conformance::wire::{Error, Hello, Incoming, MAX_DATA, Message, decode_call, encode, encode_call, read};
use reference::oracle;
use reference::problem::Problem;
use reference::spec::{Dim, Value};
use reference::tensor::{DType, Tensor, Tensors};
use safetensors::tensor::{Dtype, TensorView, serialize};

/// Twice as many value heads as key heads.
fn gated_delta_rule() -> Problem {
    problem("gated_delta_rule", &[(Dim::B, 2), (Dim::T, 5), (Dim::H, 1), (Dim::HV, 2), (Dim::K, 3), (Dim::V, 4)])
}

fn packed() -> Problem {
    let sizes = [(Dim::B, 1), (Dim::T, 5), (Dim::H, 1), (Dim::K, 2), (Dim::V, 3)];
    let mut problem = problem("simple_gla", &sizes);
    problem.sequences = Some(vec![2, 0, 3]);
    problem.absent.insert("g_gamma");
    problem.attrs.insert("scale", Value::Number(0.25));
    problem.attrs.insert("reverse", Value::Flag(true));
    problem
}

fn one(bytes: &[u8]) -> Result<Incoming, Error> {
    read(&mut &*bytes, || MAX_DATA).map(|m| m.expect("a message"))
}

fn blob(fields: &[(&str, &str)], tensors: &[(&str, Dtype, &[usize], &[u8])]) -> Vec<u8> {
    let fields: HashMap<_, _> = fields.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
    let views = tensors.iter().map(|&(n, d, s, b)| (n, TensorView::new(d, s.to_vec(), b).expect("a fitting view")));
    serialize(views, Some(fields)).expect("a small header")
}

#[test]
fn calls_come_back_as_they_went() {
    for (problem, want) in [(hgrn(), "o,ht,d_x"), (gated_delta_rule(), "o,d_h0,d_beta"), (packed(), "ht")] {
        for dtype in [DType::F64, DType::F32, DType::F16, DType::Bf16] {
            let mut sent = question(problem.clone(), dtype, want);
            (sent.fill, sent.mode) = (Fill::Huge, Mode::Recompute);
            let got = decode_call(&encode_call(&sent)).expect("a call");
            assert_eq!((&got.problem, got.dtype, got.fill), (&sent.problem, dtype, Fill::Huge));
            assert_eq!(got.mode, Mode::Recompute);
            assert_eq!((got.inputs, got.cotangents, got.want), (sent.inputs, sent.cotangents, sent.want));
        }
    }
}

#[test]
fn every_other_verb_comes_back() {
    let hello = Hello { name: "x".into(), ops: vec!["hgrn".into()], features: vec!["fill".into()], ..Hello::default() };
    let Message::Hello(got) = one(&encode(&Message::Hello(hello.clone()), None)).expect("hello").message else {
        panic!("not a hello")
    };
    assert_eq!(got, hello);
    let asked = BenchRequest {
        problem: packed(),
        dtype: DType::Bf16,
        want: vec!["o".into()],
        iterations: 7,
        profile: "typical".into(),
        seed: 3,
    };
    let Message::Bench(got) = one(&encode(&Message::Bench(Box::new(asked.clone())), Some(4))).expect("bench").message
    else {
        panic!("not a bench")
    };
    assert_eq!((got.problem, got.dtype, got.iterations, got.seed), (asked.problem, asked.dtype, 7, 3));
    let times = Timing {
        times_ns: vec![1.5, 2.0],
        peak_bytes: Some(9),
        host_ns: Some(7.5),
        timed_by: "a sundial".into(),
        ran: "k".into(),
        ..Timing::default()
    };
    let incoming = one(&encode(&Message::Done(Box::new(times)), Some(11))).expect("done");
    let Message::Done(got) = incoming.message else { panic!("not a done") };
    assert_eq!(
        (incoming.id, got.times_ns, got.peak_bytes, got.workspace_bytes),
        (Some(11), vec![1.5, 2.0], Some(9), None)
    );
    assert_eq!((got.host_ns, got.timed_by.as_str()), (Some(7.5), "a sundial"));
    let replies = [Reply::Declined("a".into()), Reply::Failed("b".into()), Reply::Trespassed("c".into())];
    for reply in replies.into_iter().chain([Reply::OutOfMemory("d".into())]) {
        let Message::Refused(got) = one(&encode(&Message::Refused(reply.clone()), None)).expect("a refusal").message
        else {
            panic!("not a refusal")
        };
        assert_eq!(format!("{got:?}"), format!("{reply:?}"));
    }
    assert!(matches!(one(&encode(&Message::Bye, None)).expect("bye").message, Message::Bye));
}

#[test]
fn a_bench_without_the_extensions_is_complete() {
    let dims = r#"{"B":1,"T":8,"H":2,"K":4,"V":4}"#;
    let fields = [("verb", "bench"), ("op", "simple_gla"), ("attrs", "{}"), ("dims", dims), ("dtype", "bf16")];
    let more = [("want", "o"), ("iterations", "3"), ("profile", "typical"), ("seed", "0")];
    let message = one(&blob(&[&fields[..], &more].concat(), &[])).expect("a bench").message;
    let Message::Bench(asked) = message else { panic!("not a bench") };
    let given: Vec<_> = asked.problem.inputs().map(|p| p.name).collect();
    assert_eq!(given, ["q", "k", "v", "g", "h0"]);
}

#[test]
fn no_prefix_and_no_flipped_bit_panics() {
    let bytes = encode_call(&question(hgrn(), DType::Bf16, "o,d_g"));
    assert!(matches!(read(&mut &[][..], || MAX_DATA), Ok(None)));
    for end in 1..bytes.len() {
        assert!(matches!(one(&bytes[..end]), Err(Error::Truncated { .. })), "prefix of {end} bytes");
    }
    let mut survivors = 0;
    for i in 0..bytes.len() * 8 {
        let mut wrong = bytes.clone();
        wrong[i / 8] ^= 1 << (i % 8);
        survivors += usize::from(one(&wrong).is_ok());
    }
    // a flip in the data is another number, one in the header is nearly always an error
    let data: usize = question(hgrn(), DType::Bf16, "o,d_g").inputs.values().map(|t| t.bytes().len()).sum();
    assert!(survivors >= data * 8 && survivors < bytes.len() * 4, "{survivors} of {}", bytes.len() * 8);
}

#[test]
fn streams_that_are_no_messages() {
    let text = one(b"Loading checkpoint shards: 100%");
    assert!(matches!(&text, Err(Error::Garbage { start, .. }) if start == "Loading "), "{text:?}");
    let mut noise = 5_u64.to_le_bytes().to_vec();
    noise.extend(b"{\"a\":");
    assert!(matches!(one(&noise), Err(Error::Header(_))));
    let lying = blob_of(r#"{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4);
    assert!(matches!(one(&lying), Err(Error::Header(_))));
    let at = |name: &str, first: u8| {
        format!(r#""{name}":{{"dtype":"F32","shape":[1],"data_offsets":[{first},{}]}}"#, first + 4)
    };
    let overlapping = format!("{{{},{}}}", at("x", 0), at("y", 2));
    assert!(matches!(one(&blob_of(&overlapping, 6)), Err(Error::Header(_))));
    let huge = r#"{"x":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4000000000]}}"#;
    let got = read(&mut &*blob_of(huge, 4), || 1000);
    assert!(matches!(got, Err(Error::TooLarge { got: 4_000_000_000, limit: 1000 })), "{got:?}");
    assert!(matches!(one(&blob_of(huge, 4)), Err(Error::Truncated { part: "data", got: 4, .. })));
}

fn blob_of(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn wrong_contents_are_named() {
    let ones = [0x80, 0x3f, 0x80, 0x3f];
    let x = ("x", Dtype::BF16, &[1, 2, 1][..], &ones[..]);
    let g = ("g", Dtype::BF16, &[1, 2, 1][..], &ones[..]);
    let call = |op: &str, attrs: &str, want: &str, more: &[(&str, Dtype, &[usize], &[u8])]| {
        let fields = [("verb", "call"), ("op", op), ("attrs", attrs), ("want", want)];
        let tensors: Vec<_> = [x, g].into_iter().chain(more.iter().copied()).collect();
        one(&blob(&fields, &tensors)).map(|_| ()).expect_err("a wrong call")
    };
    let says = |error: Error, words: &[&str]| {
        let text = error.to_string();
        assert!(error.is_contained() && words.iter().all(|w| text.contains(w)), "{text}");
    };
    says(call("hgnr", "{}", "o", &[]), &["hgnr", "hgrn"]);
    says(call("hgrn", "{\"scale\":1}", "o", &[]), &["attribute", "scale"]);
    says(call("hgrn", "[", "o", &[]), &["attrs", "a JSON object"]);
    says(call("hgrn", "{}", "o,d_y", &[]), &["want", "d_y", "d_x"]);
    says(call("hgrn", "{}", "o", &[("z", Dtype::BF16, &[2], &ones)]), &["input", "z", "h0"]);
    says(call("hgrn", "{}", "o", &[("d_o", Dtype::BF16, &[2], &ones)]), &["[2]", "[B, T, D] = [1, 2, 1]"]);
    says(call("hgrn", "{}", "o", &[("h0", Dtype::I32, &[1, 1], &ones)]), &["h0", "I32", "F64"]);
    says(call("hgrn", "{}", "o", &[("cu_seqlens", Dtype::F32, &[1], &ones)]), &["cu_seqlens", "I64"]);
    let offsets: Vec<u8> = [0_i64, 3].iter().flat_map(|x| x.to_le_bytes()).collect();
    says(call("hgrn", "{}", "o", &[("cu_seqlens", Dtype::I64, &[2], &offsets)]), &["cu_seqlens [0, 3]", "T = 2"]);
    let fields = |fields: &[(&str, &str)]| one(&blob(fields, &[])).map(|_| ()).expect_err("a wrong message");
    says(fields(&[("verb", "jump")]), &["jump"]);
    says(fields(&[("verb", "call")]), &["op", "missing"]);
    says(fields(&[("verb", "hello"), ("protocol", "2")]), &["protocol \"2\"", "expected \"1\""]);
    says(fields(&[("verb", "declined")]), &["reason"]);
}

#[test]
fn the_served_reference_is_the_oracle() {
    for (problem, want) in [(gated_delta_rule(), "o,ht,d_q,d_k,d_v,d_g,d_beta,d_h0"), (hgrn(), "o,ht,d_x,d_g,d_h0")] {
        let asked = question(problem, DType::F64, want);
        let tensors = serve(&[encode_call(&asked), encode(&Message::Bye, None)].concat());
        let widen = |t: &Tensors| t.iter().map(|(n, t)| (n.clone(), t.to_array())).collect();
        let (inputs, cotangents) = (widen(&asked.inputs), widen(&asked.cotangents));
        let inputs_of: Vec<_> = asked.problem.differentiable().map(|p| p.name).collect();
        let truth = oracle::gradients(&asked.problem, &inputs, &cotangents, &inputs_of).expect("a valid problem");
        for (name, array) in truth.outputs.iter().chain(&truth.gradients) {
            assert_eq!(tensors[name], Tensor::from_array(array, DType::F64), "{name}");
        }
        assert_eq!(tensors.len(), asked.want.len());
    }
}

/// What `serve --candidate reference` answers after its hello; it must exit with 0.
fn serve(stdin: &[u8]) -> Tensors {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fla-conformance"))
        .args(["serve", "--candidate", "reference"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this package's own binary");
    child.stdin.take().expect("a pipe").write_all(stdin).expect("a reader");
    let output = child.wait_with_output().expect("an exit");
    assert!(output.status.success(), "{}", output.status);
    let mut stdout = &*output.stdout;
    let hello = read(&mut stdout, || 0).expect("a message").expect("hello comes first").message;
    assert!(matches!(&hello, Message::Hello(h) if h.ops.iter().any(|op| op == "hgrn")), "{hello:?}");
    let answer = read(&mut stdout, || MAX_DATA).expect("a message").expect("an answer").message;
    assert!(stdout.is_empty(), "more than one answer");
    match answer {
        Message::Done(done) => done.sample,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_served_candidate_survives_wrong_calls() {
    let mut asked = question(hgrn(), DType::F32, "o");
    asked.want = vec!["nonsense".into()];
    let right = question(hgrn(), DType::F32, "o");
    let stdin = [encode_call(&asked), encode_call(&right)].concat();
    let mut output = Vec::new();
    let mut candidate = fla_conformance::candidate::local::Reference::default();
    fla_conformance::serve::serve(&mut candidate, &*stdin, &mut output).expect("a stream in step");
    let mut output = &*output;
    let mut next = || read(&mut output, || MAX_DATA).expect("a message").map(|m| m.message);
    assert!(matches!(next(), Some(Message::Hello(_))));
    assert!(matches!(next(), Some(Message::Refused(Reply::Failed(m))) if m.contains("nonsense")));
    assert!(matches!(next(), Some(Message::Done(_))));
    assert!(next().is_none());
}

#[test]
fn indices_travel_as_integers_and_nothing_else_does() {
    let sizes = [(Dim::B, 1), (Dim::T, 3), (Dim::H, 1), (Dim::HQ, 2), (Dim::K, 2), (Dim::V, 2), (Dim::L, 2)];
    for dtype in [DType::F64, DType::F32, DType::F16, DType::Bf16] {
        let mut sent = question(problem("dsa", &sizes), dtype, "o,d_q");
        let listed = Tensor::from_bytes(DType::I64, &[1, 3, 2], Tensor::from_i64(&[-1, 0, 0, 1, 1, 2]).into_bytes());
        sent.inputs.insert("indices".into(), listed.expect("six integers"));
        let got = decode_call(&encode_call(&sent)).expect("a call");
        assert_eq!((got.dtype, &got.inputs), (dtype, &sent.inputs));
        for (name, wrong) in [("indices", dtype), ("q", DType::I64)] {
            let mut other = sent.clone();
            let tensor = Tensor::from_array(&sent.inputs[name].to_array(), wrong);
            other.inputs.insert(name.into(), tensor);
            let error = decode_call(&encode_call(&other));
            assert!(matches!(&error, Err(Error::DType { tensor, .. }) if tensor == name), "{error:?}");
        }
    }
}
