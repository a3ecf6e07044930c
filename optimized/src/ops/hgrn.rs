//! Launches of `kernels/scan/hgrn.cu`.

use reference::spec::Dim;
use reference::tensor::DType;

use crate::args::{Args, Ptr};
use crate::engine::{Job, Pieces};
use crate::error::Error;
use crate::shapes::Kernel;
use crate::shapes::hgrn::HGRN;

/// Blocks a multiprocessor that pieces are cut for: so many fit forwards, and measured better than three backwards.
const BLOCKS: usize = 4;

/// Chunks of a piece at least: a piece costs a block's start, and each later piece reads what it does. Sums go in another
/// order where a sequence is cut, so that what is appended to a short one must not have it cut.
const LEAST: usize = 16;

pub(super) fn lay_out(job: &mut Job<'_>) -> Result<(), Error> {
    let d = job.problem.size(Dim::D);
    let most = most(job.problem.size(Dim::N) * d.div_ceil(HGRN.width), job.problem.size(Dim::T), job.multiprocessors());
    let pieces = job.pieces(HGRN.chunk, most)?;
    let split = pieces.count > job.problem.size(Dim::N);
    let [forward, backward] = [&["o", "ht", "d_g"], &["d_x", "d_g", "d_h0"]].map(|names| job.wants_any(names));
    let sums = |job: &mut Job<'_>, name, wanted: bool| {
        if split && wanted { job.workspace(name, DType::F32, pieces.count * d) } else { Ok(Ptr::NULL) }
    };
    let sums = [sums(job, "decays", true)?, sums(job, "ends", forward)?, sums(job, "backs", backward)?];
    // what the forward pass leaves behind for the gradient of the gate
    let states =
        if job.wants("d_g") { job.workspace("states", DType::F32, pieces.layout.total * d)? } else { Ptr::NULL };
    let args = args(job, &pieces, sums, states)?;
    let passes = [("HgrnPieces", split), ("HgrnForward", forward), ("HgrnBackward", backward)];
    for (template, _) in passes.into_iter().filter(|(_, wanted)| *wanted) {
        let kernel = Kernel { template, scalar: job.scalar, ..HGRN };
        job.launch(kernel, pieces.count * d.div_ceil(HGRN.width), args.clone());
    }
    Ok(())
}

/// Chunks of a piece, for this many blocks with a sequence each. To cut costs 10 bytes an element where 6 would do, so
/// it must leave more than a third of the device idle not to.
fn most(blocks: usize, tokens: usize, multiprocessors: usize) -> usize {
    let chunks = tokens.div_ceil(HGRN.chunk).max(1);
    let pieces = if 3 * blocks < 2 * multiprocessors { BLOCKS * multiprocessors / blocks.max(1) } else { 1 };
    chunks.div_ceil(pieces).max(LEAST)
}

fn args(job: &mut Job<'_>, pieces: &Pieces, [decays, ends, backs]: [Ptr; 3], states: Ptr) -> Result<Args, Error> {
    let d = job.problem.size(Dim::D);
    let (x, g, h0) = (job.input("x")?, job.input("g")?, job.input("h0")?);
    let (d_o, d_ht) = (job.input("d_o")?, job.input("d_ht")?);
    let [o, d_x, d_g, ht, d_h0] = ["o", "d_x", "d_g", "ht", "d_h0"].map(|name| job.output(name));
    let outputs = [o, d_x, d_g, ht, d_h0, states, decays, ends, backs];
    let tables = [pieces.layout.offsets, pieces.layout.chunks, pieces.firsts, pieces.owners];
    let pointers: Vec<Ptr> = [x, g, d_o, h0, d_ht].into_iter().chain(outputs).chain(tables).collect();
    Ok(Args::new(&pointers).ints(&[d, d.div_ceil(HGRN.width)]))
}

#[cfg(test)]
mod tests {
    use super::most;

    #[test]
    fn sequences_are_cut_only_where_they_leave_the_device_idle() {
        assert_eq!(most(192, 8192, 132), 128, "a whole sequence");
        assert_eq!(most(8, 131_072, 132), 32, "64 pieces of each");
        assert_eq!(most(1, 2000, 132), 16, "never less");
    }
}
