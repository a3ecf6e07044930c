//! Launches of `kernels/step`: one token of each sequence, from a state to a state.

use reference::spec::Dim;

use super::prologue::value_heads;
use crate::args::{Args, Ptr};
use crate::engine::Job;
use crate::error::Error;
use crate::shapes::step::{SLICE, Step};

/// The whole call, which [`Job::is_step`]. `g_gamma`: a log decay for each head, or null.
pub(super) fn lay_out(job: &mut Job<'_>, step: Step, g_gamma: Ptr) -> Result<(), Error> {
    let [n, h, k, v] = [Dim::N, Dim::H, Dim::K, Dim::V].map(|d| job.problem.size(d));
    let (hv, width, slices) = (value_heads(job), job.width(k)?, v.div_ceil(SLICE.slice));
    let [a_log, dt_bias] = match job.problem.flag("softplus_gate") {
        true => [job.input("A_log")?, job.input("dt_bias")?],
        false => [Ptr::NULL; 2],
    };
    let mut pointers = Vec::new();
    for name in ["q", "k", "v", "g", "gv"] {
        pointers.push(job.input(name)?);
    }
    pointers.extend([g_gamma, job.input("beta")?, a_log, dt_bias, job.input("h0")?, job.input("z0")?]);
    pointers.extend(["o", "ht", "zt"].map(|name| job.output(name)));
    pointers.push(offsets(job)?);
    let factor = match (job.problem.flag("beta_sigmoid"), job.problem.flag("allow_neg_eigval")) {
        (false, _) => 0.0,
        (true, false) => 1.0,
        (true, true) => 2.0,
    };
    let scale = job.problem.number("scale").unwrap_or_else(|| (k as f64).powf(-0.5)) as f32;
    let unit = usize::from(job.problem.flag("qk_l2norm"));
    let args = Args::new(&pointers).ints(&[h, hv, k, v, slices, unit]).float(scale).float(factor);
    job.launch(job.kernel(step.source, step.template, SLICE, width), n * hv * slices, args);
    Ok(())
}

/// Where sequences begin; null where every one has a token.
fn offsets(job: &mut Job<'_>) -> Result<Ptr, Error> {
    let each = job.problem.offsets().windows(2).all(|bounds| bounds[1] - bounds[0] == 1);
    if each { Ok(Ptr::NULL) } else { Ok(job.layout(SLICE.chunk)?.offsets) }
}
