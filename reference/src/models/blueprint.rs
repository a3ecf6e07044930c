//! From what a model file says to the spec of a stack of any depth.

use super::config::Config;
use super::decoder::decoder;
use crate::dims;
use crate::function;
use crate::layers;
use crate::problem::Problem;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, State, Value};

/// What distinguishes one model from another that follows the skeleton.
#[derive(Debug)]
pub struct Model {
    /// Upstream's `model_type`; the spec is named `<model_type>_model`.
    pub model_type: &'static str,
    /// Upstream's classes.
    pub upstream: &'static [&'static str],
    /// Paper.
    pub source: &'static str,
    /// The layer in every block.
    pub mixer: &'static OpSpec,
    /// Options and inputs of the layer that a configuration does not have.
    pub omits: &'static [&'static str],
    /// Extents that a configuration does not have.
    pub fixed: &'static [Constraint],
    /// Names of the parts in upstream's state-dict keys.
    pub names: Names,
    /// Added to the mean of squares in the norms, unless told otherwise.
    pub norm_eps: f64,
    /// Whether chosen blocks may have softmax attention instead.
    pub hybrid: bool,
    /// Whether blocks may read mixtures of earlier sums.
    pub attnres: bool,
    /// Whether the layers have lower bounds for their forget gates, which grow with the depth.
    pub lower_bounds: bool,
    /// The fields of its configuration.
    pub config: Config,
}

/// Names of the parts in upstream's state-dict keys.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    /// Everything but the head.
    pub trunk: &'static str,
    /// The norm before the mixer.
    pub mixer_norm: &'static str,
    /// The mixer.
    pub mixer: &'static str,
    /// The norm before the feed-forward network.
    pub mlp_norm: &'static str,
    /// The feed-forward network, where a block has one.
    pub mlp: Option<&'static str>,
    /// The last norm.
    pub norm: &'static str,
}

/// The names of most models.
pub const NAMES: Names = Names {
    trunk: "model",
    mixer_norm: "attn_norm",
    mixer: "attn",
    mlp_norm: "mlp_norm",
    mlp: Some("mlp"),
    norm: "norm",
};

/// The names of models of a backbone, with a feed-forward network.
pub const BACKBONE: Names =
    Names { trunk: "backbone", mixer_norm: "mixer_norm", mixer: "mixer", norm: "norm_f", ..NAMES };

/// The names of models of a backbone whose blocks are a norm and a layer.
pub const MAMBA: Names = Names { mixer_norm: "norm", mlp: None, ..BACKBONE };

/// Inputs of a layer that the model fills: its input, its lower bound, and the input once more without its gradient.
const FILLED: [&str; 3] = ["x", "lower_bound", "x_clock"];

/// Blocks of a stack, as its ports tell.
pub(super) fn depth(spec: &OpSpec, model: &Model) -> usize {
    let name = |layer| format!("{}.layers.{layer}.{}.weight", model.names.trunk, model.names.mixer_norm);
    (0..).take_while(|&layer| spec.input(&name(layer)).is_some()).count()
}

fn kept<T>(items: Vec<T>) -> &'static [T] {
    Vec::leak(items)
}

fn name(text: String) -> &'static str {
    String::leak(text)
}

impl Model {
    /// The spec of a stack; `softmax` says for each block whether it has softmax attention instead of the model's layer.
    /// The places of those follow in the name: `gla_model@1`.
    #[must_use]
    pub fn spec(&'static self, softmax: &[bool]) -> OpSpec {
        let places: Vec<_> = (0..softmax.len()).filter(|&i| softmax[i]).map(|i| i.to_string()).collect();
        let hybrid = !places.is_empty();
        let layers: Vec<Block> = (0..softmax.len()).map(|i| self.block(i, softmax[i], hybrid)).collect();
        let at = if hybrid { format!("@{}", places.join("+")) } else { String::new() };
        let all = |ports: fn(&Block) -> &Vec<Port>| layers.iter().flat_map(ports).copied().collect::<Vec<_>>();
        let mut inputs = self.first();
        if self.lower_bounds {
            inputs.push(bounds(self));
        }
        inputs.extend(all(|b| &b.inputs));
        inputs.extend(self.last());
        let mut outputs = vec![
            Port::new("logits", dims![B, T, S], Domain::Normal),
            Port::new("loss", dims![B, T], Domain::Normal).single(),
        ];
        outputs.extend(all(|b| &b.outputs));
        OpSpec {
            name: name(format!("{}_model{at}", self.model_type)),
            level: Level::Model,
            summary: name(format!("logits and loss of a stack of {}", self.mixer.name)),
            source: self.source,
            upstream: self.upstream,
            sizes: kept(self.sizes(hybrid, [&inputs[..], &outputs].concat().as_slice())),
            inputs: kept(inputs),
            outputs: kept(outputs),
            attrs: kept(self.attrs(hybrid)),
            constraints: kept(self.constraints(hybrid)),
            independent: dims![B],
            states: kept(layers.iter().flat_map(|b| b.states.iter().copied()).collect()),
            function: function!(decoder),
        }
    }

