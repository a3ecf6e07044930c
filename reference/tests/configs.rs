//! Configurations are fla's: every field with its default, and of small models every parameter with its shape, as
//! `golden/configs.json` has them from fla's own classes.

use std::collections::{BTreeMap, BTreeSet};

use reference::models::DECODERS;
use reference::models::blueprint::Model;
use reference::models::config::{ConfigError, Means, Stack, TRANSFORMERS};
use serde_json::{Map, Value, json};

fn upstream() -> Map<String, Value> {
    let text = include_str!("../../golden/configs.json");
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
    for model in DECODERS {
        let theirs = &upstream[model.model_type];
        let mut fields = theirs["fields"].as_object().expect("fields by name").clone();
        let mut saved = strings(&theirs["saved"]);
        for field in model.fields() {
            match field.default() {
                Some(ours) => {
                    let default = fields.remove(field.name);
                    let default = default.unwrap_or_else(|| panic!("{}: no field {}", model.model_type, field.name));
                    assert!(same(&ours, &default), "{}: {} is {default}", model.model_type, field.name);
                }
                None => assert!(saved.remove(field.name), "{}: {} is not saved", model.model_type, field.name),
            }
        }
        assert!(fields.is_empty() && saved.is_empty(), "{}: unknown {fields:?} {saved:?}", model.model_type);
    }
}

#[test]
fn options_are_attributes_of_the_spec() {
    for model in DECODERS {
        let stack = parsed(model, &json!({}), &json!({})).unwrap_or_else(|e| panic!("{e}"));
        for field in model.fields() {
            if let Means::Option(name) = field.means {
                assert!(stack.problem.spec.attr(name).is_some(), "{}: {name} is no attribute", model.model_type);
            }
        }
    }
}

fn parsed(model: &Model, plain: &Value, change: &Value) -> Result<Stack, ConfigError> {
    let mut config = Map::from_iter([("model_type".to_owned(), json!(model.model_type))]);
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
    // MoM's hybrid stacks
    model == "mom" && change.get("attn").is_some()
}

#[test]
fn parameters_are_flas() {
    let upstream = upstream();
    let mut wrong = Vec::new();
    for model in DECODERS {
        let theirs = &upstream[model.model_type];
        let nothing = json!({"config": {}, "without": [], "with": {}});
        for change in std::iter::once(&nothing).chain(theirs["changes"].as_array().expect("a list")) {
            let mut expected = shapes(&theirs["tensors"]);
            let without = strings(&change["without"]);
            expected.retain(|name, _| !without.contains(name.as_str()));
            expected.extend(shapes(&change["with"]));
            let what = format!("{} with {}", model.model_type, change["config"]);
            match parsed(model, &theirs["config"], &change["config"]) {
                Err(_) if not_supported(model.model_type, &change["config"]) => {}
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
