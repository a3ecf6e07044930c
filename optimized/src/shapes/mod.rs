//! The kernels there are, and the tile shapes each comes in. Shared with the build script.
//!
//! Kernels are specialised on tile shapes, never on exact sizes: a key width uses the next padded width.

pub(crate) mod gate;
pub(crate) mod gated_delta_rule;
pub(crate) mod gla;
pub(crate) mod hgrn;
pub(crate) mod kda;
pub(crate) mod maps;
pub(crate) mod norm;
pub(crate) mod normalizer;
pub(crate) mod pieces;
pub(crate) mod prologue;
pub(crate) mod short_convolution;
pub(crate) mod simple_gla;
pub(crate) mod step;
pub(crate) mod windows;

/// Every kernel that a target may launch.
pub(crate) fn all(target: Target) -> Vec<Kernel> {
    let sources = [
        simple_gla::kernels,
        normalizer::kernels,
        pieces::kernels,
        maps::kernels,
        windows::kernels,
        gla::kernels,
        gated_delta_rule::kernels,
        kda::kernels,
        prologue::kernels,
        hgrn::kernels,
        gate::kernels,
        norm::kernels,
        short_convolution::kernels,
        step::kernels,
    ];
    sources.iter().flat_map(|kernels| kernels(target)).collect()
}

/// Storage type of a kernel's operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scalar {
    Bf16,
    F16,
    F32,
}

impl Scalar {
    pub(crate) const ALL: [Self; 3] = [Self::Bf16, Self::F16, Self::F32];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
            Self::F32 => "f32",
        }
    }

    const fn cpp(self) -> &'static str {
        match self {
            Self::Bf16 => "tile::bf16",
            Self::F16 => "tile::f16",
            Self::F32 => "float",
        }
    }
}

/// Machines that differ in the shapes they take. The host runs CUDA's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Cuda,
    Hip,
}

/// One instance of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Kernel {
    pub(crate) source: &'static str,
    pub(crate) template: &'static str,
    pub(crate) scalar: Scalar,
    /// Tokens of a chunk.
    pub(crate) chunk: usize,
    /// Padded key width.
    pub(crate) width: usize,
    /// Width of the slice of V that a block works on.
    pub(crate) slice: usize,
}

/// Storage types and padded key widths, each with each.
pub(crate) fn scalars_and_widths() -> impl Iterator<Item = (Scalar, usize)> {
    Scalar::ALL.into_iter().flat_map(|scalar| WIDTHS.map(|width| (scalar, width)))
}

impl Kernel {
    pub(crate) fn symbol(&self) -> String {
        let Self { template, chunk, width, slice, .. } = self;
        format!("{template}_{}_{chunk}_{width}_{slice}", self.scalar.name())
    }

    /// The line that makes the instance.
    pub(crate) fn entry(&self) -> String {
        let Self { template, chunk, width, slice, .. } = self;
        format!("TILE_ENTRY({}, {template}<{}, {chunk}, {width}, {slice}>)", self.symbol(), self.scalar.cpp())
    }
}

/// Padded key widths.
pub(crate) const WIDTHS: [usize; 3] = [64, 128, 256];

/// Chunk and slice of an op's kernels for one padded width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) chunk: usize,
    pub(crate) slice: usize,
}

pub(crate) const fn shape(chunk: usize, slice: usize) -> Shape {
    Shape { chunk, slice }
}
