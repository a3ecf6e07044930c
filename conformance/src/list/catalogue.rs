//! Specs, checks and profiles as data and as text.

use std::fmt;

use reference::spec::{OpSpec, Port, Precision, Presence};
use serde::Serialize;

use super::Error;
use crate::candidate::open::in_process;
use crate::check::CHECKS;
use crate::sample::Profile;

/// Everything that can be judged.
#[derive(Debug, Serialize)]
pub(super) struct Catalogue {
    specs: Vec<Spec>,
    /// Public functions of upstream that no spec covers.
    uncovered: Vec<&'static str>,
    checks: Vec<Named>,
    profiles: Vec<Named>,
}

#[derive(Debug, Serialize)]
struct Spec {
    name: &'static str,
    level: &'static str,
    summary: &'static str,
    source: &'static str,
    upstream: &'static [&'static str],
    sizes: Vec<&'static str>,
    inputs: Vec<PortRow>,
    outputs: Vec<PortRow>,
    attributes: Vec<Attribute>,
    constraints: Vec<Named>,
    independent: Vec<&'static str>,
    states: Vec<[&'static str; 2]>,
    candidates: Vec<String>,
    golden: Vec<Vector>,
}

#[derive(Debug, Serialize)]
struct PortRow {
    name: &'static str,
    dims: Vec<&'static str>,
    precision: &'static str,
    differentiable: bool,
    optional: bool,
}

#[derive(Debug, Serialize)]
struct Attribute {
    name: &'static str,
    default: String,
    summary: &'static str,
}

#[derive(Debug, Serialize)]
struct Named {
    name: &'static str,
    summary: &'static str,
}

#[derive(Debug, Serialize)]
struct Vector {
    file: String,
    producer: String,
    precision: String,
    device: String,
    note: String,
}

impl Catalogue {
    /// The specs of one level, or all.
    pub(super) fn new(level: Option<&str>) -> Result<Self, Error> {
        let vectors = golden::vectors().map_err(Error::Golden)?;
        // cuda and hip compile the same kernels as cpu, so they need not be opened to be listed
        let ops = |name: &str| in_process(name).map(|c| c.ops().to_vec()).unwrap_or_default();
        let kernels = ops("cpu");
        let candidates =
            [("cpu", kernels.clone()), ("cuda", kernels.clone()), ("hip", kernels), ("reference", ops("reference"))];
        let wanted = |s: &&OpSpec| level.is_none_or(|l| l == s.level.name());
        let mut specs: Vec<Spec> = reference::specs().filter(wanted).map(Spec::new).collect();
        for spec in &mut specs {
            let implements = candidates.iter().filter(|(_, ops)| ops.iter().any(|o| o == spec.name));
            spec.candidates = implements.map(|(name, _)| (*name).to_owned()).collect();
            spec.golden = vectors.iter().filter(|v| v.op == spec.name).map(Vector::new).collect();
        }
        let checks = CHECKS.iter().map(|c| Named { name: c.name, summary: c.summary }).collect();
        let profiles = Profile::ALL.iter().map(|p| Named { name: p.name(), summary: p.summary() }).collect();
        let covered = |f: &&str| reference::specs().any(|s| s.upstream.contains(f));
        let uncovered = golden::upstream().filter(|f| !covered(f)).collect();
        Ok(Self { specs, uncovered, checks, profiles })
    }
}

impl Spec {
    fn new(spec: &'static OpSpec) -> Self {
        let attribute =
            |a: &reference::spec::Attr| Attribute { name: a.name, default: a.default.to_string(), summary: a.summary };
        Self {
            name: spec.name,
            level: spec.level.name(),
            summary: spec.summary,
            source: spec.source,
            upstream: spec.upstream,
            sizes: spec.sizes.iter().map(|d| d.name()).collect(),
            inputs: spec.inputs.iter().map(PortRow::new).collect(),
            outputs: spec.outputs.iter().map(PortRow::new).collect(),
            attributes: spec.attrs.iter().map(attribute).collect(),
            constraints: spec.constraints.iter().map(|c| Named { name: c.label, summary: c.text }).collect(),
            independent: spec.independent.iter().map(|d| d.name()).collect(),
            states: spec.states.iter().map(|s| [s.initial, s.last]).collect(),
            candidates: Vec::new(),
            golden: Vec::new(),
        }
    }
}

impl PortRow {
    fn new(port: &Port) -> Self {
        Self {
            name: port.name,
            dims: port.dims.iter().map(|d| d.name()).collect(),
            precision: match port.precision {
                Precision::Storage => "storage",
                Precision::Single => "f32",
                Precision::Index => "i64",
            },
            differentiable: port.differentiable,
            optional: port.presence != Presence::Required,
        }
    }
}

impl Vector {
    fn new(v: &golden::Vector) -> Self {
        Self {
            file: v.file.clone(),
            producer: v.producer.clone(),
            precision: v.precision.clone(),
            device: v.device.clone(),
            note: v.note.clone(),
        }
    }
}

impl fmt::Display for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for spec in &self.specs {
            writeln!(f, "{spec}")?;
        }
        writeln!(f, "checks")?;
        for Named { name, summary } in &self.checks {
            writeln!(f, "  {name:<14} {summary}")?;
        }
        let (all, none) = (golden::upstream().count(), self.uncovered.len());
        writeln!(f, "\nupstream\n  {} of the {all} functions of fla 0.6.0's ops are covered; the others:", all - none)?;
        for (function, reason) in golden::without_spec() {
            writeln!(f, "  {function}: {reason}")?;
        }
        writeln!(f, "\nprofiles")?;
        for Named { name, summary } in &self.profiles {
            writeln!(f, "  {name:<14} {summary}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({})\n  {}", self.name, self.level, self.summary)?;
        writeln!(f, "  {:<14} {}", "source", self.source)?;
        for function in self.upstream {
            writeln!(f, "  {:<14} {function}", "covers")?;
        }
        for port in &self.inputs {
            writeln!(f, "  {:<14} {port}", "input")?;
        }
        for port in &self.outputs {
            writeln!(f, "  {:<14} {port}", "output")?;
        }
        for Attribute { name, default, summary } in &self.attributes {
            writeln!(f, "  {:<14} {name} = {default}: {summary}", "attribute")?;
        }
        for Named { name, summary } in &self.constraints {
            writeln!(f, "  {:<14} {name}: {summary}", "constraint")?;
        }
        for [initial, last] in &self.states {
            writeln!(f, "  {:<14} {initial} → {last}", "state")?;
        }
        writeln!(f, "  {:<14} {}", "independent", self.independent.join(", "))?;
        writeln!(f, "  {:<14} {}", "candidates", self.candidates.join(", "))?;
        let by = |producer: &str| self.golden.iter().filter(|v| v.producer == producer).count();
        writeln!(f, "  {:<14} {} by naive, {} by triton", "golden", by("naive"), by("triton"))
    }
}

impl fmt::Display for PortRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let optional = if self.optional { ", optional" } else { "" };
        let constant = if self.differentiable { "" } else { ", no gradient" };
        write!(f, "{} [{}] {}{optional}{constant}", self.name, self.dims.join(", "), self.precision)
    }
}
