//! Launches of `kernels/chunk/normalizer.cu` around those of `simple_gla`.

use reference::spec::Dim;
use reference::tensor::DType;

use super::simple_gla::Pass;
use super::step;
use crate::args::{Args, Ptr};
use crate::engine::Job;
use crate::error::Error;
use crate::shapes::Scalar;
use crate::shapes::normalizer::{SOURCE, SPLIT, sums};
use crate::shapes::simple_gla::NUMERATOR;
use crate::shapes::step::NORMALIZED;

pub(super) fn lay_out(job: &mut Job<'_>) -> Result<(), Error> {
    if job.is_step() {
        return step::lay_out(job, NORMALIZED, Ptr::NULL);
    }
    let mut pass = Pass::new(job, [Ptr::NULL; 2])?;
    let [b, t, h, v] = [Dim::B, Dim::T, Dim::H, Dim::V].map(|d| job.problem.size(d));
    let (rows, storage, mut d_o) = (b * t * h, job.storage(), job.input("d_o")?);
    let divides = job.wants_any(&["d_q", "d_k", "d_v", "d_h0", "d_z0"]) && d_o != Ptr::NULL;
    pass.divisor = job.workspace("divisor", DType::F32, rows)?;
    pass.o = if divides { job.output_or_workspace("o", storage, rows * v)? } else { job.output("o") };
    let offsets = job.layout(sums(job.target).chunk)?.offsets;
    let mut e = Ptr::NULL;
    if pass.o != Ptr::NULL || job.wants("zt") {
        denominator(job, &pass, offsets)?;
    }
    if pass.o != Ptr::NULL || pass.gradients || job.wants("ht") {
        pass.forward(job)?;
    }
    if divides {
        let d_n = job.workspace("d_n", storage, rows * v)?;
        e = job.workspace("e", DType::F32, rows)?;
        let args = Args::new(&[pass.o, d_o, pass.divisor, d_n, e]).long(rows).ints(&[v]).float(pass.scale);
        job.launch(job.kernel(SOURCE, "NormalizerSplit", SPLIT, 64), rows.div_ceil(SPLIT.chunk), args);
        d_o = d_n;
    }
    if job.scalar != Scalar::F32 {
        let elements = b * t * h * job.problem.size(Dim::K);
        for (d, name, of) in [(0, "n_q", "d_q"), (1, "n_k", "d_k")] {
            if job.wants(of) {
                pass.d_keys[d] = job.workspace(name, DType::F32, elements)?;
            }
        }
        pass.templates = NUMERATOR;
    }
    pass.backward(job, d_o)?;
    if job.wants_any(&["d_q", "d_k", "d_z0"]) { of_denominator(job, offsets, e, pass.d_keys) } else { Ok(()) }
}

/// Launches one block for each sequence and head.
fn each_head(job: &mut Job<'_>, template: &'static str, args: Args) -> Result<(), Error> {
    let [n, h, k] = [Dim::N, Dim::H, Dim::K].map(|d| job.problem.size(d));
    let width = job.width(k)?;
    job.launch(job.kernel(SOURCE, template, sums(job.target), width), n * h, args);
    Ok(())
}

fn denominator(job: &mut Job<'_>, pass: &Pass, offsets: Ptr) -> Result<(), Error> {
    let [q, k, z0] = ["q", "k", "z0"].map(|name| job.input(name));
    let [h, width] = [Dim::H, Dim::K].map(|d| job.problem.size(d));
    let args = Args::new(&[q?, k?, z0?, pass.divisor, job.output("zt"), offsets]);
    let args = args.ints(&[h, width, usize::from(job.problem.reversed())]).float(pass.scale);
    each_head(job, "NormalizerForward", args)
}

/// What the denominator adds to the gradients by q and k, and that by its state.
fn of_denominator(job: &mut Job<'_>, offsets: Ptr, e: Ptr, [n_q, n_k]: [Ptr; 2]) -> Result<(), Error> {
    let [q, k, z0, d_zt] = ["q", "k", "z0", "d_zt"].map(|name| job.input(name));
    let [d_q, d_k, d_z0] = ["d_q", "d_k", "d_z0"].map(|name| job.output(name));
    let [h, width] = [Dim::H, Dim::K].map(|d| job.problem.size(d));
    let args = Args::new(&[q?, k?, z0?, d_zt?, e, n_q, n_k, d_q, d_k, d_z0, offsets]);
    let args = args.ints(&[h, width, usize::from(job.problem.reversed())]);
    each_head(job, "NormalizerBackward", args)
}
