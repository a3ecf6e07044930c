//! What the judge says of one case under one check.

use serde::{Deserialize, Serialize};

/// One measured quantity beside its limit, in the same unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// Output or gradient it was measured on: `o`, `ht`, `d_q`.
    pub port: String,
    /// Name of the statistic: `rms`, `max`.
    pub statistic: String,
    /// What was measured, in units of the rounding floor.
    #[serde(with = "crate::number")]
    pub error: f64,
    /// The largest value that is still right.
    #[serde(with = "crate::number")]
    pub bound: f64,
    /// Root mean square error relative to the truth's root mean square, for people.
    #[serde(with = "crate::number")]
    pub relative: f64,
    /// Index of the worst element.
    pub at: Vec<usize>,
    /// Rounded runs that the floor rests on: more of them where an answer was looked at again. None where it is no floor
    /// that was measured by.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub runs: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
const fn is_zero(runs: &u64) -> bool {
    *runs == 0
}

impl Measure {
    /// Whether the error is within its bound. A NaN on either side never is.
    #[must_use]
    pub fn within(&self) -> bool {
        self.error <= self.bound
    }
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// Further from the truth than the declared precision allows.
    Inaccurate {
        /// The statistic that is furthest beyond its bound.
        worst: Measure,
        /// All others that are beyond theirs, of every output and gradient that was compared.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        others: Vec<Measure>,
        /// Absolute error per (token, head) of the failing output, for the heat map; rows are tokens. Down-sampled
        /// by maximum to at most 128 × 64.
        heat: Vec<Vec<f32>>,
    },
    /// Bits differ where they must not.
    Different {
        /// Output that differs.
        port: String,
        /// Index of the first difference.
        at: Vec<usize>,
        /// What must be equal, in words.
        promise: String,
    },
    /// NaN or infinity where the truth is finite.
    NonFinite {
        /// Output.
        port: String,
        /// Index of the first such element.
        at: Vec<usize>,
        /// How many.
        count: usize,
    },
    /// A wrong name, shape or element type in an answer.
    Malformed {
        /// What was expected and what came.
        message: String,
    },
    /// Memory outside the outputs was written, or an input was.
    Trespass {
        /// Which memory.
        message: String,
    },
    /// The candidate reported an error.
    Error {
        /// Its message.
        message: String,
    },
    /// The candidate died.
    Crash {
        /// Exit status or signal, with the end of its log.
        message: String,
    },
    /// No answer in time.
    Hang {
        /// Seconds waited. A line has `seconds` of its own: what the whole took.
        #[serde(rename = "waited")]
        seconds: f64,
    },
    /// Out of memory.
    OutOfMemory {
        /// Its message.
        message: String,
    },
}

/// The verdict on one case under one check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// Right, with every statistic that was measured.
    Pass {
        /// Empty for checks that compare bits.
        measures: Vec<Measure>,
    },
    /// Wrong.
    Fail {
        /// How.
        #[serde(flatten)]
        fault: Fault,
        /// The call that shows it, counted from 0.
        call: usize,
    },
    /// The candidate does not offer this.
    Declined {
        /// Its reason.
        reason: String,
    },
    /// The case could not have failed: nothing was judged.
    Mistrusted {
        /// Why.
        reason: String,
    },
    /// The check does not apply to this candidate, for example because it offers no hook for it.
    NotApplicable {
        /// What is missing.
        reason: String,
    },
}

impl Verdict {
    /// `pass`, `fail`, `declined`, `mistrusted` or `not_applicable`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Pass { .. } => "pass",
            Self::Fail { .. } => "fail",
            Self::Declined { .. } => "declined",
            Self::Mistrusted { .. } => "mistrusted",
            Self::NotApplicable { .. } => "not_applicable",
        }
    }
}
