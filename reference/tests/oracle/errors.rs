//! What the oracle refuses, and that it says why.

use std::collections::BTreeMap;

use ndarray::ArrayD;
use reference::error::Error;
use reference::oracle;
use reference::problem::Problem;
use reference::rounded::Rounding;
use reference::spec::{Dim, Domain, Port, Value};
use reference::specs;
use reference::tensor::Arrays;

use crate::sample::{Random, problem};

const SHAPE: &str = "B=1,T=4,H=2,HV=2,HQ=2,K=3,V=3,D=3,M=3,C=3,L=3,R=2,W=2,I=3,F=4,E=2,G=1,S=5,AQ=1,AH=1,AK=3";

const ROUNDING: Rounding = Rounding { operand: 1.0 / 256.0, least: 0.0, accumulate: 1.0 / 4096.0, seed: 0 };

/// Every variant of a small problem, with its inputs and its cotangents.
fn questions() -> impl Iterator<Item = (Problem, Arrays, Arrays)> {
    specs().flat_map(|spec| crate::variants::at(spec, SHAPE)).map(|problem| {
        let mut random = Random::new(0);
        let (inputs, cotangents) = (random.inputs(&problem), random.cotangents(&problem));
        (problem, inputs, cotangents)
    })
}

/// The error of every way to ask, which must be the same.
fn refusal(problem: &Problem, inputs: &Arrays) -> Error {
    let none = Arrays::new();
    let errors = [
        oracle::forward(problem, inputs).err(),
        oracle::forward_f32(problem, inputs).err(),
        oracle::directional(problem, inputs, &none).err(),
        oracle::gradients(problem, inputs, &none, &[]).err(),
        oracle::rounded(problem, inputs, &none, &[], &ROUNDING).err(),
    ];
    let first = errors[0].clone().expect("an error");
    assert!(errors.iter().all(|e| e.as_ref() == Some(&first)), "{errors:?}");
    first
}

fn shapes(problem: &Problem) -> BTreeMap<String, Vec<usize>> {
    problem.inputs().map(|p| (p.name.to_owned(), problem.shape(p))).collect()
}

/// One element more along the first axis.
fn wider(problem: &Problem, port: &Port) -> Vec<usize> {
    let mut shape = problem.shape(port);
    shape[0] += 1;
    shape
}

#[test]
fn a_violated_constraint_of_every_label() {
    for problem in specs().flat_map(crate::variants::all) {
        for constraint in problem.spec.constraints {
            let mut broken = problem.clone();
            (constraint.break_it)(&mut broken);
            let Err(Error::Constraint { label, text, .. }) = broken.validate() else { panic!("{broken} is accepted") };
            assert_eq!((label, text), (constraint.label, constraint.text), "{broken}");
            assert!(matches!(refusal(&broken, &Arrays::new()), Error::Constraint { .. }));
        }
    }
}

#[test]
fn inputs_that_are_missing_misshapen_or_unknown() {
    for (problem, inputs, _) in questions() {
        let spec = problem.spec;
        for port in problem.inputs() {
            let mut fewer = inputs.clone();
            fewer.remove(port.name);
            let expected = Error::Missing { op: spec.name, port: port.name.to_owned() };
            assert_eq!(refusal(&problem, &fewer), expected);

            for shape in [wider(&problem, port), vec![], [problem.shape(port), vec![1]].concat()] {
                let mut other = inputs.clone();
                other.insert(port.name.to_owned(), ArrayD::zeros(shape.clone()));
                let error = refusal(&problem, &other);
                let Error::Shape { port: name, got, .. } = &error else { panic!("{error}") };
                assert_eq!((name.as_str(), got), (port.name, &shape));
            }
        }
        let not_given = spec.inputs.iter().filter(|p| !problem.has(p)).map(|p| (p.name, problem.shape(p)));
        for (name, shape) in not_given.chain([("nothing", vec![])]) {
            let mut more = inputs.clone();
            more.insert(name.to_owned(), ArrayD::zeros(shape));
            let error = refusal(&problem, &more);
            assert!(matches!(&error, Error::Unknown { kind: "input", name: n, .. } if n == name), "{error}");
        }
    }
}

#[test]
fn symbols_outside_the_vocabulary_and_masks_that_are_not_0_or_1() {
    for (problem, inputs, _) in questions() {
        for port in problem.inputs() {
            let (below, targets) = match port.domain {
                Domain::Symbols(targets) => (problem.size(Dim::S), targets),
                Domain::Mask => (2, false),
                _ => continue,
            };
            for x in [below as f64, -1.0, 0.5, f64::NAN, f64::INFINITY, -100.0] {
                let mut wrong = inputs.clone();
                wrong.get_mut(port.name).expect("a given input").fill(x);
                let refused = oracle::forward(&problem, &wrong).is_err_and(|e| matches!(e, Error::Index { .. }));
                assert_eq!(refused, !(targets && x.to_bits() == (-100f64).to_bits()), "{problem}: {} {x}", port.name);
            }
        }
    }
}

