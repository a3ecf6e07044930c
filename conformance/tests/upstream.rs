//! What specs say they cover is what fla 0.6.0 exports.

use std::collections::BTreeSet;

use reference::ops::OPS;

#[test]
fn specs_cover_functions_that_there_are_and_each_once() {
    let upstream: BTreeSet<&str> = golden::upstream().collect();
    assert!(upstream.len() > 100, "{} functions are not fla's", upstream.len());
    let mut covered = BTreeSet::new();
    for spec in OPS {
        assert!(!spec.upstream.is_empty(), "{} covers nothing", spec.name);
        for function in spec.upstream {
            assert!(upstream.contains(function), "{}: fla 0.6.0 exports no {function}", spec.name);
            assert!(covered.insert(function), "{function} is covered twice");
        }
    }
}
