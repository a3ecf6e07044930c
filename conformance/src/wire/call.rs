//! What the verbs say: messages to and from blobs.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use reference::error::Error as ProblemError;
use reference::problem::Problem;
use reference::spec::{Attrs, Dim, OpSpec, Precision, Value};
use reference::tensor::{DType, Tensor, Tensors};
use serde_json::{Map, Value as Json};

use super::frame::Frame;
use super::{Error, Hello, Message, PROTOCOL};
use crate::candidate::{BenchRequest, Fill, Mode, Reply, Request, Timing};

/// The name under which the offsets of packed sequences travel.
const OFFSETS: &str = "cu_seqlens";

pub(super) fn to_frame(message: &Message) -> Frame {
    let mut frame = Frame::new(message.verb());
    match message {
        Message::Hello(hello) => {
            frame.set("protocol", PROTOCOL);
            frame.set("name", &hello.name);
            frame.set("version", &hello.version);
            frame.set("device", &hello.device);
            frame.set("ops", hello.ops.join(","));
            frame.set("features", hello.features.join(","));
            if !hello.kernels.is_empty() {
                frame.set("kernels", Json::from_iter(hello.kernels.clone()).to_string());
            }
        }
        Message::Call(request) => return request_to_frame(request),
        Message::Bench(request) => bench_to_frame(request, &mut frame),
        Message::Done(timing) => done_to_frame(timing, &mut frame),
        Message::Refused(reply) => refusal_to_frame(reply, &mut frame),
        Message::Bye => {}
    }
    frame
}

pub(super) fn request_to_frame(request: &Request) -> Frame {
    let mut frame = Frame::new("call");
    frame.set("op", request.problem.spec.name);
    frame.set("attrs", attrs_to_json(&request.problem.attrs));
    frame.set("want", request.want.join(","));
    match request.fill {
        Fill::Any => {}
        Fill::NaN => frame.set("fill", "nan"),
        Fill::Huge => frame.set("fill", "huge"),
    }
    if let Some(mode) = request.mode.name() {
        frame.set("mode", mode);
    }
    frame.tensors = request.inputs.clone();
    frame.tensors.extend(request.cotangents.clone());
    if let Some(offsets) = request.problem.cu_seqlens() {
        frame.tensors.insert(OFFSETS.to_owned(), Tensor::from_i64(&offsets));
    }
    frame
}

fn bench_to_frame(request: &BenchRequest, frame: &mut Frame) {
    let problem = &request.problem;
    let dims: Map<_, _> =
        problem.spec.sizes.iter().map(|&d| (d.name().to_owned(), Json::from(problem.size(d)))).collect();
    frame.set("op", problem.spec.name);
    frame.set("attrs", attrs_to_json(&problem.attrs));
    frame.set("dims", Json::Object(dims));
    frame.set("dtype", request.dtype);
    frame.set("want", request.want.join(","));
    frame.set("iterations", request.iterations);
    frame.set("profile", &request.profile);
    frame.set("seed", request.seed);
    if let Some(lengths) = &problem.sequences {
        frame.set("seqs", Json::from(lengths.clone()));
    }
    frame.set("inputs", problem.inputs().map(|p| p.name).collect::<Vec<_>>().join(","));
}

fn done_to_frame(timing: &Timing, frame: &mut Frame) {
    frame.set("ran", &timing.ran);
    if !timing.times_ns.is_empty() {
        frame.set("times_ns", Json::from(timing.times_ns.clone()));
    }
    if let Some(bytes) = timing.peak_bytes {
        frame.set("peak_bytes", bytes);
    }
    if let Some(bytes) = timing.workspace_bytes {
        frame.set("workspace_bytes", bytes);
    }
    if let Some(ns) = timing.host_ns {
        frame.set("host_ns", ns);
    }
    if !timing.timed_by.is_empty() {
        frame.set("timed_by", &timing.timed_by);
    }
    frame.tensors = timing.sample.clone();
}

