//! Checkpoints: every model's parameters through files and back, fla's own files, and what can be wrong with files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fla_conformance::checkpoint::{Checkpoint, DTYPES, Error, configuration, join, save};
use fla_conformance::model::{evaluate, generate};
use fla_conformance::truth::Truth;
use ndarray::{ArrayD, Axis};
use reference::models::config::{ConfigError, Stack};
use reference::models::described;
use reference::models::walk::Walk;
use reference::oracle;
use reference::spec::Dim;
use reference::tensor::{Arrays, DType, Tensor, Tensors};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// Small configurations of every model, one for each option that adds, removes or resizes a parameter.
fn stacks() -> Vec<Stack> {
    let all: Value = serde_json::from_str(include_str!("../../../golden/configs.json")).expect("JSON");
    let mut stacks = Vec::new();
    for model in described() {
        let theirs = &all[model.model_type()];
        let changes = theirs["changes"].as_array().expect("a list").iter().map(|c| c["config"].clone());
        for change in std::iter::once(json!({})).chain(changes) {
            let mut config = Map::from_iter([("model_type".to_owned(), json!(model.model_type()))]);
            config.extend(theirs["config"].as_object().expect("fields").clone());
            config.extend(change.as_object().expect("fields").clone());
            // what is not supported is tested where configurations are
            stacks.extend(Stack::from_config(&config));
        }
    }
    stacks
}

/// Bytes of a linear congruence: any bits at all, those of no number included.
fn noise(seed: &mut u64, count: usize) -> Vec<u8> {
    let mut next = || {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 56) as u8
    };
    (0..count).map(|_| next()).collect()
}

/// Parameters of every type, by upstream's names.
fn parameters(stack: &Stack, seed: &mut u64) -> Tensors {
    let tensor = |(i, t): (usize, reference::models::config::Tensor)| {
        let dtype = if t.count { DType::I64 } else { DTYPES[i % DTYPES.len()] };
        let bytes = noise(seed, t.shape.iter().product::<usize>() * dtype.size());
        (t.name, Tensor::from_bytes(dtype, &t.shape, bytes).expect("as many bytes"))
    };
    stack.tensors().into_iter().enumerate().map(tensor).collect()
}

#[test]
fn every_model_comes_back_from_one_file_and_from_several_bit_by_bit() {
    let (folder, mut seed) = (TempDir::new().expect("a temporary folder"), 1);
    let stacks = stacks();
    assert!(stacks.len() > 3 * described().count());
    for (i, stack) in stacks.iter().enumerate() {
        let tensors = parameters(stack, &mut seed);
        for (name, most) in [("one", usize::MAX), ("several", 2000)] {
            let to = folder.path().join(format!("{name}-{i}"));
            save(&to, stack, &tensors, most).unwrap_or_else(|e| panic!("{e}"));
            let back = Checkpoint::open(&to).unwrap_or_else(|e| panic!("{}: {e}", stack.problem));
            assert_eq!(back.paths().len() > 1, name == "several");
            assert_eq!(back.tensors().expect("opened"), tensors, "{}", stack.problem);
            assert_eq!(back.stack.config(), stack.config());
            assert_eq!(back.stack.problem, stack.problem);
        }
    }
}

#[test]
fn weights_are_the_ports_that_were_joined() {
    let (folder, mut seed) = (TempDir::new().expect("a temporary folder"), 2);
    for (i, stack) in stacks().iter().enumerate() {
        let weights = stack.all_weights();
        let ports: Tensors = weights
            .iter()
            .map(|w| {
                let numbers = noise(&mut seed, w.shape.iter().product()).into_iter().map(f64::from).collect();
                let array = ArrayD::from_shape_vec(w.shape.clone(), numbers).expect("as many numbers");
                (w.port.name.to_owned(), Tensor::from_array(&array, DType::F32))
            })
            .collect();
        let to = folder.path().join(i.to_string());
        save(&to, stack, &join(stack, &ports).expect("every port"), usize::MAX).expect("a writable folder");
        let back = Checkpoint::open(&to).unwrap_or_else(|e| panic!("{e}"));
        let mut seen = 0;
        for stage in Walk::new(&stack.problem).expect("valid").stages() {
            let found = back.weights::<f64>(stage).expect("opened");
            seen += found.len();
            for (name, array) in found {
                assert_eq!(array, ports[name].to_array(), "{name}");
            }
        }
        // some parts share a weight
        assert!(seen >= weights.len());
    }
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden/checkpoints").join(name)
}

