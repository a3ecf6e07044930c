//! Configurations are fla's: every field with its default, and of small models every parameter with its shape, as
//! `golden/configs.json` has them from fla's own classes.

use std::collections::{BTreeMap, BTreeSet};

use reference::layers::LAYERS;
use reference::models::config::{ConfigError, Described, Means, Stack, TRANSFORMERS};
use reference::models::described;
use serde_json::{Map, Value, json};

fn upstream() -> Map<String, Value> {
    let text = include_str!("../../../golden/configs.json");
    serde_json::from_str(text).expect("golden/generate/configs.py writes JSON")
}

fn strings(list: &Value) -> BTreeSet<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Numbers are equal whether written as 1 or 1.0.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Number(a), Value::Number(b)) => a.as_f64().map(f64::to_bits) == b.as_f64().map(f64::to_bits),
        _ => a == b,
    }
}

#[test]
fn fields_and_defaults_are_flas() {
    let upstream = upstream();
    assert!(strings(&upstream["transformers"]).iter().all(|name| TRANSFORMERS.contains(name)));
    for model in described() {
        let theirs = &upstream[model.model_type()];
        let mut fields = theirs["fields"].as_object().expect("fields by name").clone();
        let mut saved = strings(&theirs["saved"]);
        for field in model.fields() {
            match field.default() {
                Some(ours) => {
                    let default = fields.remove(field.name);
                    let default = default.unwrap_or_else(|| panic!("{}: no field {}", model.model_type(), field.name));
                    assert!(same(&ours, &default), "{}: {} is {default}", model.model_type(), field.name);
                }
                None => assert!(saved.remove(field.name), "{}: {} is not saved", model.model_type(), field.name),
            }
        }
        assert!(fields.is_empty() && saved.is_empty(), "{}: unknown {fields:?} {saved:?}", model.model_type());
    }
}

#[test]
fn options_are_attributes_of_the_spec() {
    let upstream = upstream();
    for model in described() {
        let small = &upstream[model.model_type()]["config"];
        let stack = parsed(model, small, &json!({})).unwrap_or_else(|e| panic!("{e}"));
        for field in model.fields() {
            if let Means::Option(name) = field.means {
                assert!(stack.problem.spec.attr(name).is_some(), "{}: {name} is no attribute", model.model_type());
            }
        }
    }
}

fn parsed(model: &dyn Described, plain: &Value, change: &Value) -> Result<Stack, ConfigError> {
    let mut config = Map::from_iter([("model_type".to_owned(), json!(model.model_type()))]);
    for fields in [plain, change].map(|v| v.as_object().expect("fields by name")) {
        config.extend(fields.clone());
    }
    Stack::from_config(&config)
}

type Shapes = BTreeMap<String, Vec<u64>>;

fn shapes(tensors: &Value) -> Shapes {
    serde_json::from_value(tensors.clone()).expect("shapes by name")
}

/// What upstream's model has that ours is not configured to be.
fn not_supported(model: &str, change: &Value) -> bool {
    // MoM's hybrid stacks; those of RWKV-7, which upstream builds and cannot run
    ["mom", "rwkv7"].contains(&model) && change.get("attn").is_some()
}

#[test]
fn parameters_are_flas() {
    let upstream = upstream();
    let mut wrong = Vec::new();
    for model in described() {
        let theirs = &upstream[model.model_type()];
        let nothing = json!({"config": {}, "without": [], "with": {}});
        for change in std::iter::once(&nothing).chain(theirs["changes"].as_array().expect("a list")) {
            let mut expected = shapes(&theirs["tensors"]);
            let without = strings(&change["without"]);
            expected.retain(|name, _| !without.contains(name.as_str()));
            expected.extend(shapes(&change["with"]));
            let what = format!("{} with {}", model.model_type(), change["config"]);
            match parsed(model, &theirs["config"], &change["config"]) {
                Err(_) if not_supported(model.model_type(), &change["config"]) => {}
                Err(error) => wrong.push(format!("{what}: {error}")),
                Ok(stack) => {
                    let tensors = stack.tensors().into_iter();
                    let ours: Shapes = tensors.map(|t| (t.name, t.shape.iter().map(|&n| n as u64).collect())).collect();
                    let all: BTreeSet<_> = ours.keys().chain(expected.keys()).collect();
                    for name in all.into_iter().filter(|name| ours.get(*name) != expected.get(*name)) {
                        wrong.push(format!("{what}: {name} {:?} is {:?}", ours.get(name), expected.get(name)));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Arguments that are extents, or the presence of weights, of every layer that has them; and where tensors are.
const EVERYWHERE: [&str; 10] = [
    "hidden_size",
    "num_heads",
    "num_kv_heads",
    "num_key_value_heads",
    "gate_low_rank_dim",
    "conv_size",
    "conv_bias",
    "elementwise_affine",
    "device",
    "dtype",
];

#[test]
fn every_option_of_a_layer_is_an_attribute_or_said_to_be_none() {
    let upstream = upstream();
    let layers = upstream["layers"].as_object().expect("arguments by layer");
    assert_eq!(layers.len(), LAYERS.len());
    let mut wrong = Vec::new();
    for spec in LAYERS {
        let file = format!("{}/src/layers/{}.rs", env!("CARGO_MANIFEST_DIR"), spec.name.trim_end_matches("_layer"));
        let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{file}: {e}"));
        let doc: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        for name in strings(&layers[spec.name]) {
            let initial = doc.contains("initialisation") && (name.starts_with("dt_") || name.contains("init"));
            let said = doc.contains(&format!("`{name}`")) || initial || EVERYWHERE.contains(&name);
            if !said && spec.attr(name).is_none() {
                wrong.push(format!("{}: {name}", spec.name));
            }
        }
    }
    assert!(wrong.is_empty(), "neither an attribute nor in the doc:\n{}", wrong.join("\n"));
}
