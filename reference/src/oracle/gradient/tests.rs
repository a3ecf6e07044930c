use super::*;
use crate::call::Call;
use crate::spec::{Dim, Domain, Level, OpSpec, Value};
use crate::unit::Outputs;
use crate::{function, ops, oracle, specs};

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
    question_of(spec, flags, 9)
}

fn question_of(spec: &'static OpSpec, flags: bool, tokens: usize) -> (Problem, Arrays, Arrays) {
    let mut problem = Problem::new(spec, &[]);
    let switches = spec.attrs.iter().filter(|a| flags && matches!(a.default, Value::Flag(_)));
    problem.attrs = switches.map(|a| (a.name, Value::Flag(true))).collect();
    problem.sizes = spec.sizes.iter().map(|&d| (d, if d == Dim::T { tokens } else { 2 })).collect();
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
            // what cancels is as far from zero as the rounding of what it is made of
            let largest = whole.values().map(|a| a.mapv(f64::abs).sum()).fold(0.0, f64::max);
            // a state seen from another place (turned by its position) is another sum
            for (name, whole, pieces) in
                outputs.iter().map(|(n, a)| (n, a, &joined[n])).chain(whole.iter().map(|(n, a)| (n, a, &summed[n])))
            {
                let error = (whole - pieces).mapv(f64::abs).sum();
                let scale = whole.mapv(f64::abs).sum().max(1e-3 * largest);
                assert!(error <= 1e-12 * scale, "{problem}: {name} differs by {error}");
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

/// Cut at the borders of chunks, with what passes by added again, an op inside a layer is what it is whole.
#[test]
fn layers_in_runs_where_nothing_rounds_are_exact() {
    let exactly = Rounding { operand: 0.0, accumulate: 0.0, seed: 1, ..Rounding::default() };
    for spec in specs().filter(|s| s.level == Level::Layer) {
        let (problem, inputs, cotangents) = question_of(spec, false, CHUNK + 6);
        let want: Vec<_> = problem.differentiable().map(|p| p.name).collect();
        let truth = oracle::gradients(&problem, &inputs, &cotangents, &want).expect("a valid question");
        let cut = oracle::rounded(&problem, &inputs, &cotangents, &want, &exactly).expect("a valid question");
        let all = truth.outputs.iter().map(|(n, a)| (n, a, &cut.outputs[n]));
        for (name, whole, pieces) in all.chain(truth.gradients.iter().map(|(n, a)| (n, a, &cut.gradients[n]))) {
            let error = (whole - pieces).mapv(f64::abs).sum();
            assert!(error <= 1e-10 * whole.mapv(f64::abs).sum(), "{problem}: {name} differs by {error}");
        }
    }
}

/// An op asked for by something else.
fn asks<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let alone = |name| x.matrix(name).insert_axis(Axis(1));
    let mut answers = Call::of(&ops::delta_rule::SPEC)
        .with("q", alone("q"))
        .with("k", alone("k"))
        .with("v", alone("v"))
        .with("beta", x.vector("beta").insert_axis(Axis(1)))
        .with("h0", x.matrix("h0").insert_axis(Axis(0)))
        .run();
    let (o, h) = (answers.take("o"), answers.take("ht"));
    vec![o.index_axis_move(Axis(1), 0), h.index_axis_move(Axis(0), 0)]
}

static ASKS: OpSpec = OpSpec { level: Level::Layer, function: function!(asks), ..ops::delta_rule::SPEC };

#[test]
fn an_op_inside_a_layer_costs_what_it_costs_alone() {
    let errors = |spec: &'static OpSpec| -> Vec<f64> {
        let (problem, inputs, cotangents) = question_of(spec, false, 3 * CHUNK);
        let want: Vec<_> = problem.differentiable().map(|p| p.name).collect();
        let truth = oracle::gradients(&problem, &inputs, &cotangents, &want).expect("a valid question");
        let rounding = |seed| Rounding { operand: 1.0 / 512.0, accumulate: 0.0, seed, ..Rounding::default() };
        let mut squares = vec![0.0; 2 + want.len()];
        for seed in 1..=24 {
            let run =
                oracle::rounded(&problem, &inputs, &cotangents, &want, &rounding(seed)).expect("a valid question");
            let differences = [(&run.outputs, &truth.outputs), (&run.gradients, &truth.gradients)];
            let each = differences.iter().flat_map(|(a, b)| a.iter().map(|(n, a)| (a - &b[n]).mapv(|x| x * x).sum()));
            squares.iter_mut().zip(each).for_each(|(sum, square)| *sum += square);
        }
        squares.into_iter().map(f64::sqrt).collect()
    };
    for (inside, alone) in errors(&ASKS).into_iter().zip(errors(&ops::delta_rule::SPEC)) {
        assert!((0.8..1.25).contains(&(inside / alone)), "{inside} inside a layer, {alone} alone");
    }
}