/// Tokens, and what fla's kernels say of them.
fn flas() -> (Vec<usize>, ArrayD<f64>, Vec<usize>) {
    let text = fs::read_to_string(golden("gla").join("logits.json")).expect("golden/generate/checkpoint.py wrote it");
    let all: Value = serde_json::from_str(&text).expect("JSON");
    let ids: Vec<usize> = serde_json::from_value(all["input_ids"].clone()).expect("tokens");
    let rows: Vec<Vec<f64>> = serde_json::from_value(all["logits"].clone()).expect("numbers");
    let shape = [1, rows.len(), rows[0].len()];
    let logits = ArrayD::from_shape_vec(&shape[..], rows.concat()).expect("rows of one length");
    (ids, logits, serde_json::from_value(all["generated"].clone()).expect("tokens"))
}

/// The question that the oracle is asked about a checkpoint and tokens.
fn question(checkpoint: &Checkpoint, ids: &[usize]) -> (reference::problem::Problem, Tensors) {
    let mut problem = checkpoint.stack.problem.clone();
    problem.sizes.insert(Dim::T, ids.len());
    let numbers = |ids: Vec<i64>| Tensor::from_bytes(DType::I64, &[1, ids.len()], Tensor::from_i64(&ids).into_bytes());
    let targets = ids.iter().skip(1).map(|&id| id as i64).chain([-100]).collect();
    let mut inputs = Tensors::from([
        ("input_ids".to_owned(), numbers(ids.iter().map(|&id| id as i64).collect()).expect("a row")),
        ("targets".to_owned(), numbers(targets).expect("a row")),
    ]);
    for stage in Walk::new(&problem).expect("valid").stages() {
        for (name, array) in checkpoint.weights::<f64>(stage).expect("opened") {
            inputs.insert(name.to_owned(), Tensor::from_array(&array, DType::F32));
        }
    }
    (problem, inputs)
}

#[test]
fn a_checkpoint_that_fla_saved_has_the_logits_that_fla_computes() {
    let (ids, logits, _) = flas();
    for name in ["gla", "gla-in-parts"] {
        let checkpoint = Checkpoint::open(&golden(name)).unwrap_or_else(|e| panic!("{e}"));
        let (problem, inputs) = question(&checkpoint, &ids);
        let outputs = Truth::new(problem, DType::F32, inputs, Tensors::new()).outputs().expect("a valid question");
        let judged = outputs["logits"].judge(&Tensor::from_array(&logits, DType::F32));
        assert!(judged.is_ok(), "{name}: {judged:?}");
        let wrong = outputs["logits"].judge(&Tensor::from_array(&(&logits * 1.001), DType::F32));
        assert!(wrong.is_err(), "a thousandth is not noticed");
    }
}

#[test]
fn evaluation_by_parts_is_the_oracles_loss() {
    let (ids, ..) = flas();
    let checkpoint = Checkpoint::open(&golden("gla-in-parts")).unwrap_or_else(|e| panic!("{e}"));
    let (problem, inputs) = question(&checkpoint, &ids);
    let inputs: Arrays = inputs.iter().map(|(name, t)| (name.clone(), t.to_array())).collect();
    let whole = oracle::forward(&problem, &inputs).expect("a valid question").remove("loss").expect("a loss");
    let whole: Vec<f64> = whole.index_axis_move(Axis(0), 0).into_iter().take(ids.len() - 1).collect();
    let mut parts = 0;
    let double = evaluate::<f64>(&checkpoint, &[&ids, &ids[..1], &[]], || parts += 1).expect("known tokens");
    assert_eq!(double.0.iter().map(Vec::len).collect::<Vec<_>>(), [ids.len() - 1, 0, 0]);
    assert!(double.0[0].iter().zip(&whole).all(|(a, b)| (a - b).abs() < 1e-11));
    assert_eq!(parts, 4);
    let single = evaluate::<f32>(&checkpoint, &[&ids], || {}).expect("known tokens");
    assert!(single.0[0].iter().zip(&whole).all(|(a, b)| (a - b).abs() < 1e-4));
    assert!((double.perplexity().ln() - whole.iter().sum::<f64>() / whole.len() as f64).abs() < 1e-11);
}

