//! Which options and optional inputs a suite varies.

use reference::problem::Problem;
use reference::spec::{Level, OpSpec, Value};

/// Optional inputs that are left out in every combination.
const MANY: usize = 4;

/// The valid problems that differ in which optional inputs are given.
pub(super) fn presences(spec: &'static OpSpec) -> Vec<Problem> {
    let optional: Vec<_> = spec.inputs.iter().filter(|p| p.free()).map(|p| p.name).collect();
    let some = |mask: usize| {
        let mut problem = Problem::smallest(spec);
        problem.absent = optional.iter().enumerate().filter(|(i, _)| mask >> i & 1 == 1).map(|(_, &n)| n).collect();
        problem
    };
    let all = (1 << optional.len()) - 1;
    // every combination, or with many: none, each alone, all; of a model, whose layers are asked so themselves, none
    // and all
    let masks: Vec<usize> = match optional.len() {
        _ if spec.level == Level::Model => vec![0, all],
        0..=MANY => (0..=all).collect(),
        n => std::iter::once(0).chain((0..n).map(|i| 1 << i)).chain([all]).collect(),
    };
    masks.into_iter().map(some).filter(|p| p.validate().is_ok()).collect()
}

/// Each flag by itself, with the others that it needs; all flags together; a number that is no default.
pub(super) fn attributes(spec: &'static OpSpec) -> Vec<Vec<(&'static str, Value)>> {
    let flags: Vec<_> = spec.attrs.iter().filter(|a| matches!(a.default, Value::Flag(_))).collect();
    let turned = |a: &&reference::spec::Attr| (a.name, a.other);
    let valid = |attrs: &[(&'static str, Value)]| {
        let mut problem = Problem::smallest(spec);
        problem.attrs.extend(attrs.iter().copied());
        problem.mend();
        problem.validate().is_ok()
    };
    let mut sets: Vec<Vec<_>> = Vec::new();
    for flag in &flags {
        let alone = vec![turned(flag)];
        if valid(&alone) {
            sets.push(alone);
            continue;
        }
        let with = flags.iter().filter(|f| f.name != flag.name).map(|f| vec![turned(f), turned(flag)]);
        sets.extend(with.into_iter().find(|pair| valid(pair)));
    }
    if flags.len() > 1 {
        sets.push(flags.iter().map(turned).collect());
    }
    let numbers = spec.attrs.iter().filter(|a| !matches!(a.default, Value::Flag(_)));
    sets.extend(numbers.map(|a| vec![(a.name, a.other)]));
    sets
}
