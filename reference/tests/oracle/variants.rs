//! Small problems of an op in every variant that its spec allows.

use reference::problem::Problem;
use reference::spec::{Attr, Level, OpSpec, Value};

use crate::sample::problem;

/// Several value heads for a key head; packed with an empty sequence; no token; one token; no sequence.
const SHAPES: [&str; 5] = [
    "B=2,T=5,H=2,HV=4,HQ=4,K=3,V=4,D=3,M=3,C=3,L=2,R=2,W=3,I=4,F=5,E=2,G=2,S=5,AQ=2,AH=1,AK=2",
    "B=1,T=7,H=2,HV=2,HQ=2,K=4,V=3,D=2,M=2,C=3,L=3,R=1,W=2,I=3,F=4,E=1,G=1,S=4,AQ=2,AH=1,AK=2,seqs=3+0+4",
    "B=2,T=0,H=1,HV=2,HQ=2,K=2,V=3,D=2,M=2,C=1,L=1,R=2,W=2,I=2,F=3,E=1,G=1,S=3,AQ=2,AH=1,AK=2",
    "B=1,T=1,H=1,HV=1,HQ=1,K=2,V=1,D=1,M=1,C=1,L=1,R=3,W=1,I=1,F=2,E=1,G=1,S=2,AQ=2,AH=1,AK=2",
    "B=1,T=0,H=1,HV=1,HQ=1,K=2,V=2,D=1,M=1,C=1,L=1,R=1,W=4,I=2,F=3,E=1,G=1,S=2,AQ=2,AH=1,AK=2,seqs=",
];

/// Every valid combination of a shape, attribute values and absent inputs.
pub(crate) fn all(spec: &OpSpec) -> Vec<Problem> {
    SHAPES.iter().flat_map(|shape| at(spec, shape)).collect()
}

/// The same at one shape.
pub(crate) fn at(spec: &OpSpec, shape: &str) -> Vec<Problem> {
    let mut extents = problem(spec.name, shape);
    extents.mend();
    extents.attrs.clear();
    extents.absent.clear();
    let sizes = extents.fields().into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",");
    let attrs = spec.attrs.iter().map(|a| format!(",{}={}", a.name, a.other));
    let absences = spec.inputs.iter().filter(|p| p.presence.optional()).map(|p| format!(",absent={}", p.name));
    let options: Vec<String> = attrs.collect();
    let switches: Vec<String> = options.iter().cloned().chain(absences).collect();
    let more = spec.attrs.iter().flat_map(|a| further(a).map(|word| format!("{sizes},{}={word}", a.name)));
    let more: Vec<String> = more.filter(|_| spec.level < Level::Model).collect();
    let fields = match spec.level {
        Level::Model => none_and_all(sizes.clone(), &options, &switches),
        Level::Op if switches.len() <= COMBINED => combined(sizes.clone(), &switches),
        _ if switches.len() <= COMBINED / 2 => combined(sizes.clone(), &switches),
        _ => one_by_one(sizes.clone(), &switches),
    };
    let mended = |f: &String| {
        let mut problem = problem(spec.name, f);
        // an extent may follow from an attribute
        problem.mend();
        problem
    };
    let problems = fields.iter().chain(&more).map(mended);
    // an input that the attributes do not allow cannot be left out either
    let meaningful = |p: &Problem| p.absent.iter().all(|n| spec.input(n).is_some_and(|port| p.allows(port)));
    let refused: Vec<_> = problems.clone().filter_map(|p| p.validate().err()).collect();
    let valid: Vec<_> = problems.filter(|p| p.validate().is_ok() && meaningful(p)).collect();
    assert!(!valid.is_empty(), "{} at {shape}: {refused:?}", spec.name);
    valid
}

/// Of models, which are made of layers: nothing, every option, and every option without what may be absent.
fn none_and_all(sizes: String, options: &[String], switches: &[String]) -> Vec<String> {
    vec![sizes.clone(), sizes.clone() + &options.concat(), sizes + &switches.concat()]
}

/// The words that are neither the default nor what cases try: each alone.
fn further(attr: &Attr) -> impl Iterator<Item = &'static str> + '_ {
    attr.words.iter().copied().filter(|&word| ![attr.default, attr.other].contains(&Value::Word(word)))
}

/// Up to as many switches of an op, and half as many of what is made of ops, are tried in every combination.
const COMBINED: usize = 10;

fn combined(sizes: String, switches: &[String]) -> Vec<String> {
    let both = |fields: Vec<String>, s: &String| fields.into_iter().flat_map(|f| [f.clone(), f + s]).collect();
    switches.iter().fold(vec![sizes], both)
}

/// None, each alone, each with the one before, all.
fn one_by_one(sizes: String, switches: &[String]) -> Vec<String> {
    let pairs = switches.windows(2).map(<[String]>::concat);
    let more = std::iter::once(String::new()).chain(switches.iter().cloned()).chain(pairs).chain([switches.concat()]);
    more.map(|s| sizes.clone() + &s).collect()
}