#[test]
fn the_tokens_that_fla_generates_are_generated() {
    let (ids, _, generated) = flas();
    let checkpoint = Checkpoint::open(&golden("gla")).unwrap_or_else(|e| panic!("{e}"));
    let walk = Walk::new(&checkpoint.stack.problem).expect("valid");
    let mut held = checkpoint.hold::<f32>().expect("opened");
    // a second prompt beside it changes nothing
    let added = generate(&walk, &mut held, &[&ids, &ids[..2]], generated.len(), &[], || {}).expect("known tokens");
    assert_eq!(added[0], generated);
    let end = generated[2];
    let first = generated.iter().position(|&id| id == end).expect("one of them");
    let ended = generate(&walk, &mut held, &[&ids], generated.len(), &[end], || {}).expect("known tokens");
    assert_eq!(ended[0], generated[..=first]);
}

/// A copy of fla's checkpoint in one file, with other tensors and another configuration.
fn spoilt(
    change: impl FnOnce(&mut BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>, &mut Map<String, Value>),
) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    let bytes = fs::read(golden("gla").join("model.safetensors")).expect("fla's file");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let mut tensors =
        file.iter().map(|(n, v)| (n.to_owned(), (v.dtype(), v.shape().to_vec(), v.data().to_vec()))).collect();
    let text = fs::read_to_string(golden("gla").join("config.json")).expect("fla's configuration");
    let mut config = serde_json::from_str(&text).expect("JSON");
    change(&mut tensors, &mut config);
    fs::write(folder.path().join("config.json"), Value::Object(config).to_string()).expect("a writable folder");
    write(&folder.path().join("model.safetensors"), &tensors, None);
    folder
}

fn write(path: &Path, tensors: &BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>, layout: Option<&str>) {
    let metadata = layout.map(|layout| [("layout".to_owned(), layout.to_owned())].into_iter().collect());
    let views: Vec<_> = tensors
        .iter()
        .map(|(name, (dtype, shape, bytes))| {
            (name.clone(), TensorView::new(*dtype, shape.clone(), bytes).expect("as many bytes"))
        })
        .collect();
    safetensors::serialize_to_file(views, metadata, path).expect("a writable folder");
}

const NORM: &str = "model.norm.weight";

#[test]
fn a_tensor_that_is_not_as_it_should_be_is_named() {
    let missing = spoilt(|tensors, _| drop(tensors.remove(NORM)));
    let error = Checkpoint::open(missing.path()).expect_err("a tensor is missing");
    assert!(matches!(&error, Error::Missing { name, expected } if name == NORM && *expected == [16]), "{error}");

    let extra = spoilt(|tensors, _| drop(tensors.insert("model.norn.weight".into(), tensors[NORM].clone())));
    let error = Checkpoint::open(extra.path()).expect_err("there is one too many");
    let named = matches!(&error, Error::Extra { name, got, nearest, .. }
        if name == "model.norn.weight" && *got == [16] && nearest == NORM);
    assert!(named, "{error}");

    let misshaped = spoilt(|tensors, _| {
        let norm = tensors.get_mut(NORM).expect("there");
        norm.1 = vec![4, 4];
    });
    let error = Checkpoint::open(misshaped.path()).expect_err("one has another shape");
    let named =
        matches!(&error, Error::Shape { name, expected, got } if name == NORM && *expected == [16] && *got == [4, 4]);
    assert!(named, "{error}");
    for (dtype, bytes, expected) in [(Dtype::I64, 128, "i64"), (Dtype::U8, 16, "U8")] {
        let mistyped = spoilt(|tensors, _| drop(tensors.insert(NORM.into(), (dtype, vec![16], vec![0; bytes]))));
        let error = Checkpoint::open(mistyped.path()).expect_err("one has another type");
        assert!(matches!(&error, Error::Type { name, got } if name == NORM && got == expected), "{error}");
    }
    let both = spoilt(|tensors, _| {
        tensors.remove(NORM);
        tensors.remove("lm_head.weight");
    });
    let (_, faults) = Checkpoint::inspect(both.path()).expect("readable");
    assert_eq!(faults.len(), 2);
}

