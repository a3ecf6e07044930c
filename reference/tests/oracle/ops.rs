//! What holds of every op in the table, in every variant that its spec allows.

use std::collections::BTreeSet;
use std::path::Path;

use ndarray::{ArrayD, Axis};
use reference::oracle;
use reference::problem::Problem;
use reference::rounded::Rounding;
use reference::spec::{Dim, Domain, Level, OpSpec, Port, Precision};
use reference::specs;
use reference::tensor::Arrays;

use crate::agree::{IDENTITY, largest};
use crate::sample::{Random, problem};

/// Wide enough for matrix products, long enough for errors to add up.
const LARGER: &str = "B=2,T=40,H=2,HV=2,HQ=2,K=16,V=12,D=8,M=6,C=3,L=4,R=2,W=3,I=10,F=11,E=3,G=2,S=7,AQ=2,AH=1,AK=4";

fn names<'a>(ports: impl Iterator<Item = &'a Port>) -> Vec<&'static str> {
    ports.map(|p| p.name).collect()
}

fn inner(a: &ArrayD<f64>, b: &ArrayD<f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Numbers of the problem's own, which no other row of the table changes.
fn random(problem: &Problem) -> Random {
    let text = problem.to_string();
    Random::new(text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)))
}

/// A direction of length 1.
fn direction(random: &mut Random, array: &ArrayD<f64>) -> ArrayD<f64> {
    let u = random.array(array.shape());
    let length = inner(&u, &u).sqrt();
    if length > 0.0 { u / length } else { u }
}

#[test]
fn the_table_is_the_directory() {
    for (folder, level, suffix) in
        [("ops", Level::Op, ""), ("modules", Level::Module, ""), ("layers", Level::Layer, "_layer")]
    {
        the_table_is(folder, level, suffix);
    }
}

/// A row is named as its file, with the suffix of its level.
fn the_table_is(folder: &str, level: Level, suffix: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder);
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .expect("the sources are here")
        .map(|f| f.expect("a file").path().file_stem().expect("a name").to_string_lossy().into_owned())
        .filter(|name| name != "mod")
        .collect();
    let row = |s: &OpSpec| s.name.strip_suffix(suffix).unwrap_or(s.name).to_owned();
    let rows: Vec<_> = specs().filter(|s| s.level == level).map(row).collect();
    assert_eq!(rows, files.into_iter().collect::<Vec<_>>(), "rows of the table, in order, and its files");
}

#[test]
fn specs_refer_to_what_they_have() {
    for spec in specs() {
        let op = spec.name;
        let ports: Vec<_> = spec.inputs.iter().chain(spec.outputs).collect();
        assert_eq!(names(ports.iter().copied()).iter().collect::<BTreeSet<_>>().len(), ports.len(), "{op}: twice");
        for port in &ports {
            let known = |d: &Dim| *d == Dim::N || spec.sizes.contains(d);
            assert!(port.dims.iter().all(known), "{op}: a dimension of {}", port.name);
            assert!(port.domain_if.iter().all(|(flag, _)| spec.attr(flag).is_some()), "{op}: a flag of {}", port.name);
            let integer = port.precision == Precision::Index;
            let indices = matches!(port.domain, Domain::Blocks(_) | Domain::Symbols(_) | Domain::Mask);
            assert_eq!(integer, indices, "{op}: {}", port.name);
            if let Domain::Blocks(size) = port.domain {
                let listed = port.dims.contains(&Dim::T) && port.dims.last() != Some(&Dim::T) && !port.differentiable;
                assert!(listed && size.is_none_or(|s| spec.attr(s).is_some()), "{op}: {}", port.name);
            }
        }
        for state in spec.states {
            let (first, last) = (spec.input(state.initial), spec.output(state.last));
            assert_eq!(first.map(|p| p.dims), last.map(|p| p.dims), "{op}: {}", state.initial);
            assert!(first.is_some_and(|p| !OpSpec::per_token(p)), "{op}: {}", state.initial);
        }
        for (i, constraint) in spec.constraints.iter().enumerate() {
            assert_eq!(constraint.label, format!("C{}", i + 1), "{op}");
        }
    }
}

#[test]
fn the_variants_exercise_every_option() {
    for spec in specs() {
        let all = crate::variants::all(spec);
        assert!(all.iter().any(|p| p.sequences.is_some()) && all.iter().any(|p| p.size(Dim::T) == 0));
        for attr in spec.attrs {
            assert!(all.iter().any(|p| p.attrs.contains_key(attr.name)), "{}: {}", spec.name, attr.name);
        }
        // of models, which are made of layers, options are tried together
        for port in spec.inputs.iter().filter(|_| spec.level < Level::Model) {
            assert!(all.iter().any(|p| p.has(port)), "{}: {} is never given", spec.name, port.name);
        }
    }
}

