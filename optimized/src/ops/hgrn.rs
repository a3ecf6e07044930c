//! Launches of `kernels/scan/hgrn.cu`.

use reference::spec::Dim;
use reference::tensor::DType;

use crate::args::{Args, Ptr};
use crate::engine::Job;
use crate::error::Error;
use crate::shapes::Kernel;
use crate::shapes::hgrn::{HGRN, stepped};

/// Chunks of a piece, whatever the length of the sequence: sums go in another order where it is cut, so that a cut that
/// moved with the length would let tokens that write nothing change bits.
const PIECE: usize = 16;

pub(super) fn lay_out(job: &mut Job<'_>) -> Result<(), Error> {
    let gradients = ["d_x", "d_g", "d_h0"];
    if job.is_step() {
        return step(job);
    }
    let d = job.problem.size(Dim::D);
    let cut = cut(job.problem.size(Dim::N) * d.div_ceil(HGRN.width), job.multiprocessors());
    let most = if cut { PIECE } else { job.problem.longest().div_ceil(HGRN.chunk).max(1) };
    let pieces = job.pieces(HGRN.chunk, most)?;
    // a last state comes of the pieces' sums even of one piece, as it would of more
    let split = pieces.count > job.problem.size(Dim::N) || (cut && job.wants("ht"));
    let (forward, backward) = (job.wants_any(&["o", "ht", "d_g"]), job.wants_any(&gradients));
    let sums = |job: &mut Job<'_>, name, wanted: bool| {
        if split && wanted { job.workspace(name, DType::F32, pieces.count * d) } else { Ok(Ptr::NULL) }
    };
    let sums = [sums(job, "decays", true)?, sums(job, "ends", forward)?, sums(job, "backs", backward)?];
    // what the forward pass leaves behind for the gradient of the gate
    let states =
        if job.wants("d_g") { job.workspace("states", DType::F32, pieces.layout.total * d)? } else { Ptr::NULL };
    let workspaces = [states, sums[0], sums[1], sums[2]];
    let tables = [pieces.layout.offsets, pieces.layout.chunks, pieces.firsts, pieces.owners];
    let slices = d.div_ceil(HGRN.width);
    let args = args(job, workspaces, tables, slices)?;
    let passes = [("HgrnPieces", split), ("HgrnForward", forward), ("HgrnBackward", backward)];
    for (template, _) in passes.into_iter().filter(|(_, wanted)| *wanted) {
        job.launch(Kernel { template, scalar: job.scalar, ..HGRN }, pieces.count * slices, args.clone());
    }
    Ok(())
}

/// One token of each sequence, from a state to a state.
fn step(job: &mut Job<'_>) -> Result<(), Error> {
    let offsets = job.layout(HGRN.chunk)?.offsets;
    let slices = job.problem.size(Dim::D).div_ceil(stepped(job.scalar));
    let args = args(job, [Ptr::NULL; 4], [offsets, Ptr::NULL, Ptr::NULL, Ptr::NULL], slices)?;
    let kernel = Kernel { template: "HgrnStep", scalar: job.scalar, ..HGRN };
    job.launch(kernel, job.problem.size(Dim::N) * slices, args);
    Ok(())
}

/// Whether sequences are cut, of so many blocks with a sequence each. To cut costs 10 bytes an element where 6 would
/// do, so it must leave more than a third of the device idle not to.
const fn cut(blocks: usize, multiprocessors: usize) -> bool {
    3 * blocks < 2 * multiprocessors
}

/// `workspaces`: states, decays, ends, backs; `tables`: offsets, chunks, pieces, owners.
fn args(job: &mut Job<'_>, workspaces: [Ptr; 4], tables: [Ptr; 4], slices: usize) -> Result<Args, Error> {
    let (x, g, h0) = (job.input("x")?, job.input("g")?, job.input("h0")?);
    let (d_o, d_ht) = (job.input("d_o")?, job.input("d_ht")?);
    let outputs = ["o", "d_x", "d_g", "ht", "d_h0"].map(|name| job.output(name));
    let pointers = [&[x, g, d_o, h0, d_ht], &outputs[..], &workspaces, &tables].concat();
    Ok(Args::new(&pointers).ints(&[job.problem.size(Dim::D), slices]))
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn sequences_are_cut_only_where_they_leave_the_device_idle() {
        assert!(!cut(192, 132) && cut(87, 132) && !cut(88, 132));
    }
}