#[test]
fn a_configuration_that_is_not_as_it_should_be_is_named() {
    let config = |change: fn(&mut Map<String, Value>)| match Checkpoint::open(spoilt(|_, c| change(c)).path()) {
        Err(Error::Config { source, .. }) => source,
        other => panic!("{other:?}"),
    };
    let error = config(|c| drop(c.insert("expnd_k".into(), json!(1))));
    assert!(matches!(error, ConfigError::Field { name, nearest, .. } if name == "expnd_k" && nearest == "expand_k"));
    let error = config(|c| drop(c.insert("model_type".into(), json!("gls"))));
    assert!(matches!(error, ConfigError::Model { got, nearest, .. } if got == "gls" && nearest == "gla"));
    assert!(matches!(config(|c| drop(c.remove("model_type"))), ConfigError::Unnamed { .. }));
    for (field, value) in [
        ("hidden_size", json!("16")),
        ("num_heads", json!(3)),
        ("num_hidden_layers", json!(0)),
        ("hidden_act", json!("gelu")),
        ("use_short_conv", json!(1)),
        ("norm_eps", json!(null)),
        ("feature_map", json!("none of them")),
        ("attn", json!({"layers": [2], "num_heads": 2})),
        ("attn", json!([{"layers": [0], "num_heads": 2}, {"layers": [1], "num_heads": 1}])),
        ("attnres_block_size", json!(1.5)),
    ] {
        let folder = spoilt(|_, c| drop(c.insert(field.into(), value.clone())));
        match configuration(folder.path()) {
            Err(Error::Config { source: ConfigError::Value { field: named, got, .. }, .. }) => {
                // what does not divide is noticed where the width is shared out
                assert!(named == field || field == "num_heads", "{named} for {field} = {value}, got {got}");
            }
            other => panic!("{field} = {value}: {other:?}"),
        }
    }
    let error = config(|c| drop(c.insert("attnres_block_size".into(), json!(3))));
    assert!(matches!(error, ConfigError::Problem { .. }), "{error}");
}

#[test]
fn files_that_are_broken_are_named() {
    let nowhere = Checkpoint::open(Path::new("/nonexistent/checkpoint")).expect_err("no folder");
    assert!(matches!(&nowhere, Error::Read { path, .. } if path.ends_with("config.json")), "{nowhere}");
    let open = |folder: &TempDir| Checkpoint::open(folder.path()).expect_err("broken");

    let json = spoilt(|_, _| {});
    fs::write(json.path().join("config.json"), "{").expect("writable");
    assert!(matches!(open(&json), Error::Json { .. }));
    let cut = spoilt(|_, _| {});
    let bytes = fs::read(cut.path().join("model.safetensors")).expect("readable");
    for length in [0, 7, 200, bytes.len() - 1] {
        fs::write(cut.path().join("model.safetensors"), &bytes[..length]).expect("writable");
        let error = open(&cut);
        assert!(matches!(error, Error::Format { .. } | Error::Read { .. }), "{length}: {error}");
    }
    let layout = spoilt(|tensors, _| drop(tensors.clone()));
    write(&layout.path().join("model.safetensors"), &BTreeMap::new(), Some("column-major"));
    assert!(matches!(open(&layout), Error::Layout { got, .. } if got == "column-major"));

    let parts = spoilt(|_, _| {});
    let index = parts.path().join("model.safetensors.index.json");
    for (map, expected) in [
        (json!({}), "weight_map"),
        (json!({"weight_map": {NORM: "../model.safetensors"}}), "beside"),
        (json!({"weight_map": {"nobody": "model.safetensors"}}), "nobody"),
    ] {
        fs::write(&index, map.to_string()).expect("writable");
        let error = open(&parts);
        assert!(matches!(&error, Error::Index { message, .. } if message.contains(expected)), "{error}");
    }
    fs::copy(parts.path().join("model.safetensors"), parts.path().join("twice.safetensors")).expect("writable");
    let twice = json!({"weight_map": {NORM: "twice.safetensors", "lm_head.weight": "model.safetensors"}});
    fs::write(&index, twice.to_string()).expect("writable");
    assert!(matches!(open(&parts), Error::Twice { .. }));
}

