//! The shape of `kernels/scan/hgrn.cu`.

use super::{Kernel, Scalar, Target};

/// There is no key width; a block works on this many channels, in segments of `slice` tokens.
pub(crate) const HGRN: Kernel =
    Kernel { source: "scan/hgrn.cu", template: "", scalar: Scalar::F32, chunk: 64, width: 64, slice: 16 };

/// Channels of a block that takes one token of each: 256 threads with 16 bytes each.
pub(crate) const fn stepped(scalar: Scalar) -> usize {
    256 * if matches!(scalar, Scalar::F32) { 4 } else { 8 }
}

pub(super) fn kernels(_: Target) -> Vec<Kernel> {
    let templates = ["HgrnPieces", "HgrnForward", "HgrnBackward", "HgrnStep"];
    let of = |scalar| templates.map(|template| Kernel { template, scalar, ..HGRN });
    Scalar::ALL.into_iter().flat_map(of).collect()
}