    /// Whether a block of the stack of that spec has softmax attention.
    pub(super) fn softmax(&self, spec: &str, layer: usize) -> bool {
        spec.split_once('@').is_some_and(|(_, places)| places.split('+').any(|place| place.parse() == Ok(layer)))
    }

    /// The inner width of the feed-forward network; a layer that has an `I` of its own keeps it.
    pub(super) fn inner(&self) -> Dim {
        if self.mixer.sizes.contains(&Dim::I) { Dim::F } else { Dim::I }
    }

    fn has(&self, name: &str) -> bool {
        !self.omits.contains(&name)
    }

    /// A port of the layer where options that a configuration does not have are what they are by default.
    fn decided(&self, mut port: Port) -> Option<Port> {
        for condition in &mut port.when {
            let Some((flag, value)) = *condition else { continue };
            if !self.has(flag) {
                let default = self.mixer.attr(flag).map(|a| a.default);
                (default == Some(Value::Flag(value))).then_some(())?;
                *condition = None;
            }
        }
        port.when.sort_by_key(Option::is_none);
        Some(port)
    }

    fn first(&self) -> Vec<Port> {
        let embedding = name(format!("{}.embeddings.weight", self.names.trunk));
        vec![
            Port::new("input_ids", dims![B, T], Domain::Symbols(false)).index(),
            Port::new("targets", dims![B, T], Domain::Symbols(true)).index(),
            Port::new(embedding, dims![S, D], Domain::Normal),
        ]
    }

    fn last(&self) -> Vec<Port> {
        let trunk = self.names.trunk;
        let mut ports = vec![norm(format!("{trunk}.{}.weight", self.names.norm))];
        if self.attnres {
            ports.extend(residual(&format!("{trunk}.res")));
        }
        ports.push(Port::weight("lm_head.weight", dims![S, D], &[1, 1]).unless("tie_word_embeddings"));
        ports
    }

    /// The extents that some port has.
    fn sizes(&self, hybrid: bool, ports: &[Port]) -> Vec<Dim> {
        let mut sizes = vec![Dim::B, Dim::T, Dim::S, Dim::D];
        sizes.extend(self.names.mlp.map(|_| self.inner()));
        sizes.extend(self.mixer.sizes.iter().copied());
        sizes.extend(self.lower_bounds.then_some(Dim::L));
        if hybrid {
            sizes.extend([Dim::AQ, Dim::AH, Dim::AK]);
        }
        sizes.retain(|d| ports.iter().any(|p| p.dims.contains(d)));
        let mut seen = Vec::new();
        sizes.retain(|d| {
            !seen.contains(d) && {
                seen.push(*d);
                true
            }
        });
        sizes
    }