/// What rounds to a grid inside, so that values jump, and has by definition the derivative of a straight-through
/// estimator: that is no limit of differences, and an error is a whole step or none; and what reads its input once more
/// without the derivative (cyclic flow attention's clock). Laws of modules and gradients of layers hold them instead.
const QUANTISED: [&str; 4] = ["bit_linear", "bitattn_layer", "bitnet_model", "cyclic_flow_attention_model"];

/// What has by definition a derivative that is not that of its values, but arithmetic as any: a loss of which a term is
/// left out whose gradient remains.
fn adds_a_gradient(problem: &Problem) -> bool {
    ["grpo", "l2warp"].contains(&problem.spec.name) || problem.flag("use_l2warp")
}

/// Central differences of order eight: their own error is below that of the subtraction, where the op is smooth.
fn differences(problem: &Problem, inputs: &Arrays, along: &Arrays, step: f64) -> Arrays {
    const WEIGHTS: [f64; 4] = [4.0 / 5.0, -1.0 / 5.0, 4.0 / 105.0, -1.0 / 280.0];
    let at = |x: f64| {
        let mut moved = inputs.clone();
        for (name, u) in along {
            moved.insert(name.clone(), &inputs[name] + &(u * x));
        }
        oracle::forward(problem, &moved).expect("a valid question")
    };
    let mut slope: Arrays = problem.produced().map(|p| (p.name.to_owned(), ArrayD::zeros(problem.shape(p)))).collect();
    for (i, weight) in WEIGHTS.into_iter().enumerate() {
        let x = step * (i + 1) as f64;
        let (right, left) = (at(x), at(-x));
        for (output, total) in &mut slope {
            *total += &((&right[output] - &left[output]) * (weight / step));
        }
    }
    slope
}

