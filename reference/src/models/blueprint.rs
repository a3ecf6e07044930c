//! From what a model file says to the spec of a stack of any depth.

use super::config::Config;
use super::skeleton::{Kind, stack as run};
use super::stack::{
    self, EVEN, HYBRID, RESIDUALS, head, kept, labelled, logits_and_loss, name, norm, options, places, residual, tokens,
};
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

/// The option of softmax attention that configurations of hybrid stacks cannot name.
const UNNAMED: &str = "qk_norm";

/// Blocks of a stack, as its ports tell.
pub(super) fn depth(spec: &OpSpec, model: &Model) -> usize {
    stack::depth(spec, &format!("{}.layers", model.names.trunk), &format!("{}.weight", model.names.mixer_norm))
}

impl Model {
    /// The spec of a stack; `softmax` says for each block whether it has softmax attention instead of the model's layer.
    /// The places of those follow in the name: `gla_model@1`.
    #[must_use]
    pub fn spec(&'static self, softmax: &[bool]) -> OpSpec {
        let hybrid = softmax.contains(&true);
        let layers: Vec<Block> = (0..softmax.len()).map(|i| self.block(i, softmax[i], hybrid)).collect();
        let all = |ports: fn(&Block) -> &Vec<Port>| layers.iter().flat_map(ports).copied().collect::<Vec<_>>();
        let mut inputs = tokens(name(format!("{}.embeddings.weight", self.names.trunk))).to_vec();
        if self.lower_bounds {
            inputs.push(bounds(self));
        }
        inputs.extend(all(|b| &b.inputs));
        inputs.extend(self.last());
        let mut outputs = logits_and_loss().to_vec();
        outputs.extend(all(|b| &b.outputs));
        OpSpec {
            name: name(format!("{}_model{}", self.model_type, places(softmax))),
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
            function: function!(run),
        }
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

    fn last(&self) -> Vec<Port> {
        let trunk = self.names.trunk;
        let mut ports = vec![norm(format!("{trunk}.{}.weight", self.names.norm))];
        if self.attnres {
            ports.extend(residual(&format!("{trunk}.res")));
        }
        ports.push(head());
        ports
    }

    /// The extents that some port has.
    fn sizes(&self, hybrid: bool, ports: &[Port]) -> Vec<Dim> {
        let mut sizes = vec![Dim::B, Dim::T, Dim::S, Dim::D];
        sizes.extend(self.names.mlp.map(|_| Dim::F));
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
        attrs.extend(options(self.norm_eps, false));
        if self.lower_bounds {
            attrs.push(Attr::flag(
                "use_lower_bound",
                true,
                "forget gates have lower bounds, which grow with the depth",
            ));
        }
        if self.attnres {
            attrs.extend(RESIDUALS);
        }
        if hybrid {
            let own = |a: &Attr| Attr { name: name(format!("attn.{}", a.name)), ..*a };
            let attention = layers::attn::SPEC.attrs.iter().filter(|a| a.name != UNNAMED).map(own);
            attrs.extend(attention.filter(|a| self.has(a.name)));
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
        labelled(constraints)
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
            let unnamed = |p: &&Port| p.when.iter().flatten().any(|(flag, _)| *flag == UNNAMED);
            for port in layers::attn::SPEC.inputs.iter().filter(|p| p.name != "x" && !unnamed(p)) {
                let port = Port { name: name(format!("{mixer}.{}", port.name)), dims: renamed(port.dims), ..*port };
                let port = Port { when: port.when.map(|w| w.map(|(f, v)| (name(format!("attn.{f}")), v))), ..port };
                block.inputs.push(port);
            }
        }
        if let Some(mlp) = self.names.mlp {
            block.inputs.push(norm(at(self.names.mlp_norm) + ".weight"));
            for (part, dims) in [("gate", dims![F, D]), ("up", dims![F, D]), ("down", dims![D, F])] {
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
    Kind::of(p.spec.name).depth(p.spec)
}
