//! Properties of arbitrary cases.

use fla_conformance::candidate::local::Reference;
use fla_conformance::case::Case;
use fla_conformance::check::applicable;
use fla_conformance::examine::{ask, judge};
use fla_conformance::report::sentence;
use fla_conformance::sample::{self, Profile};
use fla_conformance::shrink::simpler;
use fla_conformance::truth::Truth;
use proptest::prelude::*;
use reference::problem::Problem;
use reference::spec::{Dim, Level};
use reference::tensor::DType;
use reports::verdict::Verdict;

/// Any valid case up to these sizes and this level; extents shrink towards 1, flags towards false, absent inputs
/// towards none.
fn case(tokens: usize, width: usize, level: Level) -> impl Strategy<Value = Case> {
    let dtypes = [DType::F32, DType::Bf16, DType::F16, DType::F64];
    // what is built comes after what it is built of
    let ops = 0..reference::specs().filter(|spec| spec.level <= level).count();
    let extents = (1..=3usize, 0..=tokens, 1..=3usize, 1..=2usize, 1..=width, 1..=width);
    let choices = (any::<u32>(), any::<u32>(), proptest::option::of(proptest::collection::vec(0..=tokens / 2, 1..4)));
    let numbers = (0..Profile::ALL.len(), 0..dtypes.len(), 0..100u64);
    (ops, extents, choices, numbers).prop_filter_map("constraints hold", move |(op, extents, choices, numbers)| {
        let spec = reference::specs().nth(op).expect("below their count");
        let (b, t, h, group, k, v) = extents;
        let size = |&dim: &Dim| match dim {
            Dim::B | Dim::N => (dim, b),
            Dim::T => (dim, t),
            Dim::H => (dim, h),
            Dim::HV | Dim::HQ => (dim, h * group),
            Dim::K => (dim, k),
            Dim::V | Dim::D | Dim::M => (dim, v),
            Dim::C | Dim::L | Dim::R | Dim::W | Dim::G | Dim::AQ | Dim::AH => (dim, h),
            Dim::I | Dim::F | Dim::E | Dim::S | Dim::AK => (dim, k),
        };
        let mut problem = Problem::new(spec, &spec.sizes.iter().map(size).collect::<Vec<_>>());
        let (flags, absent, packing) = choices;
        let set = |bits: u32, i: usize| bits >> (i % 32) & 1 == 1;
        for (_, attr) in spec.attrs.iter().enumerate().filter(|(i, _)| set(flags, *i)) {
            // as text sets it: a default is not kept
            assert_eq!(problem.set(attr.name, &attr.other.to_string()), Ok(true), "{}", attr.name);
        }
        let optional = |(i, p): &(usize, &reference::spec::Port)| p.free() && set(absent, *i);
        problem.absent = spec.inputs.iter().enumerate().filter(optional).map(|(_, p)| p.name).collect();
        if let Some(lengths) = packing {
            problem.sizes.extend([(Dim::B, 1), (Dim::T, lengths.iter().sum())]);
            problem.sequences = Some(lengths);
        }
        let (profile, dtype, seed) = (Profile::ALL[numbers.0], dtypes[numbers.1], numbers.2);
        problem.mend();
        problem.validate().is_ok().then_some(Case { problem, dtype, profile, seed })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_case_survives_its_text(case in case(300, 64, Level::Model)) {
        let again = case.to_string().parse::<Case>();
        prop_assert_eq!(again.as_ref(), Ok(&case));
    }

    #[test]
    fn numbers_follow_from_the_text(case in case(40, 8, Level::Model)) {
        let again: Case = case.to_string().parse().expect("its own text");
        prop_assert_eq!(sample::inputs(&case), sample::inputs(&again));
        for port in case.problem.inputs() {
            let shape = case.problem.shape(port);
            let inputs = sample::inputs(&case);
            prop_assert_eq!(inputs[port.name].shape(), &shape[..]);
        }
    }

    #[test]
    fn shrinking_keeps_cases_valid(case in case(300, 64, Level::Model)) {
        for simpler in simpler(&case) {
            prop_assert!(simpler.problem.validate().is_ok());
            prop_assert_ne!(&simpler, &case);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// The oracle's own code at `f32` is a right candidate: whatever the case, no check may fail it. What is built of
    /// ops and modules takes minutes a case.
    #[test]
    fn a_right_candidate_never_fails(case in case(70, 12, Level::Module)) {
        let truth = Truth::of(&case);
        for check in applicable(&case) {
            let asked = ask(&mut Reference::default(), &case, &truth, check);
            let verdict = judge(&case, &truth, check, &asked);
            let failed = matches!(verdict, Verdict::Fail { .. });
            prop_assert!(!failed, "{} of {}: {}", check.name, case, sentence(&verdict));
        }
    }
}
