//! Planted faults.

#[path = "broken.rs"]
mod broken;

use fla_conformance::candidate::{Mode, Request};
use reference::spec::Dim;
use reference::tensor::{DType, Tensors};

pub(crate) use broken::{Broken, honest};
use broken::{
    Memory, after_start, another_process, another_time, captured, changed, columns, ends_in_zeros, leak, long,
    look_ahead, masked, no_delta, run_on, scale_after, second_head, second_time, unwritten, wider, with_input,
    without_state,
};

/// A planted fault.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// A case that shows it.
    pub(crate) case: &'static str,
    /// The check that must find it.
    pub(crate) finder: &'static str,
    /// Whether every other check must pass.
    pub(crate) alone: bool,
    /// What the candidate answers.
    pub(crate) answer: fn(&mut Memory, &Request) -> Tensors,
}

const GLA: &str = "simple_gla(B=2,T=101,H=2,K=8,V=8,absent=g_gamma)";
const GLA_FRESH: &str = "simple_gla(B=2,T=101,H=2,K=8,V=8,absent=g_gamma+h0)";
const DELTA: &str = "gated_delta_rule(B=1,T=70,H=2,K=16,V=8,profile=slow_decay)";
const GROUPED: &str = "gated_delta_rule(B=1,T=70,H=2,HV=4,K=16,V=8)";
const EXACT: &str = "simple_gla(B=2,T=101,H=2,K=8,V=8,scale=0.5,absent=g_gamma,profile=lattice)";
const LONG: &str = "simple_gla(B=1,T=150,H=2,K=8,V=8,absent=g_gamma)";
const SHORT: &str = "simple_gla(B=2,T=70,H=2,K=16,V=16,absent=g_gamma,dtype=bf16)";
const MODEL: &str = "transformer_model(B=1,T=5)";
const SOAKED: &str = "simple_gla(B=1,T=20,H=2,K=4,V=4,absent=g_gamma,seed=160)";
const SEEDED: &str = "simple_gla(B=1,T=20,H=2,K=4,V=4,absent=g_gamma,seed=60)";
const STATES: &str = "simple_gla(B=2,T=101,H=2,K=8,V=8,absent=g_gamma,profile=slow_decay,seed=6)";
const SCAN: &str = "hgrn(B=2,T=70,D=12)";