#[test]
fn what_is_saved_is_whole_and_overwrites_nothing() {
    let checkpoint = Checkpoint::open(&golden("gla")).unwrap_or_else(|e| panic!("{e}"));
    let (folder, tensors) = (TempDir::new().expect("a temporary folder"), checkpoint.tensors().expect("opened"));
    let to = folder.path().join("copy");
    let few: Tensors = tensors.clone().into_iter().skip(1).collect();
    assert!(matches!(save(&to, &checkpoint.stack, &few, usize::MAX), Err(Error::Missing { .. })));
    assert!(!to.exists());
    save(&to, &checkpoint.stack, &tensors, 8000).unwrap_or_else(|e| panic!("{e}"));
    assert!(matches!(save(&to, &checkpoint.stack, &tensors, 8000), Err(Error::Exists { .. })));
    let names: Vec<_> =
        fs::read_dir(folder.path()).expect("readable").map(|e| e.expect("readable").file_name()).collect();
    assert_eq!(names, ["copy"]);
    let index: Value = serde_json::from_str(
        &fs::read_to_string(to.join("model.safetensors.index.json")).expect("several files have an index"),
    )
    .expect("JSON");
    assert!(index["metadata"]["layout"].is_string() && index["metadata"]["version"].is_string());
    for file in Checkpoint::open(&to).unwrap_or_else(|e| panic!("{e}")).paths() {
        let bytes = fs::read(file).expect("readable");
        let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).expect("a safetensors file");
        let said = metadata.metadata().clone().expect("metadata");
        assert_eq!(said["format"], "pt");
        assert!(said.contains_key("layout") && said["version"].contains("0.6.0"));
    }
}

fn command(arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_fla-conformance"));
    program.arg("model").arg(golden("gla")).args(arguments).output().expect("the program runs")
}

#[test]
fn the_command_line_inspects_evaluates_generates_and_saves() {
    let parsed = |arguments: &[&str]| -> Value {
        let output = command(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let (ids, _, generated) = flas();
    assert_eq!(parsed(&["inspect", "--json"])["parameters"], 6512);
    let folder = TempDir::new().expect("a temporary folder");
    let (tokens, text) = (folder.path().join("ids"), ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    fs::write(&tokens, format!("{text}\n\n1,2 3\n")).expect("writable");
    let evaluated = parsed(&["evaluate", "--tokens", &tokens.to_string_lossy(), "--precision", "f64", "--json"]);
    assert_eq!(evaluated["tokens"], ids.len() + 1);
    let count = generated.len().to_string();
    let added = parsed(&["generate", "--prompt", &text, "--tokens", &count, "--past-the-end", "--json"]);
    assert_eq!(added["tokens"], json!(generated));
    let copy = folder.path().join("copy");
    assert!(command(&["save", &copy.to_string_lossy(), "--shard", "10000"]).status.success());
    assert!(Checkpoint::open(&copy).is_ok());
}

#[test]
fn the_command_line_says_what_is_wrong() {
    let folder = TempDir::new().expect("a temporary folder");
    let tokens = folder.path().join("ids");
    fs::write(&tokens, "1 2 99").expect("writable");
    let file = tokens.to_string_lossy();
    for (arguments, expected) in [
        (vec!["evaluate", "--tokens", &file], "99"),
        (vec!["evaluate", "--tokens", "/nonexistent"], "/nonexistent"),
        (vec!["generate", "--prompt", "", "--tokens", "1"], "prompt 1"),
        (vec!["save", &folder.path().to_string_lossy()], "exists"),
    ] {
        let output = command(&arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    let missing = spoilt(|tensors, _| drop(tensors.remove(NORM)));
    let mut program = Command::new(env!("CARGO_BIN_EXE_fla-conformance"));
    let output = program.arg("model").arg(missing.path()).arg("inspect").output().expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("model.norm.weight is missing"));
}
