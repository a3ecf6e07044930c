//! From tensors to verdicts.

use reference::spec::{Dim, Precision};
use reference::tensor::{Tensor, Tensors};
use reports::verdict::{Fault, Verdict};

use crate::case::Case;
use crate::measure::{Standard, index};
use crate::truth::Standards;

/// The verdict on `answers`, each measured against its standard. `call` is the call that gave them.
pub(super) fn accurate(standards: &Standards, answers: &Tensors, call: usize) -> Verdict {
    measured(&standards.iter().collect::<Vec<_>>(), answers, call)
}

fn measured(standards: &[(&String, &Standard)], answers: &Tensors, call: usize) -> Verdict {
    if let Some(reason) = standards.iter().find_map(|(_, s)| s.doubt.clone()) {
        return Verdict::Mistrusted { reason };
    }
    if standards.iter().all(|(_, s)| s.is_trivial()) {
        return Verdict::Mistrusted {
            reason: "the truth is zero everywhere: a candidate that does nothing is right".into(),
        };
    }
    let judge = |(name, standard): &(&String, &Standard)| match answers.get(*name).map(|a| standard.judge(a)) {
        None => malformed(format!("{name} is missing"), call),
        Some(Ok(measures)) => Verdict::Pass { measures },
        Some(Err(fault)) => Verdict::Fail { fault, call },
    };
    worst(standards.iter().map(judge))
}

/// The same on those by which one can be judged, and which zeros would fail; `None` when there are none.
pub(super) fn accurate_where_possible(standards: &Standards, answers: &Tensors, call: usize) -> Option<Verdict> {
    let speaks = |s: &Standard| s.doubt.is_none() && !s.is_trivial();
    let standards: Vec<_> = standards.iter().filter(|(_, s)| speaks(s)).collect();
    (!standards.is_empty()).then(|| measured(&standards, answers, call))
}

/// The first that is no pass of what could be judged. Where that is nothing, other checks say that the case is
/// mistrusted.
pub(super) fn judged(verdicts: impl IntoIterator<Item = Option<Verdict>>) -> Verdict {
    let found: Vec<Verdict> = verdicts.into_iter().flatten().collect();
    if found.is_empty() {
        let reason = "nobody can be judged by these numbers, as forward and backward say".into();
        return Verdict::NotApplicable { reason };
    }
    worst(found)
}

/// The verdict on gradients that were put together from pieces. Those of what all tokens share are left out: they are
/// sums of the pieces' gradients, each of them rounded to the storage type, and where these cancel, that is no fault of
/// the sum's.
pub(super) fn accurate_pieces(case: &Case, standards: &Standards, answers: &Tensors, call: usize) -> Verdict {
    let shared = |name: &str| {
        let port = name.strip_prefix("d_").and_then(|input| case.problem.spec.input(input));
        port.is_some_and(|p| {
            p.precision == Precision::Storage && !p.dims.iter().any(|d| matches!(d, Dim::B | Dim::N | Dim::T))
        })
    };
    measured(&standards.iter().filter(|(name, _)| !shared(name)).collect::<Vec<_>>(), answers, call)
}

/// A failure unless the two tensors have the same bits.
pub(super) fn same(name: &str, a: &Tensor, b: &Tensor, promise: &str, call: usize) -> Option<Verdict> {
    if a.shape() != b.shape() || a.dtype() != b.dtype() {
        let message = format!("{name} is {}{:?} and then {}{:?}", a.dtype(), a.shape(), b.dtype(), b.shape());
        return Some(malformed(message, call));
    }
    if a == b {
        return None;
    }
    let size = a.dtype().size();
    let first = a.bytes().chunks(size).zip(b.bytes().chunks(size)).position(|(x, y)| x != y).unwrap_or(0);
    let at = index(a.shape(), first);
    Some(Verdict::Fail { fault: Fault::Different { port: name.to_owned(), at, promise: promise.to_owned() }, call })
}

/// A failure unless every tensor of the two answers has the same bits.
pub(super) fn all_same(a: &Tensors, b: &Tensors, promise: &str, call: usize) -> Option<Verdict> {
    a.iter().find_map(|(name, x)| match b.get(name) {
        Some(y) => same(name, x, y, promise, call),
        None => Some(malformed(format!("{name} is missing"), call)),
    })
}

pub(super) fn malformed(message: String, call: usize) -> Verdict {
    Verdict::Fail { fault: Fault::Malformed { message }, call }
}

/// The verdict of checks that compare bits.
pub(super) fn pass() -> Verdict {
    Verdict::Pass { measures: Vec::new() }
}

/// The first that is no pass; else a pass with all their measures. What is too far from the truth names all else that
/// is, and gives way to a failure of another kind: who lets an error pass must know everything.
pub(super) fn worst(verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
    let mut all = Vec::new();
    let mut far: Option<Verdict> = None;
    for verdict in verdicts {
        match (verdict, &mut far) {
            (Verdict::Pass { mut measures }, _) => all.append(&mut measures),
            (
                Verdict::Fail { fault: Fault::Inaccurate { worst, others, .. }, .. },
                Some(Verdict::Fail { fault: Fault::Inaccurate { others: known, .. }, .. }),
            ) => {
                known.push(worst);
                known.extend(others);
            }
            (first @ Verdict::Fail { fault: Fault::Inaccurate { .. }, .. }, none) => *none = Some(first),
            (other @ Verdict::Fail { .. }, _) | (other, None) => return other,
            (_, Some(_)) => {}
        }
    }
    far.unwrap_or(Verdict::Pass { measures: all })
}
