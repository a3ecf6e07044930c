//! The configuration of YOCO.

use serde_json::{Map, Value as Json};

use super::{Mixer, spec};
use crate::fields;
use crate::models::config::{
    Config, Draft, Inner,
    Means::{By, Depth, Idle, Option as Set},
    Own, POSITIONS, SKELETON, number, whole,
};
use crate::spec::{Dim, Value};

/// See the module documentation.
pub static CONFIG: Own = Own {
    model_type: "yoco",
    config: Config {
        own: fields![
            num_hidden_layers = 21 => Depth,
            num_self_decoder_layers = 10 => By(own_layers),
            self_decoder_attn = null => By(own),
            cross_decoder_attn = null => By(cross),
            hidden_act = "swish" => Set("hidden_act"),
            use_l2warp = false => Idle,
        ],
        shared: &[SKELETON, POSITIONS],
    },
    hybrid: false,
    attnres: true,
    inner: &[Inner { dim: Dim::I, ..Inner::GATED }],
    counts: &[],
    spec: |draft, blocks| {
        let own = draft.given("num_self_decoder_layers").and_then(whole).unwrap_or(1).min(blocks.len());
        spec(kind(draft), own, blocks.len() - own)
    },
};

fn own_layers(draft: &mut Draft, count: &Json) -> Result<(), &'static str> {
    let all = draft.given("num_hidden_layers").and_then(whole).unwrap_or(0);
    match whole(count) {
        Some(own) if own < all => Ok(()),
        _ => Err("a whole number from 1, less than num_hidden_layers"),
    }
}

/// The mixer of the layers that look at themselves.
fn kind(draft: &Draft) -> Mixer {
    match draft.given("self_decoder_attn").and_then(|attn| attn.get("type")).and_then(Json::as_str) {
        Some("gated_retention") => Mixer::GatedRetention,
        Some("swa") => Mixer::Window,
        _ => Mixer::GatedDeltaNet,
    }
}

const OWN: [&str; 15] = [
    "type",
    "mode",
    "use_gate",
    "expand_v",
    "use_short_conv",
    "allow_neg_eigval",
    "conv_size",
    "head_dim",
    "num_heads",
    "num_v_heads",
    "window_size",
    "qkv_bias",
    "rope_theta",
    "rope_inv_freq",
    "gate_logit_normalizer",
];
const CROSS: [&str; 6] = ["num_heads", "num_kv_heads", "qkv_bias", "qk_norm", "rope_theta", "rope_inv_freq"];
const OBJECT: &str = "null, or an object of the fields that upstream knows, each of the type that it has there";

fn own(draft: &mut Draft, attn: &Json) -> Result<(), &'static str> {
    let given = Given::read(attn, &OWN)?;
    let heads = given.whole("num_heads", 6)?;
    let values = given.whole("num_v_heads", heads)?;
    let width = draft.size(Dim::D);
    match (kind(draft), given.get("type").and_then(Json::as_str)) {
        (Mixer::GatedDeltaNet, None | Some("gated_deltanet")) => {
            let keys = given.whole("head_dim", 256)?;
            let wide = keys as f64 * given.number("expand_v", 2.0)?;
            for (dim, extent) in [(Dim::H, heads), (Dim::HV, values), (Dim::K, keys), (Dim::V, wide as usize)] {
                draft.set(dim, extent);
            }
            draft.set(Dim::W, given.whole("conv_size", 4)?);
        }
        (Mixer::GatedRetention, _) => draft.share(Dim::H, heads, width),
        (Mixer::Window, _) if given.get("window_size").is_none() => return Err("an object with a window_size for swa"),
        (Mixer::Window, _) => {
            draft.share(Dim::HQ, heads, width);
            draft.set(Dim::H, values);
        }
        _ => return Err("an object whose type is gated_deltanet, gated_retention or swa"),
    }
    for flag in ["use_gate", "use_short_conv", "allow_neg_eigval", "qkv_bias"] {
        given.flag(draft, "", flag)?;
    }
    for number in ["window_size", "rope_theta", "gate_logit_normalizer"] {
        given.value(draft, "", number)?;
    }
    given.word(draft, "", "rope_inv_freq")
}

fn cross(draft: &mut Draft, attn: &Json) -> Result<(), &'static str> {
    const AT: &str = "cross_decoder_attn.";
    let given = Given::read(attn, &CROSS)?;
    let heads = given.whole("num_heads", 32)?;
    for (dim, extent) in [(Dim::AQ, heads), (Dim::AH, given.whole("num_kv_heads", heads)?)] {
        draft.set(dim, extent);
    }
    draft.set(Dim::AK, draft.size(Dim::D) / heads);
    for flag in ["qkv_bias", "qk_norm"] {
        given.flag(draft, AT, flag)?;
    }
    given.value(draft, AT, "rope_theta")?;
    given.word(draft, AT, "rope_inv_freq")
}

impl Draft {
    /// So many heads, which share a width out among themselves.
    fn share(&mut self, dim: Dim, heads: usize, width: usize) {
        self.set(dim, heads);
        self.set(Dim::K, width / heads);
    }
}

/// What one object of the configuration says.
struct Given<'a>(Option<&'a Map<String, Json>>);

impl<'a> Given<'a> {
    fn read(attn: &'a Json, known: &[&str]) -> Result<Self, &'static str> {
        match attn {
            Json::Null => Ok(Self(None)),
            Json::Object(fields) if fields.keys().all(|name| known.contains(&name.as_str())) => Ok(Self(Some(fields))),
            _ => Err(OBJECT),
        }
    }

    fn get(&self, name: &str) -> Option<&'a Json> {
        self.0.and_then(|fields| fields.get(name)).filter(|value| !value.is_null())
    }

    fn whole(&self, name: &str, default: usize) -> Result<usize, &'static str> {
        self.get(name).map_or(Some(default), whole).ok_or(OBJECT)
    }

    fn number(&self, name: &str, default: f64) -> Result<f64, &'static str> {
        self.get(name).map_or(Some(default), number).ok_or(OBJECT)
    }

    fn flag(&self, draft: &mut Draft, at: &str, name: &str) -> Result<(), &'static str> {
        if let Some(value) = self.get(name) {
            draft.option(&format!("{at}{name}"), Value::Flag(value.as_bool().ok_or(OBJECT)?));
        }
        Ok(())
    }

    fn value(&self, draft: &mut Draft, at: &str, name: &str) -> Result<(), &'static str> {
        if let Some(value) = self.get(name) {
            draft.option(&format!("{at}{name}"), Value::Number(number(value).ok_or(OBJECT)?));
        }
        Ok(())
    }

    fn word(&self, draft: &mut Draft, at: &str, name: &str) -> Result<(), &'static str> {
        self.get(name).map_or(Ok(()), |word| draft.word(&format!("{at}{name}"), word))
    }
}
