//! What specs say they cover is what fla 0.6.0 has, and what no spec covers has a reason.

use std::collections::BTreeSet;

use reference::specs;

#[test]
fn every_function_is_covered_once_or_has_a_reason() {
    let upstream: BTreeSet<&str> = golden::upstream().collect();
    assert!(upstream.len() > 100, "{} functions are not fla's", upstream.len());
    let mut accounted = BTreeSet::new();
    // a hybrid stack, named after its blocks of softmax attention, is of the same class as the plain one
    for spec in specs().filter(|s| !s.name.contains('@')) {
        assert!(!spec.upstream.is_empty(), "{} covers nothing", spec.name);
        for function in spec.upstream {
            assert!(upstream.contains(function), "{}: fla 0.6.0 has no {function}", spec.name);
            assert!(accounted.insert(*function), "{function} is covered twice");
        }
    }
    for (function, reason) in golden::without_spec() {
        assert!(upstream.contains(function), "fla 0.6.0 has no {function}");
        assert!(accounted.insert(function), "{function} is covered, and has a reason why not");
        assert!(reason.len() > 10, "{function}: {reason:?} is no reason");
    }
    let missing: Vec<_> = upstream.difference(&accounted).collect();
    assert!(missing.is_empty(), "neither covered nor accounted for: {missing:?}");
}
