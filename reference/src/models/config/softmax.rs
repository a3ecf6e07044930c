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

const KEYS: [&str; 6] = ["layers", "num_heads", "num_kv_heads", "qkv_bias", "window_size", "rope_theta"];

impl Softmax {
    /// Of an object, for a stack of that depth. A default is for a certain depth: where the stack is less deep, the blocks
    /// that it does not have are left out.
    pub(super) fn read(attn: &Json, depth: usize, default: bool) -> Result<Self, String> {
        let attn = attn.as_object().ok_or("null, or one object that says layers, num_heads and more")?;
        if attn.keys().any(|key| !KEYS.contains(&key.as_str())) {
            return Err(format!("an object of {}", KEYS.join(", ")));
        }
        let heads = attn.get("num_heads").and_then(whole).ok_or("num_heads, from 1")?;
        let keys = attn.get("num_kv_heads").filter(|x| !x.is_null());
        let keys = keys.map_or(Some(heads), whole).ok_or("num_kv_heads, from 1")?;
        Ok(Self { layers: layers(attn, depth, default)?, heads, keys, options: options(attn)? })
    }
}

fn layers(attn: &Map<String, Json>, depth: usize, default: bool) -> Result<Vec<usize>, &'static str> {
    let list = attn.get("layers").and_then(Json::as_array).ok_or("layers")?;
    let index = |x: &Json| x.as_u64().and_then(|x| usize::try_from(x).ok());
    let all: Vec<usize> = list.iter().map(index).collect::<Option<_>>().ok_or("layers that are whole numbers")?;
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
    for key in KEYS[3..].iter().copied() {
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
