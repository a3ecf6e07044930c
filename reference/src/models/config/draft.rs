//! From fields to extents, attributes and places of softmax attention.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::described::Described;
use super::error::ConfigError;
use super::field::{Field, Means};
use super::softmax::Softmax;
use crate::problem::Problem;
use crate::spec::{Dim, Value};

/// What is known of a stack while its fields are read.
#[derive(Debug)]
pub struct Draft {
    model: &'static dyn Described,
    values: BTreeMap<&'static str, Json>,
    sizes: BTreeMap<Dim, usize>,
    attrs: BTreeMap<String, Value>,
    /// Ends of names of weights that there are not.
    without: Vec<&'static str>,
    renamed: Renamed,
    depth: usize,
    /// The inner width of feed-forward networks, where it is given.
    inner: Option<usize>,
    /// Keys of `attn` that are not handed on, where there are blocks of softmax attention.
    hybrid: Option<&'static [&'static str]>,
}

/// Ends of names of ports, and what upstream's parameters are named instead.
pub(super) type Renamed = Vec<(&'static str, &'static str)>;

const WHOLE: &str = "a whole number from 1";

impl Draft {
    pub(super) fn new(model: &'static dyn Described, given: &Map<String, Json>) -> Self {
        let mut values = BTreeMap::new();
        for field in model.fields() {
            if let Some(value) = given.get(field.name).cloned().or_else(|| field.default()) {
                values.insert(field.name, value);
            }
        }
        for field in model.fields() {
            if let (Means::Instead(other), Some(value)) = (field.means, given.get(field.name)) {
                values.insert(other, value.clone());
            }
        }
        let (sizes, attrs) = (BTreeMap::from([(Dim::B, 1), (Dim::T, 1)]), BTreeMap::new());
        let (without, renamed) = (Vec::new(), Vec::new());
        Self { model, values, sizes, attrs, without, renamed, depth: 0, inner: None, hybrid: None }
    }

    /// An extent that is known; 1 where it is not.
    #[must_use]
    pub fn size(&self, dim: Dim) -> usize {
        self.sizes.get(&dim).copied().unwrap_or(1)
    }

    /// Sets an extent.
    pub fn set(&mut self, dim: Dim, extent: usize) {
        self.sizes.insert(dim, extent);
    }

    /// The number that a field holds, given or default.
    #[must_use]
    pub fn number(&self, field: &str) -> Option<f64> {
        self.values.get(field).and_then(number)
    }

    /// The value of a field, given or default.
    #[must_use]
    pub fn given(&self, field: &str) -> Option<&Json> {
        self.values.get(field)
    }

    /// Sets an attribute.
    pub fn option(&mut self, name: &str, value: Value) {
        self.attrs.insert(name.to_owned(), value);
    }

