//! The field `attn`: which blocks have softmax attention instead of the model's layer, and of which sizes.

use serde_json::{Map, Value as Json};

use super::draft::{number, whole};
use crate::spec::Value;

/// What the field says.
pub(super) struct Softmax {
    pub(super) layers: Vec<usize>,
    pub(super) heads: usize,
    pub(super) keys: usize,
    pub(super) options: Vec<(&'static str, Value)>,
}

/// `qk_norm` is no option: upstream writes it for Rodimus, and hands it on to nobody.
const KEYS: [&str; 7] = ["layers", "num_heads", "num_kv_heads", "qk_norm", "qkv_bias", "window_size", "rope_theta"];
const OPTIONS: [&str; 3] = ["qkv_bias", "window_size", "rope_theta"];

impl Softmax {
    /// Of an object, or of several that differ in their layers alone, for a stack of that depth. A default is for a
    /// certain depth: where the stack is less deep, the blocks that it does not have are left out.
    pub(super) fn read(attn: &Json, depth: usize, default: bool) -> Result<Self, String> {
        let several = match attn {
            Json::Array(list) => list.iter().collect(),
            one => vec![one],
        };
        let mut found: Option<Self> = None;
        let mut places = Vec::new();
        for attn in several {
            let attn = attn.as_object().ok_or("null, or an object that says layers, num_heads and more")?;
            places.extend(all_layers(attn)?);
            let one = Self::one(attn)?;
            match &found {
                Some(first) if (one.heads, one.keys, &one.options) != (first.heads, first.keys, &first.options) => {
                    return Err("objects that differ in their layers alone".into());
                }
                _ => found = Some(one),
            }
        }
        let found = found.ok_or("an object, or several")?;
        Ok(Self { layers: layers(places, depth, default)?, ..found })
    }

    fn one(attn: &Map<String, Json>) -> Result<Self, String> {
        if attn.keys().any(|key| !KEYS.contains(&key.as_str())) {
            return Err(format!("an object of {}", KEYS.join(", ")));
        }
        let heads = attn.get("num_heads").and_then(whole).ok_or("num_heads, from 1")?;
        let keys = attn.get("num_kv_heads").filter(|x| !x.is_null());
        let keys = keys.map_or(Some(heads), whole).ok_or("num_kv_heads, from 1")?;
        if attn.get("qk_norm").is_some_and(|x| !x.is_boolean()) {
            return Err("qk_norm, true or false".into());
        }
        Ok(Self { layers: Vec::new(), heads, keys, options: options(attn)? })
    }
}

fn all_layers(attn: &Map<String, Json>) -> Result<Vec<usize>, &'static str> {
    let list = attn.get("layers").and_then(Json::as_array).ok_or("layers")?;
    let index = |x: &Json| x.as_u64().and_then(|x| usize::try_from(x).ok());
    list.iter().map(index).collect::<Option<_>>().ok_or("layers that are whole numbers")
}

fn layers(all: Vec<usize>, depth: usize, default: bool) -> Result<Vec<usize>, &'static str> {
    let mut layers: Vec<usize> = all.into_iter().filter(|&layer| !default || layer < depth).collect();
    let count = layers.len();
    layers.sort_unstable();
    layers.dedup();
    match layers.last() {
        Some(&last) if last >= depth => Err("layers below num_hidden_layers"),
        _ if layers.len() < count => Err("layers that are named once"),
        _ => Ok(layers),
    }
}

fn options(attn: &Map<String, Json>) -> Result<Vec<(&'static str, Value)>, &'static str> {
    let mut options = Vec::new();
    for key in OPTIONS {
        match attn.get(key) {
            None | Some(Json::Null) => {}
            Some(Json::Bool(flag)) if key == "qkv_bias" => options.push((key, Value::Flag(*flag))),
            Some(x) if key != "qkv_bias" => {
                let finite = number(x).filter(|x| x.is_finite());
                options.push((key, Value::Number(finite.ok_or("window_size and rope_theta, numbers")?)));
            }
            Some(_) => return Err("qkv_bias, true or false"),
        }
    }
    Ok(options)
}
