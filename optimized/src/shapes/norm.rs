//! Shapes of `kernels/rows/norm.cu`.

use super::{Kernel, Scalar, Target};

pub(crate) const SOURCE: &str = "rows/norm.cu";

/// Columns of a block that adds up partial sums.
pub(crate) const SUMMED: usize = 32;

/// One width: the widest row, 0 being any; threads of a row and of a block, forward and backward.
struct Width(usize, [(usize, usize); 2]);

/// Backward has more to keep, and takes twice the threads for a row where it can.
const WIDTHS: [Width; 9] = [
    Width(64, [(8, 256); 2]),
    Width(128, [(16, 256); 2]),
    Width(256, [(16, 256), (32, 256)]),
    Width(512, [(32, 256), (64, 256)]),
    Width(1024, [(64, 256), (128, 256)]),
    Width(2048, [(128, 256), (256, 256)]),
    Width(4096, [(256, 256), (512, 512)]),
    Width(12288, [(512, 512); 2]),
    Width(0, [(512, 512); 2]),
];

/// The shape for rows of `d` elements; a kernel's chunk is the threads of a row, its slice those of a block.
pub(crate) fn kernel(template: &'static str, scalar: Scalar, d: usize) -> Kernel {
    let fits = |Width(width, ..): &&Width| *width == 0 || d <= *width;
    instance(template, scalar, WIDTHS.iter().find(fits).unwrap_or(&WIDTHS[WIDTHS.len() - 1]))
}

fn instance(template: &'static str, scalar: Scalar, &Width(width, shapes): &Width) -> Kernel {
    let (chunk, slice) = shapes[usize::from(template != "NormForward")];
    Kernel { source: SOURCE, template, scalar, chunk, width, slice }
}

pub(super) fn kernels(_: Target) -> Vec<Kernel> {
    let mut kernels = Vec::new();
    for scalar in Scalar::ALL {
        for width in &WIDTHS {
            kernels.extend(["NormForward", "NormBackward"].map(|template| instance(template, scalar, width)));
        }
        kernels.push(kernel("NormSums", scalar, 1));
    }
    kernels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_is_compiled_and_wide_enough() {
        let all = kernels(Target::Cuda);
        for (scalar, d) in Scalar::ALL.into_iter().flat_map(|s| [1, 128, 129, 2048, 8193, 100_000].map(|d| (s, d))) {
            let chosen = kernel("NormBackward", scalar, d);
            assert!(all.contains(&chosen), "{chosen:?}");
            assert!(chosen.width == 0 || chosen.width >= d, "{chosen:?} is too narrow for {d}");
        }
    }
}
