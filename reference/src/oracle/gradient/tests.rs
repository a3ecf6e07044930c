use super::*;
use crate::spec::{Domain, OpSpec, Value};
use crate::specs;

fn waves(shape: &[usize], phase: usize, domain: Domain) -> ArrayD<f64> {
    let mut i = 7 * phase;
    ArrayD::from_shape_simple_fn(shape, || {
        i += 1;
        let x = 0.6 * (i as f64).sin() - 0.1;
        match domain {
            Domain::Uniform(low, high) => low + (high - low) * (0.5 + 0.7 * x),
            Domain::LogDecay | Domain::Against(_) => -x.abs(),
            Domain::Fraction | Domain::LogRate => x.abs(),
            Domain::Normal | Domain::UnitKey | Domain::Covariance | Domain::Weight => x,
            Domain::Blocks(_) => 0.0,
            Domain::Symbols(_) | Domain::Mask => (i % 2) as f64,
        }
    })
}

fn question(spec: &'static OpSpec, flags: bool) -> (Problem, Arrays, Arrays) {
    let mut problem = Problem::new(spec, &[]);
    let switches = spec.attrs.iter().filter(|a| flags && matches!(a.default, Value::Flag(_)));
    problem.attrs = switches.map(|a| (a.name, Value::Flag(true))).collect();
    problem.sizes = spec.sizes.iter().map(|&d| (d, if d == Dim::T { 9 } else { 2 })).collect();
    problem.mend();
    let named = |ports: Vec<&Port>, prefix: &str| -> Arrays {
        let array =
            |(i, p): (usize, &Port)| (format!("{prefix}{}", p.name), waves(&problem.shape(p), i, problem.domain(p)));
        ports.into_iter().enumerate().map(array).collect()
    };
    let inputs = named(problem.inputs().collect(), "");
    let cotangents = named(problem.produced().collect(), "d_");
    (problem, inputs, cotangents)
}

#[test]
fn segments_of_any_length_give_the_same_gradients() {
    let resumable = specs().filter(|s| !s.states.is_empty());
    for (spec, flags) in resumable.flat_map(|s| [(s, false), (s, true)]) {
        let (problem, inputs, cotangents) = question(spec, flags);
        let want: Vec<_> = problem.differentiable().collect();
        for unit in slice::units(&problem) {
            let work = Work::new(&problem, &unit, &inputs, &cotangents, &want, false);
            let pieces = Work { budget: 1, ..Work::new(&problem, &unit, &inputs, &cotangents, &want, false) };
            assert_eq!((work.segments().len(), pieces.segments().len()), (1, 9), "{problem}");
            let ((outputs, whole), (joined, summed)) = (work.run(), pieces.run());
            // a state seen from another place (turned by its position) is another sum
            for (name, whole, pieces) in
                outputs.iter().map(|(n, a)| (n, a, &joined[n])).chain(whole.iter().map(|(n, a)| (n, a, &summed[n])))
            {
                let error = (whole - pieces).mapv(f64::abs).sum();
                assert!(error <= 1e-12 * whole.mapv(f64::abs).sum(), "{problem}: {name} differs by {error}");
            }
        }
    }
}

#[test]
fn outputs_of_a_few_tokens_at_a_time_give_the_same_gradients() {
    let mut cut = Vec::new();
    for (spec, flags) in specs().filter(|s| s.states.is_empty()).flat_map(|s| [(s, false), (s, true)]) {
        let (problem, inputs, cotangents) = question(spec, flags);
        let want: Vec<_> = problem.differentiable().collect();
        let names: Vec<_> = want.iter().map(|p| p.name).collect();
        for unit in slice::units(&problem) {
            let work = |budget| Work { budget, ..Work::new(&problem, &unit, &inputs, &cotangents, &want, false) };
            let (whole, pieces) = (work(BUDGET), work(1));
            let parts = [&whole, &pieces].map(|w| w.rows(9, &w.inputs, &names).len());
            assert_eq!(parts[0], 1, "{problem}");
            if parts[1] == 9 && !cut.contains(&spec.name) {
                cut.push(spec.name);
            }
            let (whole, pieces) = (whole.run().1, pieces.run().1);
            for (name, gradient) in whole {
                let error = (&gradient - &pieces[name]).mapv(f64::abs).sum();
                assert!(error <= 1e-12 * gradient.mapv(f64::abs).sum(), "{problem}: d_{name} differs by {error}");
            }
        }
    }
    let attention =
        "attn based deltaformer dsa forgetting_attn moba nsa parallax path_attn rebased stickbreaking_attn wall_attn";
    for op in attention.split(' ') {
        assert!(cut.contains(&op), "{op} records what is not asked for; cut are {cut:?}");
    }
}