#[test]
fn integers_that_are_no_indices() {
    let mut tried = 0;
    for (problem, inputs, _) in questions() {
        for port in problem.inputs().filter(|p| matches!(p.domain, Domain::Blocks(_))) {
            let (shape, spec) = (problem.shape(port), problem.spec);
            let last: Vec<usize> = shape.iter().map(|d| d - 1).collect();
            let own = inputs[port.name][&last[..]];
            let mut refused = |at: &[usize], x: f64, before: &dyn Fn(&mut ArrayD<f64>)| {
                let mut wrong = inputs.clone();
                let array = wrong.get_mut(port.name).expect("a given input");
                before(array);
                array[at] = x;
                let Error::Index { op, port: name, at: place, got, below } = refusal(&problem, &wrong) else {
                    panic!("{problem}: {} is accepted at {at:?} as {x}", port.name)
                };
                let told = (op, name, place.as_slice(), got, below as f64);
                assert_eq!(told, (spec.name, port.name, at, x.to_string(), own + 1.0), "{problem}");
                tried += 1;
            };
            // the last token's own block is the last of all
            for x in [own + 1.0, -2.0, 0.5, f64::NAN, f64::INFINITY] {
                refused(&last, x, &|_| {});
                refused(&vec![0; shape.len()], x, &|_| {});
            }
            let mut beside = last.clone();
            beside[shape.len() - 1] -= 1;
            refused(&last, own, &|array| array[&beside[..]] = own);
        }
    }
    assert!(tried > 0);
}

#[test]
fn cotangents_tangents_and_wanted_gradients() {
    for (problem, inputs, cotangents) in questions() {
        let spec = problem.spec;
        let by = |w: &Arrays| {
            let error = oracle::gradients(&problem, &inputs, w, &[]).expect_err("a bad cotangent");
            assert_eq!(oracle::rounded(&problem, &inputs, w, &[], &ROUNDING).err().as_ref(), Some(&error));
            error
        };
        for output in problem.produced() {
            let mut misshapen = cotangents.clone();
            misshapen.insert(format!("d_{}", output.name), ArrayD::zeros(wider(&problem, output)));
            assert!(matches!(by(&misshapen), Error::Shape { port, .. } if port == output.name));
            let plain = Arrays::from([(output.name.to_owned(), ArrayD::zeros(problem.shape(output)))]);
            assert!(matches!(by(&plain), Error::Unknown { kind: "cotangent", name, .. } if name == output.name));
        }
        let along = |name: &str, shape| {
            let tangents = Arrays::from([(name.to_owned(), ArrayD::zeros(shape))]);
            oracle::directional(&problem, &inputs, &tangents).expect_err("a bad tangent")
        };
        for port in spec.inputs {
            let error = along(port.name, wider(&problem, port));
            assert_eq!(matches!(error, Error::Shape { .. }), problem.has(port), "{error}");
            let want = oracle::gradients(&problem, &inputs, &cotangents, &[port.name]);
            let has_gradient = problem.has(port) && port.differentiable;
            assert_eq!(want.is_ok(), has_gradient, "{}", port.name);
        }
        assert!(matches!(along("nothing", vec![]), Error::Unknown { kind: "input", .. }));
        let want = oracle::gradients(&problem, &inputs, &cotangents, &["nothing"]).expect_err("an unknown input");
        assert!(matches!(want, Error::Unknown { kind: "differentiable input", .. }), "{want}");
    }
}

#[test]
fn shapes_that_pose_no_problem() {
    for (problem, ..) in questions() {
        let spec = problem.spec;
        let infer = |shapes: &_| Problem::infer(spec, problem.attrs.clone(), shapes, None);
        let good = shapes(&problem);
        for port in problem.inputs() {
            let mut other = good.clone();
            other.insert(port.name.to_owned(), [problem.shape(port), vec![1]].concat());
            assert!(matches!(infer(&other), Err(Error::Shape { .. })), "{}", port.name);
            let shares = |p: &&Port| p.name != port.name && (p.dims.contains(&port.dims[0]) || port.dims[0] == Dim::N);
            if !problem.inputs().any(|p| shares(&p)) {
                continue;
            }
            other.insert(port.name.to_owned(), wider(&problem, port));
            let error = infer(&other).expect_err("shapes that contradict one another");
            // the first input of an extent sets it, and the next one is the one that contradicts; the number of
            // sequences none sets
            let first =
                port.dims[0] != Dim::N && !problem.inputs().take_while(|p| p.name != port.name).any(|p| shares(&p));
            match &error {
                Error::Shape { port: name, .. } => assert_eq!(name == port.name, !first, "{error}"),
                // an extent that a constraint ties to another
                Error::Constraint { .. } => {}
                _ => panic!("{error}"),
            }
        }
        for port in spec.inputs {
            let mut fewer = good.clone();
            fewer.remove(port.name);
            let optional = problem.clone().set("absent", port.name).is_ok();
            let missing = Err(Error::Missing { op: spec.name, port: port.name.to_owned() });
            assert_eq!(infer(&fewer) == missing, !optional && problem.has(port), "{}", port.name);
        }
        let more = good.into_iter().chain([("nothing".to_owned(), vec![])]).collect();
        assert!(matches!(infer(&more), Err(Error::Unknown { kind: "input", .. })));
    }
}

