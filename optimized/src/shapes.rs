//! The kernels there are, and the tile shapes each comes in. Shared with the build script.
//!
//! Kernels are specialised on tile shapes, never on exact sizes: a key width uses the next padded width.

/// Storage type of a kernel's operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scalar {
    Bf16,
    F16,
    F32,
}

impl Scalar {
    const ALL: [Self; 3] = [Self::Bf16, Self::F16, Self::F32];

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

const fn shape(chunk: usize, slice: usize) -> Shape {
    Shape { chunk, slice }
}

/// What the kernels of `simple_gla` are given: forward pass, the two sweeps of the backward pass, its gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GlaShapes {
    pub(crate) forward: Shape,
    pub(crate) sweep: Shape,
    pub(crate) gradients: Shape,
}

pub(crate) fn simple_gla(target: Target, scalar: Scalar, width: usize) -> GlaShapes {
    let (forward, sweep, gradients) = match (target, scalar, width) {
        (Target::Cuda, Scalar::F32, 64) => (shape(32, 32), shape(32, 32), shape(32, 32)),
        (Target::Cuda, Scalar::F32, 128) => (shape(32, 32), shape(16, 32), shape(16, 16)),
        (Target::Cuda, Scalar::F32, _) => (shape(16, 32), shape(16, 32), shape(16, 16)),
        (Target::Cuda, _, 256) => (shape(32, 64), shape(32, 64), shape(32, 32)),
        (Target::Cuda, ..) => (shape(64, 64), shape(64, 64), shape(64, 64)),
        (Target::Hip, Scalar::F32, 256) => (shape(16, 16), shape(16, 16), shape(16, 16)),
        (Target::Hip, Scalar::F32, _) => (shape(16, 32), shape(16, 32), shape(16, 16)),
        (Target::Hip, _, 256) => (shape(16, 64), shape(16, 64), shape(16, 16)),
        (Target::Hip, ..) => (shape(32, 64), shape(32, 64), shape(32, 32)),
    };
    GlaShapes { forward, sweep, gradients }
}

/// What the kernels of `gated_delta_rule` are given: most of them, the sweep back, the gradients. All have the same chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeltaShapes {
    pub(crate) most: Shape,
    pub(crate) reverse: Shape,
    pub(crate) gradient: Shape,
}

pub(crate) fn gated_delta_rule(target: Target, scalar: Scalar, width: usize) -> DeltaShapes {
    let most = match (target, scalar, width) {
        (Target::Cuda, Scalar::F32, 256) => shape(16, 32),
        (Target::Cuda, Scalar::F32, _) => shape(32, 32),
        (Target::Cuda, _, 256) => shape(32, 64),
        (Target::Cuda, ..) => shape(64, 64),
        (Target::Hip, Scalar::F32, _) | (Target::Hip, _, 256) => shape(16, 16),
        (Target::Hip, ..) => shape(32, 32),
    };
    // two blocks of the sweep back do not fit beside each other, so that one takes the width of two
    let wide = target == Target::Cuda && scalar != Scalar::F32 && width == 128;
    let reverse = if wide { shape(most.chunk, 128) } else { most };
    // two slices of f32 states at a time
    let slice = most.slice.min(if width == 256 && scalar != Scalar::F32 { 16 } else { 32 });
    DeltaShapes { most, reverse, gradient: shape(most.chunk, slice) }
}

/// Where there is room for it, the forward pass of `gated_delta_rule` in one kernel.
pub(crate) fn gated_delta_fused(target: Target, scalar: Scalar, width: usize) -> Option<Shape> {
    (target == Target::Cuda && scalar != Scalar::F32 && width <= 128).then_some(shape(32, width))
}

/// `hgrn` has no key width; a block works on this many channels, in segments of `slice` tokens.
pub(crate) const HGRN: Kernel =
    Kernel { source: HGRN_SOURCE, template: "", scalar: Scalar::F32, chunk: 64, width: 64, slice: 16 };

pub(crate) const GLA_SOURCE: &str = "chunk/simple_gla.cu";
pub(crate) const DELTA_SOURCE: &str = "delta/gated_delta_rule.cu";
pub(crate) const PROLOGUE_SOURCE: &str = "delta/prologue.cu";
pub(crate) const HGRN_SOURCE: &str = "scan/hgrn.cu";

/// Rows of a block of the normalising prologue, and the shape of the elementwise ones.
pub(crate) const NORM: Shape = shape(16, 64);
pub(crate) const GATE: Kernel =
    Kernel { source: PROLOGUE_SOURCE, template: "", scalar: Scalar::F32, chunk: 64, width: 64, slice: 32 };

/// Every kernel that a target may launch.
pub(crate) fn all(target: Target) -> Vec<Kernel> {
    let mut kernels = Vec::new();
    for scalar in Scalar::ALL {
        for width in WIDTHS {
            let gla = simple_gla(target, scalar, width);
            let delta = gated_delta_rule(target, scalar, width);
            let mut add = |source, template, Shape { chunk, slice }| {
                kernels.push(Kernel { source, template, scalar, chunk, width, slice });
            };
            add(GLA_SOURCE, "SimpleGlaForward", gla.forward);
            add(GLA_SOURCE, "SimpleGlaStates", gla.sweep);
            add(GLA_SOURCE, "SimpleGlaStateGradients", gla.sweep);
            add(GLA_SOURCE, "SimpleGlaGradients", gla.gradients);
            for template in ["GatedDeltaPrepare", "GatedDeltaStates", "GroupSum"] {
                add(DELTA_SOURCE, template, delta.most);
            }
            add(DELTA_SOURCE, "GatedDeltaReverse", delta.reverse);
            add(DELTA_SOURCE, "GatedDeltaGradient", delta.gradient);
            match gated_delta_fused(target, scalar, width) {
                Some(fused) => add(DELTA_SOURCE, "GatedDeltaFused", fused),
                None => add(DELTA_SOURCE, "GatedDeltaForward", delta.most),
            }
            add(PROLOGUE_SOURCE, "NormForward", NORM);
            add(PROLOGUE_SOURCE, "NormBackward", NORM);
        }
        for template in ["HgrnForward", "HgrnBackward"] {
            kernels.push(Kernel { template, scalar, ..HGRN });
        }
    }
    for template in ["GateForward", "GateBackward", "GateSums", "BetaForward", "BetaBackward"] {
        kernels.push(Kernel { template, ..GATE });
    }
    kernels
}
