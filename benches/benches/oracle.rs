//! The oracle: truth and gradients in f64, and one rounded run of the floor.

use benches::{CASES, request};
use criterion::{Criterion, criterion_group, criterion_main};
use fla_conformance::measure::rounding;
use reference::oracle;
use reference::tensor::{Arrays, Tensors};

fn widen(tensors: &Tensors) -> Arrays {
    tensors.iter().map(|(name, t)| (name.clone(), t.to_array())).collect()
}

fn run(c: &mut Criterion) {
    for text in CASES {
        let request = request(text, true).expect("the cases are valid");
        let (problem, inputs, cotangents) = (&request.problem, widen(&request.inputs), widen(&request.cotangents));
        let want: Vec<&str> = problem.differentiable().map(|p| p.name).collect();
        let floor = rounding(request.dtype, 0);
        let valid = "the question fits the case";
        let mut group = c.benchmark_group(format!("oracle {}", problem.spec.name));
        group.bench_function("forward", |b| b.iter(|| oracle::forward(problem, &inputs).expect(valid)));
        group.bench_function("gradients", |b| {
            b.iter(|| oracle::gradients(problem, &inputs, &cotangents, &want).expect(valid));
        });
        group.bench_function("rounded", |b| {
            b.iter(|| oracle::rounded(problem, &inputs, &cotangents, &want, &floor).expect(valid));
        });
        group.finish();
    }
}

criterion_group! { name = benches; config = Criterion::default().sample_size(10); targets = run }
criterion_main!(benches);