/// The faults that exactly one check finds, then those that one check must find at least.
pub(crate) static FAULTS: &[Fault] = &[
    Fault {
        name: "ragged chunk of a long batch without gradients",
        case: GLA,
        finder: "forward",
        alone: true,
        answer: |_, r| scale_after(r, "o", 64, if long(r) && r.cotangents.is_empty() { 1.02 } else { 1.0 }),
    },
    Fault {
        name: "gradient of g 1 % off in a long batch",
        case: GLA,
        finder: "backward",
        alone: true,
        answer: |_, r| scale_after(r, "d_g", 0, if long(r) { 1.01 } else { 1.0 }),
    },
    Fault {
        name: "initial state ignored by long calls",
        case: GLA_FRESH,
        finder: "resume",
        alone: true,
        answer: |_, r| {
            if r.problem.size(Dim::T) > 40 { honest(&without_state(r)) } else { honest(r) }
        },
    },
    Fault {
        name: "state wrong when decoding",
        case: GLA_FRESH,
        finder: "decode",
        alone: true,
        answer: |_, r| {
            let decoding = r.problem.size(Dim::T) == 1 && r.inputs.contains_key("h0");
            scale_after(r, "ht", 0, if decoding { 0.99 } else { 1.0 })
        },
    },
    Fault {
        name: "state runs on into the next sequence",
        case: GLA,
        finder: "varlen",
        alone: true,
        answer: |_, r| run_on(r),
    },
    Fault { name: "heads leak a little", case: GLA, finder: "isolation", alone: true, answer: |_, r| leak(r) },
    Fault {
        name: "a later token decides the last bit",
        case: GLA,
        finder: "causality",
        alone: true,
        answer: |_, r| look_ahead(r, "o"),
    },
    Fault {
        name: "the second time is different",
        case: GLA,
        finder: "repeat",
        alone: true,
        answer: |memory, r| second_time(memory, r),
    },
    Fault {
        name: "one time in ten is different",
        case: GLA,
        finder: "repeat",
        alone: true,
        answer: |memory, r| another_time(memory, r, 10),
    },
    Fault {
        name: "one time in forty is different",
        case: SOAKED,
        finder: "repeat",
        alone: true,
        answer: |memory, r| another_time(memory, r, 40),
    },
    Fault {
        name: "the state after a stretch in the middle is 2 % off",
        case: GLA,
        finder: "local",
        alone: true,
        answer: |_, r| {
            let middle = r.problem.size(Dim::T) == 32 && r.problem.sequences.is_none() && r.inputs.contains_key("h0");
            changed(r, |name, x| if middle && name == "ht" { 1.02 * x } else { x })
        },
    },
    Fault {
        name: "an only gradient is not written",
        case: GLA,
        finder: "backward",
        alone: true,
        answer: |_, r| {
            let only = r.want.len() == 1 && r.want[0].starts_with("d_");
            changed(r, |name, x| if only && name.starts_with("d_") { 0.0 } else { x })
        },
    },
    Fault {
        name: "a cotangent of the final state alone is ignored",
        case: STATES,
        finder: "backward",
        alone: true,
        answer: |_, r| {
            let only = r.cotangents.contains_key("d_ht") && !r.cotangents.contains_key("d_o");
            changed(r, |name, x| if only && name.starts_with("d_") { 0.0 } else { x })
        },
    },
    Fault {
        name: "an element is never written",
        case: GLA,
        finder: "poison",
        alone: true,
        answer: |_, r| unwritten(r),
    },
    Fault {
        name: "a graph answers with a gradient of the numbers that it was captured with",
        case: SEEDED,
        finder: "graph",
        alone: true,
        answer: |memory, r| captured(memory, r, "d_k"),
    },
    Fault {
        name: "the first call of a process has another last bit",
        case: SEEDED,
        finder: "cold",
        alone: true,
        answer: |memory, r| after_start(memory, r),
    },
    Fault {
        name: "every other process has another last bit",
        case: SEEDED,
        finder: "cold",
        alone: true,
        answer: |memory, r| another_process(memory, r),
    },
    Fault {
        name: "evaluation is a kernel of its own, 2 % off",
        case: MODEL,
        finder: "evaluation",
        alone: true,
        answer: |_, r| scale_after(r, "logits", 0, if r.mode == Mode::Evaluation { 1.02 } else { 1.0 }),
    },
    Fault {
        name: "what is computed once more is 1 % off",
        case: MODEL,
        finder: "recompute",
        alone: true,
        answer: |_, r| {
            let factor = if r.mode == Mode::Recompute { 1.01 } else { 1.0 };
            honest(&with_input(r, "model.norm.weight", |x| factor * x))
        },
    },
    Fault {
        name: "the second head has another last bit in its first column",
        case: GLA,
        finder: "permute",
        alone: true,
        answer: |_, r| second_head(r),
    },
    Fault { name: "a column leaks into another", case: GLA, finder: "columns", alone: true, answer: |_, r| columns(r) },
    Fault {
        name: "a small constant is added",
        case: GLA,
        finder: "gauge",
        alone: true,
        answer: |_, r| changed(r, |name, x| if name == "o" { x + 2e-8 } else { x }),
    },
    Fault {
        name: "a token of zeros forgets a little",
        case: GLA,
        finder: "append",
        alone: true,
        answer: |_, r| scale_after(r, "ht", 0, if ends_in_zeros(r) { 1.0 + 1e-6 } else { 1.0 }),
    },
    Fault {
        name: "wrong without grouped heads",
        case: GROUPED,
        finder: "grouped",
        alone: true,
        answer: |_, r| {
            let copied = r.problem.size(Dim::H) == r.problem.size(Dim::HV);
            scale_after(r, "o", 0, if copied { 1.01 } else { 1.0 })
        },
    },
    Fault {
        name: "wrong with a state of zeros",
        case: GLA_FRESH,
        finder: "absent",
        alone: true,
        answer: |_, r| {
            let zeros = r.inputs.get("h0").is_some_and(|h| h.values().all(|x| x.to_bits() == 0));
            scale_after(r, "d_v", 0, if zeros { 1.01 } else { 1.0 })
        },
    },
    Fault {
        name: "the more general ops are wrong",
        case: DELTA,
        finder: "reduction",
        alone: true,
        answer: |_, r| {
            let general = r.problem.spec.name != "gated_delta_rule";
            scale_after(r, "o", 0, if general { 1.01 } else { 1.0 })
        },
    },
    Fault {
        name: "sums are off by less than any tolerance",
        case: EXACT,
        finder: "lattice",
        alone: true,
        answer: |_, r| scale_after(r, "ht", 0, 1.0 + 1.2e-7),
    },
    Fault {
        name: "a later token decides the last bit of a gradient",
        case: GLA,
        finder: "prefix",
        alone: true,
        answer: |_, r| look_ahead(r, "d_v"),
    },
    Fault {
        name: "a later token times zero is added",
        case: LONG,
        finder: "containment",
        alone: true,
        answer: |_, r| masked(r),
    },
    Fault {
        name: "a thousandth too large at bf16",
        case: SHORT,
        finder: "gain",
        alone: true,
        answer: |_, r| wider(r, 1.001),
    },
    Fault {
        name: "no decay",
        case: DELTA,
        finder: "forward",
        alone: false,
        answer: |_, r| honest(&with_input(r, "g", |_| 0.0)),
    },
    Fault { name: "no delta term", case: DELTA, finder: "forward", alone: false, answer: |_, r| no_delta(r) },
    Fault {
        name: "beta times 0.999",
        case: DELTA,
        finder: "forward",
        alone: false,
        answer: |_, r| honest(&with_input(r, "beta", |x| 0.999 * x)),
    },
    Fault {
        name: "beta times 0.999, gradients",
        case: DELTA,
        finder: "backward",
        alone: false,
        answer: |_, r| honest(&with_input(r, "beta", |x| 0.999 * x)),
    },
    Fault {
        name: "initial state ignored",
        case: DELTA,
        finder: "forward",
        alone: false,
        answer: |_, r| honest(&without_state(r)),
    },
    Fault {
        name: "gradient of the initial state is zero",
        case: DELTA,
        finder: "backward",
        alone: false,
        answer: |_, r| scale_after(r, "d_h0", 0, 0.0),
    },
    Fault {
        name: "cotangent of the final state ignored",
        case: DELTA,
        finder: "backward",
        alone: false,
        answer: |_, r| {
            let mut r = r.clone();
            r.cotangents.remove("d_ht");
            honest(&r)
        },
    },
    Fault {
        name: "outputs rounded once more, to bf16",
        case: SCAN,
        finder: "forward",
        alone: false,
        answer: |_, r| changed(r, |name, x| if name == "o" { DType::Bf16.round(x) } else { x }),
    },
    Fault {
        name: "1 % too large at bf16",
        case: "hgrn(B=2,T=70,D=12,dtype=bf16)",
        finder: "forward",
        alone: false,
        answer: |_, r| scale_after(r, "o", 0, 1.01),
    },
    Fault { name: "zeros", case: SCAN, finder: "forward", alone: false, answer: |_, r| changed(r, |_, _| 0.0) },
    Fault { name: "NaN", case: SCAN, finder: "backward", alone: false, answer: |_, r| changed(r, |_, _| f64::NAN) },
    Fault {
        name: "a wrong shape",
        case: SCAN,
        finder: "forward",
        alone: false,
        answer: |_, r| honest(r).into_iter().map(|(n, t)| (n, t.narrow(0, 0..1))).collect(),
    },
    Fault {
        name: "an output is missing",
        case: SCAN,
        finder: "forward",
        alone: false,
        answer: |_, r| honest(r).into_iter().filter(|(n, _)| n != "ht").collect(),
    },
    Fault {
        name: "time runs the wrong way",
        case: "simple_gla(T=40,reverse=true,absent=g_gamma)",
        finder: "resume",
        alone: false,
        answer: |_, r| {
            let mut r = r.clone();
            r.problem.attrs.remove("reverse");
            honest(&r)
        },
    },
];
