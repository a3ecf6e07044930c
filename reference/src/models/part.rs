//! A layer or module at its place in a stack: its ports under the stack's names, and the question it is asked.

use ndarray::{Array2, ArrayD};

use super::stack::{kept, name};
use crate::call::{Answers, Call};
use crate::layers;
use crate::modules;
use crate::real::Real;
use crate::spec::{Attr, Dim, OpSpec, Port, Presence, State, Value};
use crate::unit::Unit;

/// What a stack makes of a layer or module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// The layer or module.
    pub(super) spec: &'static OpSpec,
    /// What comes before the names of its options.
    pub(super) options: &'static str,
    /// Options and inputs that a configuration does not have, and inputs that the stack fills.
    pub(super) omits: &'static [&'static str],
    /// Flags that a configuration does not have, or that the place decides.
    pub(super) decided: &'static [(&'static str, bool)],
    /// Options that have another default in a configuration.
    pub(super) defaults: &'static [(&'static str, Value)],
    /// Extents that have another name in the stack.
    pub(super) renamed: &'static [(Dim, Dim)],
}

/// Where a part is: what comes before the names of its weights, and of its states.
pub(super) struct Place<'a> {
    pub(super) weights: &'a str,
    pub(super) states: &'a str,
}

impl Part {
    /// A part of which the stack fills only the input.
    pub(super) const fn of(spec: &'static OpSpec) -> Self {
        Self { spec, options: "", omits: &["x"], decided: &[], defaults: &[], renamed: &[] }
    }

    /// Weights, all of them required, and initial states.
    pub(super) fn inputs(&self, place: &Place<'_>) -> Vec<Port> {
        let own = |port: &Port| match self.is_state(port) {
            true => self.placed(port, place.states),
            false => Some(self.placed(port, place.weights)?.presence(Presence::Required)),
        };
        self.spec.inputs.iter().filter(|p| self.has(p.name)).filter_map(own).collect()
    }

    /// Final states.
    pub(super) fn last(&self, place: &Place<'_>) -> Vec<Port> {
        let outputs = self.spec.states.iter().filter_map(|s| self.spec.output(s.last));
        outputs.filter_map(|p| self.placed(p, place.states)).collect()
    }

    /// What a stack of it is resumed through.
    pub(super) fn states(&self, place: &Place<'_>) -> Vec<State> {
        let own = |port: &str| name(format!("{}.{port}", place.states));
        self.spec.states.iter().map(|s| State { initial: own(s.initial), last: own(s.last), ..*s }).collect()
    }

    /// The options that a configuration has, but for the ε that all norms share.
    pub(super) fn attrs(&self) -> Vec<Attr> {
        let own = |attr: &Attr| {
            let mut attr = Attr { name: name(format!("{}{}", self.options, attr.name)), ..*attr };
            if let Some(&(_, default)) =
                self.defaults.iter().find(|(n, _)| attr.name.strip_prefix(self.options) == Some(n))
            {
                attr.other = if attr.other == default { attr.default } else { attr.other };
                attr.default = default;
            }
            attr
        };
        self.spec.attrs.iter().filter(|a| self.has(a.name) && a.name != "norm_eps").map(own).collect()
    }

    fn has(&self, name: &str) -> bool {
        !self.omits.contains(&name) && self.decided.iter().all(|(flag, _)| *flag != name)
    }

    fn is_state(&self, port: &Port) -> bool {
        self.spec.states.iter().any(|s| s.initial == port.name)
    }

    /// A port at its place, unless what is decided rules it out.
    fn placed(&self, port: &Port, at: &str) -> Option<Port> {
        let renamed = |&d: &Dim| self.renamed.iter().find(|(from, _)| *from == d).map_or(d, |&(_, to)| to);
        let dims = kept(port.dims.iter().map(renamed).collect());
        let mut port = Port { name: name(format!("{at}.{}", port.name)), dims, ..*port };
        for condition in &mut port.when {
            let Some((flag, value)) = *condition else { continue };
            *condition = match self.decided.iter().find(|(decided, _)| *decided == flag) {
                Some((_, decided)) => (*decided == value).then_some(None)?,
                None => Some((name(format!("{}{flag}", self.options)), value)),
            };
        }
        port.when.sort_by_key(Option::is_none);
        Some(port)
    }

    /// The question to it, with its weights, states and options, but without what the stack fills.
    pub(super) fn ask<F: Real>(&self, x: &Unit<'_, F>, place: &Place<'_>) -> Call<F> {
        let mut call = Call::of(self.spec);
        for &(flag, on) in self.decided {
            call = call.flag(flag, on);
        }
        for attr in self.spec.attrs.iter().filter(|a| self.has(a.name)) {
            let own = if attr.name == "norm_eps" { "norm_eps" } else { &format!("{}{}", self.options, attr.name) };
            call = call.value(attr.name, x.problem.attr(own));
        }
        for port in self.spec.inputs {
            let at = if self.is_state(port) { place.states } else { place.weights };
            let own = format!("{at}.{}", port.name);
            // a state is there even if none was given: the middle of a sequence starts from one
            if x.problem.spec.input(&own).is_some_and(|p| x.problem.allows(p)) {
                call = call.with(port.name, x.tensor(&own));
            }
        }
        call
    }

    /// The states after it; one that the options leave out keeps its place.
    pub(super) fn after<F: Real>(
        &self,
        x: &Unit<'_, F>,
        place: &Place<'_>,
        answers: &mut Answers<F>,
    ) -> Vec<ArrayD<F>> {
        let mut state = |s: &State| match answers.has(s.last) {
            true => answers.take(s.last),
            false => x.tensor(&format!("{}.{}", place.states, s.initial)).to_owned(),
        };
        self.spec.states.iter().map(&mut state).collect()
    }

    /// What a part without states makes of an input.
    pub(super) fn run<F: Real>(&self, x: &Unit<'_, F>, weights: &str, hidden: &Array2<F>) -> Array2<F> {
        self.ask(x, &Place { weights, states: "" }).with("x", hidden.view()).run().matrix("o")
    }

    /// The weights of a part without states.
    pub(super) fn weights(&self, weights: &str) -> Vec<Port> {
        self.inputs(&Place { weights, states: "" })
    }
}

/// The feed-forward network of most blocks.
pub(super) const MLP: Part = Part { omits: &["x", "powglu_power"], ..Part::of(&modules::gated_mlp::SPEC) };

/// The softmax attention that chosen blocks may have.
pub(super) const SOFTMAX: Part = Part {
    options: "attn.",
    decided: &[("qk_norm", false)],
    renamed: &[(Dim::HQ, Dim::AQ), (Dim::H, Dim::AH), (Dim::K, Dim::AK)],
    ..Part::of(&layers::attn::SPEC)
};