fn refusal_to_frame(reply: &Reply, frame: &mut Frame) {
    match reply {
        Reply::Declined(reason) => frame.set("reason", reason),
        Reply::Trespassed(message) => {
            frame.set("message", message);
            frame.set("trespass", 1);
        }
        Reply::OutOfMemory(message) => {
            frame.set("message", message);
            frame.set("out_of_memory", 1);
        }
        Reply::Failed(message) | Reply::Malformed(message) | Reply::Crashed(message) => frame.set("message", message),
        Reply::Hung(after) => frame.set("message", format_args!("no answer in {} s", after.as_secs_f64())),
        Reply::Done { .. } => frame.set("message", "an answer without its tensors"),
    }
}

pub(super) fn from_frame(frame: Frame) -> Result<Message, Error> {
    let verb = frame.get("verb").unwrap_or("").to_owned();
    Ok(match verb.as_str() {
        "hello" => Message::Hello(hello(&frame)?),
        "call" => Message::Call(Box::new(request(frame)?)),
        "bench" => Message::Bench(Box::new(bench(&frame)?)),
        "done" => Message::Done(Box::new(done(frame)?)),
        "declined" => Message::Refused(Reply::Declined(field("declined", &frame, "reason")?.to_owned())),
        "failed" => {
            let message = field("failed", &frame, "message")?.to_owned();
            Message::Refused(match (frame.get("trespass"), frame.get("out_of_memory")) {
                (Some(_), _) => Reply::Trespassed(message),
                (_, Some(_)) => Reply::OutOfMemory(message),
                _ => Reply::Failed(message),
            })
        }
        "bye" => Message::Bye,
        _ => return Err(Error::Verb { got: verb }),
    })
}

fn hello(frame: &Frame) -> Result<Hello, Error> {
    let text = |name| field("hello", frame, name).map(str::to_owned);
    let protocol = text("protocol")?;
    if protocol != PROTOCOL {
        return Err(Error::Protocol { got: protocol });
    }
    Ok(Hello {
        name: text("name")?,
        version: text("version")?,
        device: text("device")?,
        ops: names(field("hello", frame, "ops")?),
        features: names(frame.get("features").unwrap_or("")),
        kernels: match frame.get("kernels") {
            Some(_) => json("hello", frame, "kernels", "an object of hashes by op")?,
            None => BTreeMap::new(),
        },
    })
}

fn request(frame: Frame) -> Result<Request, Error> {
    let spec = spec("call", &frame)?;
    let attrs = attrs("call", &frame, spec)?;
    let want = names(field("call", &frame, "want")?);
    let fill = match frame.get("fill") {
        None => Fill::Any,
        Some("nan") => Fill::NaN,
        Some("huge") => Fill::Huge,
        Some(got) => return Err(bad("call", "fill", got, "nan or huge")),
    };
    let mode = match frame.get("mode") {
        None => Mode::Any,
        Some(name) => Mode::named(name).ok_or_else(|| bad("call", "mode", name, "evaluation, recompute or graph"))?,
    };
    let mut inputs = frame.tensors;
    let offsets = inputs.remove(OFFSETS).map(|t| offsets(&t)).transpose()?;
    let cotangent = |name: &str| name.strip_prefix("d_").is_some_and(|output| spec.output(output).is_some());
    let cotangents: Tensors = inputs.extract_if(.., |name, _| cotangent(name)).collect();
    let shapes = inputs.iter().map(|(name, t)| (name.clone(), t.shape().to_vec())).collect();
    let problem = Problem::infer(spec, attrs, &shapes, offsets.as_deref())?;
    for (name, tensor) in &cotangents {
        if let Some(port) = name.strip_prefix("d_").and_then(|output| spec.output(output)) {
            problem.expect(port, tensor.shape())?;
        }
    }
    for (name, tensor) in &inputs {
        match spec.input(name).map(|port| port.precision) {
            Some(Precision::Index) => integer(name, tensor)?,
            _ => floating(name, tensor)?,
        }
    }
    for (name, tensor) in &cotangents {
        floating(name, tensor)?;
    }
    check_want("call", &problem, &want)?;
    let dtype = storage(&problem, &inputs);
    Ok(Request { problem, dtype, inputs, cotangents, want, fill, mode })
}

