//! What an input's elements are: where they come from, their type, and what stands for an absent one.

/// Where an input's values come from: the distribution that real models produce.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Domain {
    /// Signed, standard normal.
    Normal,
    /// Signed, normalised to unit length along the last dimension.
    UnitKey,
    /// Natural logarithm of a decay: ≤ 0, the logarithm of a sigmoid.
    LogDecay,
    /// In (0, 1): a sigmoid.
    Fraction,
    /// Logarithm of a positive rate: `ln U(1, 16)`.
    LogRate,
    /// Minus a fraction of another input of the same shape, element by element: what keeps `I + b aᵀ` from growing.
    Against(&'static str),
    /// A covariance, symmetric and positive definite in the last two dimensions: a sixteenth of the identity, and the outer
    /// products of four vectors around unit length.
    Covariance,
    /// Uniform between two numbers.
    Uniform(f64, f64),
    /// A weight: normal, over the root of the number of inputs that one output sums
    /// ([`fan_in`](crate::problem::Problem::fan_in)).
    Weight,
    /// Indices of the vocabulary, below the extent `S`; or, when true, targets, of which some, and the last of each
    /// sequence, are −100: not to be counted.
    Symbols(bool),
    /// One where something counts, and else zero.
    Mask,
    /// Blocks of tokens that a token looks at: the last dimension lists the indices of different blocks of its sequence, in
    /// ascending order, its own one always and none that is later, the others at random; where there are fewer than it has
    /// room for, −1 comes first. The attribute named says how many tokens a block has; without one, a block is a token.
    Blocks(Option<&'static str>),
}

/// Whether a target of [`Domain::Symbols`] is none: −100.
#[must_use]
pub const fn ignored(target: f64) -> bool {
    target.to_bits() == (-100f64).to_bits()
}

/// Element type of a port, given the storage type of the case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// The case's storage type.
    Storage,
    /// `f32`, or `f64` when the case is `f64`: gates, states.
    Single,
    /// `i64` whatever the case: indices. Never rounded, never differentiated.
    Index,
}

/// What an absent optional input stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Always given.
    Required,
    /// May be absent, which means zeros.
    OrZero,
    /// May be absent, which means ones.
    OrOne,
    /// May be absent, which means minus infinity: the logarithm of nothing.
    OrMinusInfinity,
}

impl Presence {
    /// Whether the input may be absent, where it may be given at all.
    #[must_use]
    pub const fn optional(self) -> bool {
        !matches!(self, Self::Required)
    }

    /// What every element of an absent input is.
    #[must_use]
    pub const fn neutral(self) -> f64 {
        match self {
            Self::Required | Self::OrZero => 0.0,
            Self::OrOne => 1.0,
            Self::OrMinusInfinity => f64::NEG_INFINITY,
        }
    }
}