/// Inputs that are moved together: each by itself, or, of a model, which is made of layers, all at once.
fn together(problem: &Problem, ports: Vec<&'static Port>) -> Vec<Vec<&'static Port>> {
    if problem.spec.level == Level::Model { vec![ports] } else { ports.into_iter().map(|p| vec![p]).collect() }
}

/// Holds the derivative along these inputs against differences; `false` where differences cannot tell: near a kink or a
/// jump, or where large terms cancel, those at two steps differ by as much as they differ from the derivative.
fn holds(problem: &Problem, ports: &[&Port], random: &mut Random) -> bool {
    const STEP: f64 = 1.0 / 1024.0;
    let inputs = random.inputs(problem);
    let outputs = oracle::forward(problem, &inputs).expect("a valid question");
    let u: Arrays = ports.iter().map(|p| (p.name.to_owned(), direction(random, &inputs[p.name]))).collect();
    let exact = oracle::directional(problem, &inputs, &u).expect("a valid question");
    let found = differences(problem, &inputs, &u, STEP);
    let error = |output: &str| largest(&(&found[output] - &exact[output]));
    let scale = |output: &str| largest(&outputs[output]) + largest(&exact[output]);
    let close = |output: &str| error(output) <= IDENTITY * scale(output);
    let Some(off) = exact.keys().find(|output| !close(output)) else { return true };
    let again = differences(problem, &inputs, &u, STEP / 16.0);
    let along = names(ports.iter().copied());
    let what = format!("{problem}: {off} along {along:?}: off by {:e} of {:e}", error(off), scale(off));
    assert!(largest(&(&found[off] - &again[off])) >= error(off) / 4.0, "{what}, and differences agree");
    false
}

#[test]
fn directional_derivatives_are_central_differences() {
    let smooth = specs().filter(|s| !QUANTISED.contains(&s.name)).flat_map(crate::variants::all);
    for problem in smooth.filter(|p| !adds_a_gradient(p)) {
        let mut random = random(&problem);
        let moving = problem.inputs().filter(|p| p.precision != Precision::Index).collect();
        for ports in together(&problem, moving) {
            let met = (0..20).any(|_| holds(&problem, &ports, &mut random));
            assert!(met, "{problem}: no smooth place along {:?}", names(ports.iter().copied()));
        }
    }
}

#[test]
fn gradients_are_adjoint_to_directional_derivatives() {
    for problem in specs().flat_map(crate::variants::all) {
        let mut random = random(&problem);
        let (inputs, w) = (random.inputs(&problem), random.cotangents(&problem));
        let want = names(problem.differentiable());
        let answer = oracle::gradients(&problem, &inputs, &w, &want).expect("a valid question");
        assert_eq!(answer.outputs, oracle::forward(&problem, &inputs).expect("a valid question"), "{problem}");
        assert_eq!(answer.gradients.len(), want.len(), "{problem}");
        for ports in together(&problem, problem.differentiable().collect()) {
            let names = names(ports.iter().copied());
            let u: Arrays = names.iter().map(|&n| (n.to_owned(), random.array(inputs[n].shape()))).collect();
            let ju = oracle::directional(&problem, &inputs, &u).expect("a valid question");
            let left: f64 = ju.iter().map(|(output, ju)| inner(ju, &w[&format!("d_{output}")])).sum();
            let right: f64 = u.iter().map(|(name, u)| inner(u, &answer.gradients[&format!("d_{name}")])).sum();
            // what remains of terms as large as these, as of the only term of a normalised sum
            let size = |(output, y): (&String, &ArrayD<f64>)| {
                inner(&y.mapv(f64::abs), &w[&format!("d_{output}")].mapv(f64::abs))
            };
            let beside: f64 = answer.outputs.iter().map(size).sum();
            let close = (left - right).abs() <= IDENTITY * left.abs().max(right.abs()).max(beside);
            assert!(close, "{problem}: {names:?}: <Ju, w> = {left} but <u, Jᵀw> = {right}");
        }
    }
}

#[test]
fn a_missing_cotangent_is_zero() {
    for spec in specs() {
        let problem = crate::variants::at(spec, LARGER).remove(0);
        let mut random = Random::new(3);
        let (inputs, w) = (random.inputs(&problem), random.cotangents(&problem));
        let want = names(problem.differentiable());
        let ask = |w: &Arrays| oracle::gradients(&problem, &inputs, w, &want).expect("a valid question").gradients;
        for output in w.keys() {
            let (mut zeroed, mut without) = (w.clone(), w.clone());
            zeroed.insert(output.clone(), ArrayD::zeros(w[output].raw_dim()));
            without.remove(output);
            assert_eq!(ask(&zeroed), ask(&without), "{problem}: {output}");
        }
    }
}

#[test]
fn what_is_not_finite_stays_in_its_row() {
    for spec in specs() {
        let problem = crate::variants::at(spec, LARGER).remove(0);
        let mut random = Random::new(4);
        let (inputs, w) = (random.inputs(&problem), random.cotangents(&problem));
        let mut poisoned = inputs.clone();
        for port in problem.inputs().filter(|p| p.precision != Precision::Index) {
            if let Some(axis) = port.dims.iter().position(|d| matches!(d, Dim::B | Dim::N)) {
                let all = poisoned.get_mut(port.name).expect("a given input");
                all.index_axis_mut(Axis(axis), 0).fill(f64::NAN);
            }
        }
        let want: Vec<_> = names(problem.differentiable().filter(|p| matches!(p.dims[0], Dim::B | Dim::N)));
        let ask = |inputs: &Arrays| oracle::gradients(&problem, inputs, &w, &want).expect("a valid question");
        let (clean, dirty) = (ask(&inputs), ask(&poisoned));
        let second = |x: &Arrays| x.values().map(|a| a.index_axis(Axis(0), 1).to_owned()).collect::<Vec<_>>();
        assert_eq!(second(&clean.outputs), second(&dirty.outputs), "{problem}");
        assert_eq!(second(&clean.gradients), second(&dirty.gradients), "{problem}");
        if poisoned.values().all(|a| a.iter().all(|x| !x.is_nan())) {
            continue; // symbols and weights alone
        }
        let row = dirty.outputs[spec.outputs[0].name].index_axis(Axis(0), 0).to_owned();
        let last = || row.index_axis(Axis(0), row.len_of(Axis(0)) - 1).iter().all(|x| x.is_nan());
        // without a state, a token may have nothing to look at, or constants beside what it sees
        let seen = row.iter().any(|x| x.is_nan()) && (spec.states.is_empty() || last());
        assert!(seen, "{problem}");
    }
}

fn rms(x: &Arrays, y: &Arrays) -> Vec<f64> {
    let mean = |a: &ArrayD<f64>| inner(a, a) / a.len() as f64;
    x.iter().map(|(name, x)| mean(&(x - &y[name])).sqrt()).collect()
}

/// Outputs and gradients of a rounded run, under one map.
fn rounded(problem: &Problem, unit_roundoff: f64, seed: u64) -> Arrays {
    let mut random = Random::new(5);
    let (inputs, w) = (random.inputs(problem), random.cotangents(problem));
    let rounding = Rounding { operand: unit_roundoff, accumulate: unit_roundoff, seed, ..Rounding::default() };
    let want = names(problem.differentiable());
    let answer = oracle::rounded(problem, &inputs, &w, &want, &rounding).expect("a valid question");
    answer.outputs.into_iter().chain(answer.gradients).collect()
}

/// Rounded runs whose errors are pooled, and how many where so few do not decide.
const RUNS: u64 = 8;
const MANY: u64 = 96;

#[test]
fn rounding_errors_are_proportional_to_the_unit_roundoff() {
    // of models, which are made of layers, the layers are asked
    let smooth = |s: &&'static OpSpec| s.level < Level::Model && !QUANTISED.contains(&s.name);
    for problem in specs().filter(smooth).map(|s| crate::variants::at(s, LARGER).remove(0)) {
        let exact = rounded(&problem, 0.0, 0);
        let (coarse, fine) = (2f64.powi(-12), 2f64.powi(-20));
        // gradients of a few elements are a few random numbers, so several runs count
        let errors = |u, count: u64| -> Vec<f64> {
            let runs: Vec<_> = (1..=count).map(|seed| rms(&rounded(&problem, u, seed), &exact)).collect();
            let mean = |i: usize| (runs.iter().map(|run| run[i] * run[i]).sum::<f64>() / count as f64).sqrt();
            (0..exact.len()).map(mean).collect()
        };
        let ratios = |count| -> Vec<f64> {
            errors(coarse, count).into_iter().zip(errors(fine, count)).map(|(coarse, fine)| coarse / fine).collect()
        };
        let proportional = |ratio: &f64| (128.0..512.0).contains(ratio);
        let (few, mut many) = (ratios(RUNS), None);
        for (i, name) in exact.keys().enumerate().filter(|(i, _)| !proportional(&few[*i])) {
            let ratio = many.get_or_insert_with(|| ratios(MANY))[i];
            assert!(proportional(&ratio), "{problem}: {name}: errors {ratio} times as large for a ratio of 256");
        }
        let single = errors(f64::from(f32::EPSILON) / 2.0, RUNS);
        let inputs = Random::new(5).inputs(&problem);
        let plain = oracle::forward_f32(&problem, &inputs).expect("a valid question");
        for (name, error) in plain.keys().zip(rms(&plain, &exact)) {
            let model = single[exact.keys().position(|k| k == name).expect("an output")];
            assert!(error > 0.0 && error < 4.0 * model, "{problem}: {name}: f32 errs by {error}, modelled {model}");
        }
    }
}

#[test]
fn answers_depend_on_the_seed_but_not_on_the_number_of_threads() {
    let on = |threads: usize, ask: &(dyn Fn() -> Arrays + Sync)| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads").install(ask)
    };
    for problem in specs().map(|s| crate::variants::at(s, LARGER).remove(0)) {
        let seed = |seed| move |p: &Problem| rounded(p, 1.0 / 256.0, seed);
        let one = seed(1);
        assert_eq!(on(1, &|| one(&problem)), on(3, &|| one(&problem)), "{problem}");
        let first = problem.spec.outputs[0].name;
        // two runs may round the few numbers of a loss alike, four that divide the chances do not
        assert!((2..5).any(|other| one(&problem)[first] != seed(other)(&problem)[first]), "{problem}");
        let exact = |p: &Problem| rounded(p, 0.0, 0);
        assert_eq!(on(1, &|| exact(&problem)), on(3, &|| exact(&problem)), "{problem}");
    }
}

#[test]
fn a_problem_is_its_text() {
    for spec in specs() {
        for written in crate::variants::all(spec) {
            let fields: Vec<_> = written.fields().into_iter().map(|(k, v)| format!("{k}={v}")).collect();
            assert_eq!(problem(spec.name, &fields.join(",")), written);
            let shapes = written.inputs().map(|p| (p.name.to_owned(), written.shape(p))).collect();
            let cu_seqlens = written.cu_seqlens();
            let inferred = Problem::infer(spec, written.attrs.clone(), &shapes, cu_seqlens.as_deref());
            assert_eq!(inferred.expect("a valid question"), written);
        }
    }
}
