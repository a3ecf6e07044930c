//! Kinds of inputs.

use reference::spec::{Domain, Level, OpSpec};

use super::{is_key, is_value};

/// Where the numbers of a case come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Profile {
    /// The domains of the spec as they are.
    Typical,
    /// Decays that hardly decay: the state remembers everything.
    SlowDecay,
    /// Some gates shut at once: e⁻²⁰.
    HardGates,
    /// Small values, as inside a trained model.
    ModelScale,
    /// Large values: products come near the range of `f16`.
    Large,
    /// The same few keys again and again: writes collide.
    RepeatedKeys,
    /// Gates from open to shut, in turn at random: 0 and next to it, −100 and between.
    GateSweep,
    /// Gates that stay the same, values and cotangents of one sign: sums add up while errors do not, so that what is
    /// lost of every token, or what a sum is rounded to, shows. Not unit keys, which would all be much the same one.
    Steady,
    /// Keys so short that what a norm adds to their squares tells.
    ShortKeys,
    /// Small integers, one-hot keys and gates that are open or shut: every sum is exact.
    Lattice,
    /// The same without signs: sums grow beyond what an operand holds.
    Counts,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 11] = [
        Self::Typical,
        Self::SlowDecay,
        Self::HardGates,
        Self::ModelScale,
        Self::Large,
        Self::RepeatedKeys,
        Self::GateSweep,
        Self::Steady,
        Self::ShortKeys,
        Self::Lattice,
        Self::Counts,
    ];

    /// Whether answers may be exact on it.
    #[must_use]
    pub const fn is_exact(self) -> bool {
        matches!(self, Self::Lattice | Self::Counts)
    }

    /// Whether a suite meets it with everything else that it varies; the others have cases of their own.
    #[must_use]
    pub const fn varies(self) -> bool {
        !self.is_exact() && !matches!(self, Self::GateSweep | Self::Steady | Self::ShortKeys)
    }

    /// Name in case strings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Typical => "typical",
            Self::SlowDecay => "slow_decay",
            Self::HardGates => "hard_gates",
            Self::ModelScale => "model_scale",
            Self::Large => "large",
            Self::RepeatedKeys => "repeated_keys",
            Self::GateSweep => "gate_sweep",
            Self::Steady => "steady",
            Self::ShortKeys => "short_keys",
            Self::Lattice => "lattice",
            Self::Counts => "counts",
        }
    }

    /// What is particular about it.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Typical => "the domains of the spec",
            Self::SlowDecay => "log decays from -1e-3 to -1e-5",
            Self::HardGates => "one gate in fifty at -20",
            Self::ModelScale => "values around 0.05",
            Self::Large => "values around 8",
            Self::RepeatedKeys => "three keys in turn",
            Self::GateSweep => "log decays of 0, -1e-6, -1e-3, -1, -5, -6, -20, -100",
            Self::Steady => "gates that stay the same, from -1/256 to -12; values and cotangents of one sign",
            Self::ShortKeys => "keys around 5e-4 where the op makes them unit vectors",
            Self::Lattice => "integers and one-hot keys, by which every sum is exact",
            Self::Counts => "the same without signs, so that sums grow longer than what is added",
        }
    }

    /// Inverse of [`Profile::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name() == name)
    }

    /// Whether it changes anything about the op's inputs; a lattice is for [single problems](crate::lattice::admits).
    #[must_use]
    pub fn concerns(self, spec: &OpSpec) -> bool {
        match self {
            Self::Typical => true,
            Self::Lattice | Self::Counts => false,
            Self::SlowDecay | Self::HardGates | Self::GateSweep => {
                spec.inputs.iter().any(|p| p.domain == Domain::LogDecay)
            }
            Self::Steady => spec.level == Level::Op && !spec.states.is_empty(),
            // unit vectors unless an attribute has the op make them
            Self::ShortKeys => spec.inputs.iter().any(|p| p.domain == Domain::UnitKey && !p.domain_if.is_empty()),
            Self::ModelScale => spec.inputs.iter().any(is_value),
            // what a layer reads comes from a norm
            Self::Large => spec.level <= Level::Module && spec.inputs.iter().any(is_value),
            Self::RepeatedKeys => spec.inputs.iter().any(is_key),
        }
    }
}
