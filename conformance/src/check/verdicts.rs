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

#[cfg(test)]
mod tests {
    use reference::tensor::DType;

    use super::*;
    use crate::check::tests::{case, tensor};
    use crate::truth::Truth;

    /// The truth itself, of which these tensors are wrong.
    fn answers(standards: &Standards, wrong: &[&str]) -> Tensors {
        let of = |(name, s): (&String, &Standard)| {
            let error = if wrong.contains(&name.as_str()) { 3.0 } else { 0.0 };
            (name.clone(), Tensor::from_array(&(&s.truth + error), s.dtype))
        };
        standards.iter().map(of).collect()
    }

    fn passes(verdict: &Verdict) -> bool {
        match verdict {
            Verdict::Pass { .. } => true,
            Verdict::Fail { call: 3, .. } => false,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_says_nothing_is_left_out() {
        let standards = Truth::of(&case("hgrn(B=1,T=2,D=1)")).outputs().expect("the oracle answers");
        let found = |silence: fn(&mut Standard), silent: &[&str], wrong: &[&str]| {
            let mut standards = (*standards).clone();
            silent.iter().for_each(|&name| standards.get_mut(name).into_iter().for_each(silence));
            accurate_where_possible(&standards, &answers(&standards, wrong), 3).map(|v| passes(&v))
        };
        for silence in [|s: &mut Standard| s.doubt = Some("a doubt".into()), |s: &mut Standard| s.truth.fill(0.0)] {
            assert_eq!(found(silence, &[], &[]), Some(true));
            assert_eq!(found(silence, &[], &["ht"]), Some(false));
            assert_eq!(found(silence, &["ht"], &["ht"]), Some(true));
            assert_eq!(found(silence, &["ht"], &["o"]), Some(false));
            assert_eq!(found(silence, &["o", "ht"], &["ht"]), None);
        }
    }

    #[test]
    fn sums_over_pieces_are_judged_where_they_are_not_stored_short() {
        let found = |text: &str, wrong: &str| {
            let case = case(text);
            let truth = Truth::of(&case);
            let standards = truth.gradients(&truth.cotangents).expect("the oracle answers");
            passes(&accurate_pieces(&case, &standards, &answers(&standards, &[wrong]), 3))
        };
        let (short, single) = ("short_convolution(B=1,T=3,D=1,W=2)", "gated_delta_rule(T=3,softplus_gate=true)");
        assert!(found(short, "none") && found(short, "d_weight"), "a sum that every piece has rounded");
        assert!(!found(short, "d_x") && !found(short, "d_x0"), "no sums");
        assert!(found(single, "none") && !found(single, "d_A_log"), "a sum in single precision");
    }

    #[test]
    fn bits_shapes_and_types_are_compared() {
        let ones = tensor(DType::F32, &[2], &[1.0, 1.0]);
        let found = |b: &Tensor| match same("o", &ones, b, "a promise", 3) {
            Some(Verdict::Fail { fault: Fault::Different { at, .. }, call: 3 }) => Some(at),
            Some(Verdict::Fail { fault: Fault::Malformed { .. }, call: 3 }) => Some(Vec::new()),
            other => other.map(|verdict| panic!("{verdict:?}")),
        };
        assert_eq!(found(&ones), None);
        assert_eq!(found(&tensor(DType::F32, &[2], &[1.0, 2.0])), Some(vec![1]));
        assert_eq!(found(&tensor(DType::F32, &[1, 2], &[1.0, 1.0])), Some(Vec::new()));
        assert_eq!(found(&tensor(DType::F64, &[2], &[1.0, 1.0])), Some(Vec::new()));
        let nan = tensor(DType::F32, &[1], &[f64::NAN]);
        assert!(same("o", &nan, &nan, "a promise", 3).is_none(), "NaN has bits");

        let named = |name: &str| Tensors::from([(name.to_owned(), ones.clone())]);
        let compared = |a: &str, b: &str| all_same(&named(a), &named(b), "a promise", 3).map(|v| passes(&v));
        assert_eq!((compared("o", "o"), compared("o", "ht")), (None, Some(false)));
    }
}
