//! The host build of our kernels, uploads and downloads included.

use benches::{CASES, request};
use criterion::{Criterion, criterion_group, criterion_main};
use fla_conformance::candidate::Reply;
use fla_conformance::candidate::open::in_process;

fn host_kernels(c: &mut Criterion) {
    let mut cpu = in_process("cpu").expect("the host is always there");
    for (pass, gradients) in [("forward", false), ("gradients", true)] {
        let mut group = c.benchmark_group(format!("host {pass}"));
        for text in CASES {
            let request = request(text, gradients).expect("the cases are valid");
            group.bench_function(text, |b| {
                b.iter(|| match cpu.call(&request) {
                    Reply::Done { tensors, .. } => tensors,
                    other => panic!("{text}: {other:?}"),
                });
            });
        }
        group.finish();
    }
}

criterion_group! { name = benches; config = Criterion::default().sample_size(10); targets = host_kernels }
criterion_main!(benches);