#[test]
fn offsets_that_are_no_packing() {
    for (problem, ..) in questions() {
        let spec = problem.spec;
        // no states, and of what each sequence must have as many as there are
        let shapes = |problem: &Problem, sequences: usize| -> BTreeMap<String, Vec<usize>> {
            let given = problem.inputs().filter(|p| !p.presence.optional() || !p.dims.contains(&Dim::N));
            let extent = |dim: &Dim| if *dim == Dim::N { sequences } else { problem.size(*dim) };
            given.map(|p| (p.name.to_owned(), p.dims.iter().map(extent).collect())).collect()
        };
        let infer = |rows: usize, offsets: &[i64]| {
            let mut problem = problem.clone();
            problem.sizes.insert(Dim::B, rows);
            let shapes = shapes(&problem, offsets.len().saturating_sub(1));
            Problem::infer(spec, problem.attrs.clone(), &shapes, Some(offsets))
        };
        assert!(infer(1, &[0, 4, 4]).is_ok());
        for offsets in [&[][..], &[0], &[1, 4], &[0, 3], &[0, 5], &[0, 3, 2, 4], &[0, -1, 4], &[-4, 0]] {
            let error = infer(1, offsets).expect_err("no packing");
            let Error::Packing { tokens: 4, got, .. } = &error else { panic!("{error}") };
            assert_eq!(got, offsets);
        }
        assert!(matches!(infer(2, &[0, 4]), Err(Error::Packing { .. })));
    }
}

#[test]
fn extents_beyond_all_memory() {
    for (problem, ..) in questions() {
        let spec = problem.spec;
        for dim in spec.sizes {
            let mut large = problem.clone();
            large.sizes.insert(*dim, usize::MAX / 2);
            assert!(matches!(refusal(&large, &Arrays::new()), Error::Size { .. }), "{large}");
        }
        let mut endless = problem;
        endless.sequences = Some(vec![usize::MAX, 5]);
        assert!(matches!(refusal(&endless, &Arrays::new()), Error::Packing { .. }), "{endless}");
    }
}

#[test]
fn text_that_does_not_parse() {
    let mut p = problem("gated_delta_rule", SHAPE);
    for (key, value) in [("T", "-1"), ("K", "x"), ("scale", "small"), ("qk_l2norm", "1"), ("seqs", "3,4")] {
        let error = p.set(key, value).expect_err("no such value");
        assert!(matches!(&error, Error::Attribute { attr, got, .. } if attr == key && got == value), "{error}");
    }
    let error = p.set("absent", "q").expect_err("q is required");
    assert!(
        matches!(&error, Error::Unknown { kind: "optional input or final state", name, .. } if name == "q"),
        "{error}"
    );
    assert_eq!(p.set("D", "3"), Ok(false), "the op has no D");
    assert_eq!(p, problem("gated_delta_rule", SHAPE), "a refused field changes nothing");
    assert_eq!((p.set("scale", "0.5"), p.attr("scale")), (Ok(true), Value::Number(0.5)));
    assert_eq!((p.set("scale", "auto"), p.attrs.len()), (Ok(true), 0));
}

#[test]
fn extents_of_zero_are_refused_unless_there_is_nothing_to_do() {
    for (problem, ..) in questions() {
        for &dim in problem.spec.sizes {
            let mut empty = problem.clone();
            empty.sizes.insert(dim, 0);
            if dim == Dim::B || dim == Dim::T {
                empty.mend();
                let mut random = Random::new(0);
                let (inputs, cotangents) = (random.inputs(&empty), random.cotangents(&empty));
                let want: Vec<_> = empty.differentiable().map(|p| p.name).collect();
                let answer = oracle::gradients(&empty, &inputs, &cotangents, &want).expect("a question without tokens");
                let all = answer.outputs.iter().chain(&answer.gradients);
                all.for_each(|(name, array)| assert!(array.iter().all(|x| x.is_finite()), "{empty}: {name}"));
            } else {
                let error = refusal(&empty, &Arrays::new());
                assert!(matches!(error, Error::Constraint { label: "C0", .. }), "{empty}: {error}");
                empty.mend();
                assert_eq!(empty.validate(), Ok(()), "{empty}");
            }
        }
    }
}
