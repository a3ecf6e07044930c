//! Symbolic extents.

use std::fmt;

/// A symbolic extent. The names are the field's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dim {
    /// Batch rows.
    B,
    /// Sequences: equal to `B`, or the number of packed sequences. Never given, always derived.
    N,
    /// Tokens of a row.
    T,
    /// Key heads.
    H,
    /// Value heads, a multiple of the key heads: value head `j` uses key head `⌊j·H/HV⌋`.
    HV,
    /// Query heads, a multiple of the key heads: query head `j` uses key head `⌊j·H/HQ⌋`.
    HQ,
    /// Key width of a head.
    K,
    /// Value width of a head.
    V,
    /// Model width.
    D,
    /// Memory slots, or modes, of a head.
    M,
    /// Rows of a table that belongs to a head.
    C,
    /// Levels, sources or chosen blocks.
    L,
    /// Sub-steps of a token.
    R,
    /// Taps of a convolution.
    W,
    /// Inner width of a feed-forward network, or a second width of the model.
    I,
    /// Inner width of the feed-forward network of a model whose layer has an `I` of its own.
    F,
    /// Rank of a projection through a bottleneck.
    E,
    /// Groups of channels, or a further kind of heads.
    G,
    /// Symbols of the vocabulary.
    S,
    /// Query heads of the softmax attention in a hybrid stack.
    AQ,
    /// Key heads of the softmax attention in a hybrid stack, of which the query heads are a multiple.
    AH,
    /// Width of a head of the softmax attention in a hybrid stack.
    AK,
}

impl Dim {
    /// Every dimension.
    pub const ALL: [Self; 22] = [
        Self::B,
        Self::N,
        Self::T,
        Self::H,
        Self::HV,
        Self::HQ,
        Self::K,
        Self::V,
        Self::D,
        Self::M,
        Self::C,
        Self::L,
        Self::R,
        Self::W,
        Self::I,
        Self::F,
        Self::E,
        Self::G,
        Self::S,
        Self::AQ,
        Self::AH,
        Self::AK,
    ];

    /// Heads of which several may share a key head.
    pub const GROUPED: [Self; 2] = [Self::HV, Self::HQ];

    /// The name in case strings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::B => "B",
            Self::N => "N",
            Self::T => "T",
            Self::H => "H",
            Self::HV => "HV",
            Self::HQ => "HQ",
            Self::K => "K",
            Self::V => "V",
            Self::D => "D",
            Self::M => "M",
            Self::C => "C",
            Self::L => "L",
            Self::R => "R",
            Self::W => "W",
            Self::I => "I",
            Self::F => "F",
            Self::E => "E",
            Self::G => "G",
            Self::S => "S",
            Self::AQ => "AQ",
            Self::AH => "AH",
            Self::AK => "AK",
        }
    }

    /// Inverse of [`Dim::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.name() == name)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `dims![B, T, H, K]` is `&[Dim::B, Dim::T, Dim::H, Dim::K]`.
#[macro_export]
macro_rules! dims {
    ($($d:ident),* $(,)?) => { &[$($crate::spec::Dim::$d),*] };
}