/// The element type of the case: that of the first input in storage precision.
fn storage(problem: &Problem, inputs: &Tensors) -> DType {
    // Single precision is the same for every storage type but f64, so only a storage port tells them apart
    let mut ports = problem.inputs().filter(|p| Problem::dtype(p, DType::Bf16) == DType::Bf16);
    ports.find_map(|p| inputs.get(p.name)).map_or(DType::F32, Tensor::dtype)
}

fn bench(frame: &Frame) -> Result<BenchRequest, Error> {
    let spec = spec("bench", frame)?;
    let mut problem = Problem { attrs: attrs("bench", frame, spec)?, ..Problem::new(spec, &[]) };
    let dims: BTreeMap<String, usize> = json("bench", frame, "dims", "an object of sizes")?;
    for (name, extent) in dims {
        let known = Dim::from_name(&name).filter(|d| spec.sizes.contains(d));
        let expected = || spec.sizes.iter().map(|d| d.name()).collect::<Vec<_>>().join(", ");
        problem.sizes.insert(known.ok_or_else(|| unknown(spec, "dimension", &name, expected()))?, extent);
    }
    if frame.get("seqs").is_some() {
        problem.sequences = Some(json("bench", frame, "seqs", "an array of lengths")?);
    }
    if let Some(given) = frame.get("inputs") {
        let given = names(given);
        if let Some(name) = given.iter().find(|n| spec.input(n).is_none()) {
            let expected = spec.inputs.iter().map(|p| p.name).collect::<Vec<_>>().join(", ");
            return Err(unknown(spec, "input", name, expected));
        }
        problem.absent = spec.inputs.iter().map(|p| p.name).filter(|n| !given.iter().any(|g| g == n)).collect();
    }
    let allowed: Vec<_> = spec.inputs.iter().filter(|p| problem.allows(p)).map(|p| p.name).collect();
    problem.absent.retain(|name| allowed.contains(name));
    if frame.get("inputs").is_none() {
        problem.mend();
    }
    problem.validate()?;
    let want = names(field("bench", frame, "want")?);
    check_want("bench", &problem, &want)?;
    let dtype = field("bench", frame, "dtype")?;
    Ok(BenchRequest {
        problem,
        dtype: DType::from_name(dtype).ok_or_else(|| bad("bench", "dtype", dtype, "f64, f32, f16 or bf16"))?,
        want,
        iterations: number("bench", frame, "iterations")?,
        profile: field("bench", frame, "profile")?.to_owned(),
        seed: number("bench", frame, "seed")?,
    })
}

fn done(frame: Frame) -> Result<Timing, Error> {
    for (name, tensor) in &frame.tensors {
        floating(name, tensor)?;
    }
    let bytes = |name| frame.get(name).map(|_| number("done", &frame, name)).transpose();
    Ok(Timing {
        times_ns: match frame.get("times_ns") {
            Some(_) => json("done", &frame, "times_ns", "an array of nanoseconds")?,
            None => Vec::new(),
        },
        peak_bytes: bytes("peak_bytes")?,
        workspace_bytes: bytes("workspace_bytes")?,
        host_ns: frame.get("host_ns").map(|_| number("done", &frame, "host_ns")).transpose()?,
        timed_by: frame.get("timed_by").unwrap_or("").to_owned(),
        ran: frame.get("ran").unwrap_or("").to_owned(),
        sample: frame.tensors,
    })
}

fn check_want(verb: &'static str, problem: &Problem, want: &[String]) -> Result<(), Error> {
    let gradients = problem.differentiable().map(|p| format!("d_{}", p.name));
    let known: Vec<_> = problem.produced().map(|p| p.name.to_owned()).chain(gradients).collect();
    match want.iter().find(|w| !known.contains(w)) {
        Some(wrong) => Err(bad(verb, "want", wrong, &known.join(", "))),
        None => Ok(()),
    }
}

