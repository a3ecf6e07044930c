//! The shape of `kernels/scan/hgrn.cu`.

use super::{Kernel, Scalar, Target};

/// There is no key width; a block works on this many channels, in segments of `slice` tokens.
pub(crate) const HGRN: Kernel =
    Kernel { source: "scan/hgrn.cu", template: "", scalar: Scalar::F32, chunk: 64, width: 64, slice: 16 };

pub(super) fn kernels(_: Target) -> Vec<Kernel> {
    let of = |scalar| ["HgrnPieces", "HgrnForward", "HgrnBackward"].map(|template| Kernel { template, scalar, ..HGRN });
    Scalar::ALL.into_iter().flat_map(of).collect()
}