    fn attrs(&self, hybrid: bool) -> Vec<Attr> {
        let mut attrs: Vec<Attr> =
            self.mixer.attrs.iter().filter(|a| a.name != "norm_eps" && self.has(a.name)).copied().collect();
        attrs.push(Attr::number("norm_eps", self.norm_eps, 0.25, "added to the mean of squares in every norm"));
        attrs.push(Attr::flag("tie_word_embeddings", false, "the head is the embedding"));
        if self.lower_bounds {
            attrs.push(Attr::flag(
                "use_lower_bound",
                true,
                "forget gates have lower bounds, which grow with the depth",
            ));
        }
        if self.attnres {
            attrs.push(Attr::flag("attnres", false, "blocks read mixtures of earlier sums"));
            attrs.push(Attr::number("attnres_block_size", 2.0, 1.0, "half-blocks after which a sum begins anew"));
        }
        if hybrid {
            let own = |a: &Attr| Attr { name: name(format!("attn.{}", a.name)), ..*a };
            attrs.extend(layers::attn::SPEC.attrs.iter().map(own));
        }
        attrs
    }

    fn constraints(&self, hybrid: bool) -> Vec<Constraint> {
        let mut constraints = [self.mixer.constraints, self.fixed].concat();
        if hybrid {
            constraints.push(HYBRID);
        }
        if self.lower_bounds {
            constraints.push(ROWS);
        }
        if self.attnres {
            constraints.push(EVEN);
        }
        let labelled = |(i, c): (usize, Constraint)| Constraint { label: name(format!("C{}", i + 1)), ..c };
        constraints.into_iter().enumerate().map(labelled).collect()
    }

    /// One block. A stack with softmax attention cannot be resumed: what its layers start from are inputs like others.
    fn block(&self, layer: usize, softmax: bool, hybrid: bool) -> Block {
        let at = |part: &str| format!("{}.layers.{layer}.{part}", self.names.trunk);
        let mut block = Block { inputs: vec![norm(at(self.names.mixer_norm) + ".weight")], ..Block::default() };
        let mixer = at(self.names.mixer);
        if !softmax {
            for port in self.mixer.inputs.iter().filter(|p| !FILLED.contains(&p.name) && self.has(p.name)) {
                let state = self.mixer.states.iter().any(|s| s.initial == port.name);
                let whose = if state { format!("layers.{layer}") } else { mixer.clone() };
                if let Some(port) = self.decided(*port) {
                    block.inputs.push(Port { name: name(format!("{whose}.{}", port.name)), ..port });
                }
            }
            for state in self.mixer.states {
                let own = |n: &str| name(format!("layers.{layer}.{n}"));
                let last = self.mixer.output(state.last).expect("a state is an output");
                let Some(last) = self.decided(*last) else { continue };
                block.outputs.push(Port { name: own(state.last), ..last });
                if !hybrid {
                    block.states.push(State { initial: own(state.initial), last: own(state.last), ..*state });
                }
            }
        }
        if softmax {
            for port in layers::attn::SPEC.inputs.iter().filter(|p| p.name != "x") {
                let port = Port { name: name(format!("{mixer}.{}", port.name)), dims: renamed(port.dims), ..*port };
                let port = Port { when: port.when.map(|w| w.map(|(f, v)| (name(format!("attn.{f}")), v))), ..port };
                block.inputs.push(port);
            }
        }
        if let Some(mlp) = self.names.mlp {
            block.inputs.push(norm(at(self.names.mlp_norm) + ".weight"));
            let inner = self.inner();
            for (part, dims) in [("gate", [inner, Dim::D]), ("up", [inner, Dim::D]), ("down", [Dim::D, inner])] {
                let dims = kept(dims.to_vec());
                block.inputs.push(Port::weight(name(at(&format!("{mlp}.{part}_proj.weight"))), dims, &[1, 1]));
            }
        }
        if self.attnres {
            block.inputs.extend(["attn_res", "mlp_res"].into_iter().flat_map(|part| residual(&at(part))));
        }
        block
    }
}

#[derive(Default)]
struct Block {
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    states: Vec<State>,
}

/// Logits, over the layers, of what their lower bounds grow by.
fn bounds(model: &Model) -> Port {
    let channels = model.mixer.input("lower_bound").expect("a layer with lower bounds").dims;
    let dims = kept([&[Dim::L], channels].concat());
    let merged = kept(vec![1, channels.len()]);
    let port = Port::new(name(format!("{}.lower_bounds", model.names.trunk)), dims, Domain::Normal).merged(merged);
    port.when("use_lower_bound")
}

/// The weight of a norm.
fn norm(text: String) -> Port {
    Port::new(name(text), dims![D], Domain::Uniform(0.5, 1.5))
}