fn offsets(tensor: &Tensor) -> Result<Vec<i64>, Error> {
    if tensor.dtype() == DType::I64 && tensor.shape().len() == 1 {
        return Ok(tensor.to_i64());
    }
    let got = format!("{} of rank {}", tensor.dtype(), tensor.shape().len());
    Err(Error::DType { tensor: OFFSETS.into(), got, expected: "I64 of rank 1" })
}

fn floating(name: &str, tensor: &Tensor) -> Result<(), Error> {
    match tensor.dtype() {
        DType::I64 => Err(Error::DType { tensor: name.to_owned(), got: "I64".into(), expected: "a float type" }),
        _ => Ok(()),
    }
}

fn integer(name: &str, tensor: &Tensor) -> Result<(), Error> {
    match tensor.dtype() {
        DType::I64 => Ok(()),
        got => Err(Error::DType { tensor: name.to_owned(), got: got.to_string(), expected: "I64" }),
    }
}

pub(super) fn attrs_to_json(attrs: &Attrs) -> Json {
    let value = |v: &Value| match *v {
        Value::Flag(x) => Json::from(x),
        Value::Number(x) => Json::from(x),
        Value::Word(x) => Json::from(x),
        Value::Auto => Json::Null,
    };
    Json::Object(attrs.iter().map(|(name, v)| ((*name).to_owned(), value(v))).collect())
}

fn attrs(verb: &'static str, frame: &Frame, spec: &'static OpSpec) -> Result<Attrs, Error> {
    let given: Map<String, Json> = json(verb, frame, "attrs", "a JSON object")?;
    let mut attrs = Attrs::new();
    for (name, json) in given {
        let known = || spec.attrs.iter().map(|a| a.name).collect::<Vec<_>>().join(", ");
        let attr = spec.attr(&name).ok_or_else(|| unknown(spec, "attribute", &name, known()))?;
        let word = json.as_str().and_then(|word| attr.named(word));
        let value = match (attr.default, &json) {
            (Value::Flag(_), Json::Bool(x)) => Value::Flag(*x),
            (Value::Number(_) | Value::Auto, Json::Number(x)) => Value::Number(x.as_f64().unwrap_or(f64::NAN)),
            (Value::Auto, Json::Null) => Value::Auto,
            _ => word.ok_or_else(|| {
                let (expected, got) = (attr.expected(), json.to_string());
                ProblemError::Attribute { op: spec.name, attr: name, expected, got }
            })?,
        };
        if value != attr.default {
            attrs.insert(attr.name, value);
        }
    }
    Ok(attrs)
}

fn spec(verb: &'static str, frame: &Frame) -> Result<&'static OpSpec, Error> {
    let name = field(verb, frame, "op")?;
    let known = || reference::specs().map(|s| s.name).collect::<Vec<_>>().join(", ");
    reference::spec(name).ok_or_else(|| {
        ProblemError::Unknown { op: name.to_owned(), kind: "op", name: name.to_owned(), expected: known() }.into()
    })
}

fn unknown(spec: &OpSpec, kind: &'static str, name: &str, expected: String) -> Error {
    ProblemError::Unknown { op: spec.name.to_owned(), kind, name: name.to_owned(), expected }.into()
}

fn names(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|n| !n.is_empty()).map(str::to_owned).collect()
}

fn field<'a>(verb: &'static str, frame: &'a Frame, name: &'static str) -> Result<&'a str, Error> {
    frame.get(name).ok_or_else(|| bad(verb, name, "missing", "a string"))
}

fn number<N: FromStr>(verb: &'static str, frame: &Frame, name: &'static str) -> Result<N, Error> {
    let text = field(verb, frame, name)?;
    text.parse().map_err(|_| bad(verb, name, text, "a whole number"))
}

fn json<T: serde::de::DeserializeOwned>(
    verb: &'static str,
    frame: &Frame,
    name: &'static str,
    expected: &str,
) -> Result<T, Error> {
    let text = field(verb, frame, name)?;
    serde_json::from_str(text).map_err(|e| bad(verb, name, format_args!("{text} ({e})"), expected))
}

fn bad(verb: &'static str, field: &'static str, got: impl Display, expected: &str) -> Error {
    Error::Field { verb, field, got: got.to_string(), expected: expected.to_owned() }
}