    /// Sets an attribute to one of its words.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn word(&mut self, name: &str, word: &Json) -> Result<(), &'static str> {
        let words = self.model.option(name).and_then(|attr| attr.named(word.as_str().unwrap_or("none")));
        self.option(name, words.ok_or("a word that the layer knows")?);
        Ok(())
    }

    /// Says that there are no weights whose names end so.
    pub fn without(&mut self, ends: &[&'static str]) {
        self.without.extend(ends);
    }

    /// A feature map that is learned has a word of its own.
    ///
    /// # Errors
    /// A word that is no feature map.
    pub fn learned_map(&mut self, word: &Json) -> Result<(), &'static str> {
        let learned = word == "t2r";
        self.option("t2r", Value::Flag(learned));
        if learned { Ok(()) } else { self.word("feature_map", word).map_err(|_| "swish, relu or t2r") }
    }

    /// The fused norm has a gate of its own, after which it is named.
    ///
    /// # Errors
    /// Neither true nor false.
    pub fn fused_norm(&mut self, flag: &Json) -> Result<(), &'static str> {
        if !flag.as_bool().ok_or("true or false")? {
            self.renamed.push(("g_norm_swish_gate.weight", "g_norm.weight"));
        }
        Ok(())
    }

    /// Heads whose keys are as wide as this says, and whose values share the model's width.
    ///
    /// # Errors
    /// When neither this nor `num_heads` is given, or the heads do not divide the width.
    pub fn forgetting_heads(&mut self, width: &Json) -> Result<(), &'static str> {
        let (model, heads) = (self.size(Dim::D), self.given("num_heads").and_then(whole));
        let (heads, width) = match (heads, whole(width)) {
            (Some(heads), Some(width)) => (heads, width),
            (Some(heads), None) => (heads, model / heads),
            (None, Some(width)) => (model / width, width),
            (None, None) => return Err("a whole number from 1, unless there is num_heads"),
        };
        self.sizes.extend([(Dim::H, heads), (Dim::K, width)]);
        self.set(Dim::V, share(model as f64, heads)?);
        Ok(())
    }

    /// The rank of the steps' projection: a sixteenth of the model's width, rounded up, unless given.
    ///
    /// # Errors
    /// Neither `auto` nor a whole number.
    pub fn time_step_rank(&mut self, rank: &Json) -> Result<(), &'static str> {
        let auto = (rank == "auto").then(|| self.size(Dim::D).div_ceil(16));
        self.set(Dim::E, auto.or_else(|| whole(rank)).ok_or("auto or a whole number from 1")?);
        Ok(())
    }

    /// An activation of which swish and silu are two names.
    ///
    /// # Errors
    /// When the layer does not know it.
    pub fn silu(&mut self, word: &Json) -> Result<(), &'static str> {
        let silu = Json::from("silu");
        self.word("hidden_act", if word == "swish" { &silu } else { word })
    }

    /// As many heads as `num_heads` says, or as the width of the model times this has room for.
    ///
    /// # Errors
    /// When there is none.
    pub fn expanded_heads(&mut self, expand: &Json) -> Result<(), &'static str> {
        let width = (self.size(Dim::D) as f64 * positive(expand)?) as usize;
        let heads = self.given("num_heads").and_then(whole).unwrap_or(width / self.size(Dim::V));
        if heads * self.size(Dim::V) != width {
            return Err("num_heads times head_dim over hidden_size");
        }
        self.set(Dim::HV, heads);
        Ok(())
    }

    /// The question and the number of blocks that all fields together describe.
    pub(super) fn finish(mut self) -> Result<(Problem, usize, Renamed), ConfigError> {
        let fields = self.model.fields();
        // what depends on nothing comes first
        let plain = |f: &&Field| matches!(f.means, Means::Extent(_) | Means::Depth);
        let (first, rest): (Vec<&Field>, Vec<&Field>) = fields.iter().partition(plain);
        for field in first.into_iter().chain(rest) {
            let Some(value) = self.values.get(field.name).cloned() else { continue };
            self.read(field, &value).map_err(|expected| self.refuse(field.name, expected, &value))?;
        }
        self.widen();
        let softmax = self.softmax()?;
        let blocks: Vec<bool> = (0..self.depth).map(|layer| softmax.contains(&layer)).collect();
        let spec = Box::leak(Box::new(self.model.spec(&self, &blocks)));
        let mut problem = Problem::new(spec, &[]);
        problem.sizes = self.sizes.into_iter().filter(|(dim, _)| spec.sizes.contains(dim)).collect();
        for (name, value) in &self.attrs {
            if let Some(attr) = spec.attr(name).filter(|attr| attr.default != *value) {
                problem.attrs.insert(attr.name, *value);
            }
        }
        let mixer = format!(".{}.", self.model.mixer());
        for port in spec.inputs.iter().filter(|p| p.presence.optional()) {
            let part = port.name.split_once(&mixer).and_then(|(_, part)| part.split('[').next());
            if part.is_some_and(|part| self.without.contains(&part)) || port.name.starts_with("layers.") {
                problem.absent.insert(port.name);
            }
        }
        problem.settle();
        problem.derive();
        let model = self.model.model_type();
        problem.validate().map_err(|source| ConfigError::Problem { model, source })?;
        Ok((problem, self.depth, self.renamed))
    }

    fn refuse(&self, field: &str, expected: impl Into<String>, got: &Json) -> ConfigError {
        let (field, expected, got) = (field.to_owned(), expected.into(), got.to_string());
        ConfigError::Value { model: self.model.model_type(), field, expected, got }
    }

    fn read(&mut self, field: &Field, value: &Json) -> Result<(), String> {
        match field.means {
            Means::Idle | Means::Instead(_) => {}
            Means::Only if field.default().as_ref() == Some(value) => {}
            Means::Only => return Err(format!("{}: nothing else is supported", field.default.unwrap_or_default())),
            Means::Both(dim, other) => {
                let extent = whole(value).ok_or(WHOLE)?;
                self.sizes.extend([(dim, extent), (other, extent)]);
            }
            Means::Extent(dim) => self.set(dim, whole(value).ok_or(WHOLE)?),
            Means::Like(dim, other) if value.is_null() => self.set(dim, self.size(other)),
            Means::Like(dim, _) => self.set(dim, whole(value).ok_or(WHOLE)?),
            Means::Heads(heads) => {
                let count = whole(value).ok_or(WHOLE)?;
                self.set(heads, count);
                self.set(Dim::K, share(self.size(Dim::D) as f64, count)?);
            }
            Means::Share(dim, heads) => {
                let factor = positive(value)?;
                self.set(dim, share((self.size(Dim::D) as f64 * factor).round_ties_even(), self.size(heads))?);
            }
            Means::Times(dim, of) => {
                let extent = (self.size(of) as f64 * positive(value)?) as usize;
                self.sizes.entry(dim).or_insert(extent);
            }
            Means::Option(name) => return self.attribute(name, value),
            Means::Weights(ends) => match value {
                Json::Bool(true) => {}
                Json::Bool(false) => self.without(ends),
                _ => return Err("true or false".into()),
            },
            Means::Depth => self.depth = whole(value).ok_or(WHOLE)?,
            Means::Inner if value.is_null() => {}
            Means::Inner => self.inner = Some(whole(value).ok_or(WHOLE)?),
            Means::Hybrid(ignored) => self.hybrid = (!value.is_null()).then_some(ignored),
            Means::Residuals if value.is_null() => {}
            Means::Residuals => {
                let size = whole(value).ok_or(WHOLE)?;
                self.option("attnres", Value::Flag(true));
                self.option("attnres_block_size", Value::Number(size as f64));
            }
            Means::By(apply) => apply(self, value)?,
        }
        Ok(())
    }

    fn attribute(&mut self, name: &str, value: &Json) -> Result<(), String> {
        let attr = self.model.option(name);
        let value = match (value, number(value)) {
            (_, Some(x)) => Value::Number(x),
            (Json::Bool(flag), _) => Value::Flag(*flag),
            (Json::Null, _) if attr.is_some_and(|a| a.default == Value::Auto) => Value::Auto,
            _ => return self.word(name, value).map_err(|_| attr.map_or_else(String::new, |a| a.expected())),
        };
        let right = match attr.map(|a| a.default) {
            Some(Value::Flag(_)) => matches!(value, Value::Flag(_)),
            Some(Value::Number(_)) => matches!(value, Value::Number(_)),
            Some(Value::Auto) => matches!(value, Value::Number(_) | Value::Auto),
            Some(Value::Word(_)) => false,
            None if name == "norm_eps" => matches!(value, Value::Number(_)),
            None => matches!(value, Value::Flag(_)),
        };
        if !right {
            return Err(attr.map_or("a number, or true or false".into(), |a| a.expected()));
        }
        self.option(name, value);
        Ok(())
    }

    /// The inner widths of feed-forward networks.
    fn widen(&mut self) {
        for inner in self.model.inner() {
            let width = self.inner.unwrap_or_else(|| inner.width(self.size(inner.of), self.number("hidden_ratio")));
            self.set(inner.dim, width);
        }
    }

    /// The blocks of softmax attention, whose sizes and options it sets.
    fn softmax(&mut self) -> Result<Vec<usize>, ConfigError> {
        let (Some(ignored), Some(attn)) = (self.hybrid, self.values.get("attn").cloned()) else {
            return Ok(Vec::new());
        };
        let default = self.model.fields().iter().find(|f| f.name == "attn").and_then(Field::default);
        let mut softmax = Softmax::read(&attn, self.depth, default.as_ref() == Some(&attn))
            .map_err(|expected| self.refuse("attn", expected, &attn))?;
        softmax.options.retain(|(name, _)| !ignored.contains(name));
        let width = self.size(Dim::D) / softmax.heads;
        self.sizes.extend([(Dim::AQ, softmax.heads), (Dim::AH, softmax.keys), (Dim::AK, width)]);
        self.attrs.extend(softmax.options.into_iter().map(|(name, value)| (format!("attn.{name}"), value)));
        Ok(softmax.layers)
    }
}

/// A number of JSON, or one that JSON does not have as transformers writes it.
pub(crate) fn number(value: &Json) -> Option<f64> {
    match value {
        Json::Object(one) => match one.get("__float__")?.as_str()? {
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            "NaN" => Some(f64::NAN),
            _ => None,
        },
        other => other.as_f64(),
    }
}

/// A whole number from 1.
pub(crate) fn whole(value: &Json) -> Option<usize> {
    // beyond 2⁵³ a float is no longer one whole number
    let exact = |x: &f64| *x >= 1.0 && x.fract().abs() <= 0.0 && *x < 9.0e15;
    value.as_f64().filter(exact).map(|x| x as usize)
}

fn positive(value: &Json) -> Result<f64, &'static str> {
    value.as_f64().filter(|x| *x > 0.0 && *x < 9.0e15).ok_or("a positive number")
}

/// The width of one of so many heads.
fn share(width: f64, heads: usize) -> Result<usize, &'static str> {
    let width = width as usize;
    if heads == 0 || width == 0 || !width.is_multiple_of(heads) {
        return Err("what divides the channels among the heads without a rest");
    }
    Ok(width / heads)
}