/// The query of an attention residual, and the weight of its norm.
fn residual(prefix: &str) -> [Port; 2] {
    let query = Port { merged: &[0, 1], ..Port::new(name(format!("{prefix}_proj.weight")), dims![D], Domain::Weight) };
    [query.when("attnres"), norm(format!("{prefix}_norm.weight")).when("attnres")]
}

/// The extents of the softmax attention in a hybrid stack are its own.
fn renamed(dims: &[Dim]) -> &'static [Dim] {
    let own = |&d: &Dim| match d {
        Dim::HQ => Dim::AQ,
        Dim::H => Dim::AH,
        Dim::K => Dim::AK,
        other => other,
    };
    kept(dims.iter().map(own).collect())
}

/// An extent that is always the same.
#[macro_export]
macro_rules! fixed {
    ($dim:ident = $extent:literal) => {
        $crate::spec::Constraint {
            label: "",
            text: concat!(stringify!($dim), " is ", stringify!($extent)),
            holds: |p| p.size($crate::spec::Dim::$dim) == $extent,
            break_it: |p| _ = p.sizes.insert($crate::spec::Dim::$dim, $extent + 1),
            mend: |p| _ = p.sizes.insert($crate::spec::Dim::$dim, $extent),
        }
    };
}

const HYBRID: Constraint = Constraint {
    label: "",
    text: "softmax attention: D = AQ·AK, AK is even, AQ is a positive multiple of AH, and a window has a token",
    holds: fits,
    break_it: |p| p.sizes.extend([(Dim::AH, 2), (Dim::AQ, 3)]),
    mend: |p| {
        p.attrs.remove("attn.window_size");
        let shared = p.size(Dim::D) == p.size(Dim::H).saturating_mul(p.size(Dim::V));
        if !p.size(Dim::D).is_multiple_of(2) {
            // heads that share the channels out among themselves go on doing so
            let doubled = [Some(Dim::D), shared.then_some(Dim::V)].into_iter().flatten();
            let doubled: Vec<_> = doubled.map(|d| (d, p.size(d).saturating_mul(2))).collect();
            p.sizes.extend(doubled);
        }
        let (width, heads) = (p.size(Dim::D), p.size(Dim::AQ));
        if heads > 0 && width.is_multiple_of(2 * heads) {
            p.sizes.insert(Dim::AK, width / heads);
        } else {
            p.sizes.extend([(Dim::AQ, 1), (Dim::AH, 1), (Dim::AK, width)]);
        }
        if !p.size(Dim::AQ).is_multiple_of(p.size(Dim::AH).max(1)) {
            p.sizes.insert(Dim::AH, 1);
        }
    },
};

fn fits(p: &Problem) -> bool {
    let (queries, keys, width) = (p.size(Dim::AQ), p.size(Dim::AH), p.size(Dim::AK));
    let seen = p.number("attn.window_size").is_none_or(|w| w >= 1.0);
    let grouped = keys > 0 && queries >= keys && queries.is_multiple_of(keys);
    seen && grouped && p.size(Dim::D) == queries * width && width.is_multiple_of(2)
}

const ROWS: Constraint = Constraint {
    label: "",
    text: "L is the number of blocks, where there are lower bounds",
    holds: |p| !p.flag("use_lower_bound") || p.size(Dim::L) == blocks(p),
    break_it: |p| {
        p.attrs.remove("use_lower_bound");
        p.sizes.insert(Dim::L, blocks(p) + 1);
    },
    mend: |p| _ = p.sizes.insert(Dim::L, blocks(p)),
};

fn blocks(p: &Problem) -> usize {
    depth(p.spec, super::model(p.spec.name))
}

const EVEN: Constraint = Constraint {
    label: "",
    text: "attnres_block_size is 1 or even",
    holds: |p| {
        p.number("attnres_block_size").is_some_and(|b| b.to_bits() == 1f64.to_bits() || (b >= 2.0 && b % 2.0 == 0.0))
    },
    break_it: |p| _ = p.attrs.insert("attnres_block_size", Value::Number(3.0)),
    mend: |p| _ = p.attrs.remove("attnres_block_size"),
};
