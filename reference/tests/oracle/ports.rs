//! The ports as other languages read them: `conformance/python/fla_conformance/ports.json`, written from the specs.
//!
//! `UPDATE=1 cargo test --release -p reference --test oracle ports` writes it; without, the test says whether it is
//! current.

use std::path::Path;

use reference::spec::{Domain, OpSpec, Port, Precision, Presence, Value};
use reference::specs;
use serde_json::{Map, Value as Json, json};

const FILE: &str = "../conformance/python/fla_conformance/ports.json";

fn domain(domain: Domain) -> String {
    match domain {
        Domain::Normal => "normal".into(),
        Domain::UnitKey => "unit_key".into(),
        Domain::LogDecay => "log_decay".into(),
        Domain::Fraction => "fraction".into(),
        Domain::LogRate => "log_rate".into(),
        Domain::Against(other) => format!("against {other}"),
        Domain::Weight => "weight".into(),
        Domain::Symbols(targets) => if targets { "targets" } else { "symbols" }.into(),
        Domain::Mask => "mask".into(),
        Domain::Covariance => "covariance".into(),
        Domain::Uniform(low, high) => format!("uniform {low} {high}"),
        Domain::Blocks(None) => "blocks".into(),
        Domain::Blocks(Some(size)) => format!("blocks {size}"),
    }
}

/// A port; what is usual is left out.
fn port(port: &Port) -> Json {
    let mut fields = Map::new();
    fields.insert("name".into(), json!(port.name));
    fields.insert("dims".into(), json!(port.dims.iter().map(|d| d.name()).collect::<Vec<_>>().join(" ")));
    if port.domain != Domain::Normal {
        fields.insert("domain".into(), json!(domain(port.domain)));
    }
    if port.precision == Precision::Single {
        fields.insert("single".into(), json!(true));
    }
    if port.precision == Precision::Index {
        fields.insert("index".into(), json!(true));
    }
    if !port.differentiable && port.precision != Precision::Index {
        fields.insert("constant".into(), json!(true));
    }
    if !port.domain_if.is_empty() {
        let raw: Vec<_> = port.domain_if.iter().map(|&(flag, d)| json!([flag, domain(d)])).collect();
        fields.insert("raw".into(), json!(raw));
    }
    if port.presence.optional() {
        fields.insert("optional".into(), json!(true));
        if port.presence == Presence::OrOne {
            fields.insert("neutral".into(), json!(1));
        }
    }
    if port.when[0].is_some() {
        fields.insert("when".into(), json!(port.when.iter().flatten().collect::<Vec<_>>()));
    }
    if !port.merged.is_empty() {
        fields.insert("merged".into(), json!(port.merged));
    }
    Json::Object(fields)
}

fn attributes(spec: &OpSpec) -> Json {
    let default = |value| match value {
        Value::Flag(x) => json!(x),
        Value::Number(x) => json!(x),
        Value::Word(x) => json!(x),
        Value::Auto => Json::Null,
    };
    Json::Object(spec.attrs.iter().map(|a| (a.name.to_owned(), default(a.default))).collect())
}

/// One port a line, so that a change is a line.
fn written() -> String {
    let list = |ports: &[Port]| ports.iter().map(|p| format!("      {}", port(p))).collect::<Vec<_>>().join(",\n");
    let op = |spec: &OpSpec| {
        let (inputs, outputs) = (list(spec.inputs), list(spec.outputs));
        let (name, attrs) = (spec.name, attributes(spec));
        format!(
            "  \"{name}\": {{\n    \"inputs\": [\n{inputs}\n    ],\n    \"outputs\": [\n{outputs}\n    ],\n    \
             \"attrs\": {attrs}\n  }}"
        )
    };
    format!("{{\n{}\n}}\n", specs().map(op).collect::<Vec<_>>().join(",\n"))
}

#[test]
fn the_file_is_what_the_specs_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let text = written();
    assert!(
        serde_json::from_str::<Json>(&text).is_ok_and(|j| j.as_object().is_some_and(|o| o.len() == specs().count()))
    );
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).expect("the package is writable");
    }
    let there = std::fs::read_to_string(&path).expect("a file of the package");
    assert!(there == text, "{FILE} is not what the specs say: UPDATE=1 cargo test -p reference --test oracle ports");
}
