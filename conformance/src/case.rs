//! Cases: points of the input space as values and as text.
//!
//! `gated_delta_rule(B=2,T=63,H=2,HV=2,K=16,V=8,dtype=bf16,profile=slow_decay,seed=2)` is test name, filter, record key
//! and reproducer. What the text leaves out has a default: one batch row, 64 tokens (or the sum of `seqs`), two heads,
//! as many value heads as key heads, widths of 32, `f32`, `typical`, seed 0. When `absent` is left out and the op's
//! optional inputs exclude one another, the last ones are absent until the problem is valid.

use std::fmt;
use std::str::FromStr;

use reference::problem::Problem;
use reference::spec::{Dim, OpSpec, Port};
use reference::tensor::DType;

use crate::environment::free_memory;
use crate::nearest::nearest;
use crate::sample::Profile;

/// The storage types a case may have.
pub const DTYPES: [DType; 4] = [DType::F64, DType::F32, DType::F16, DType::Bf16];

/// One point of the input space.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Op, extents, attributes, packing, what is absent.
    pub problem: Problem,
    /// Storage type.
    pub dtype: DType,
    /// Where the numbers come from.
    pub profile: Profile,
    /// Which numbers.
    pub seed: u64,
}

/// A case for a larger machine.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{case} has {:.1} GB of inputs and outputs in {storage}; {:.1} GB of memory are free",
    needed / 1e9, free / 1e9)]
pub struct Room {
    /// The case.
    pub case: String,
    /// Storage type.
    pub storage: DType,
    /// Bytes that it takes at least.
    pub needed: f64,
    /// Bytes that are free.
    pub free: f64,
}

/// A case string that is none.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// Not `op(key=value,…)`.
    #[error("{text:?}: expected {expected} at character {at}")]
    Malformed {
        /// The text.
        text: String,
        /// Characters before the mistake.
        at: usize,
        /// What should have been there.
        expected: &'static str,
    },
    /// A name that nobody knows.
    #[error("unknown {kind} {name:?}; the nearest is {nearest:?} (of {valid})")]
    Unknown {
        /// What the name was meant to be: op, field, dtype, profile.
        kind: &'static str,
        /// The name.
        name: String,
        /// The valid name it resembles most.
        nearest: String,
        /// Every valid name.
        valid: String,
    },
    /// The same field twice.
    #[error("{field} is given twice in {text:?}")]
    Twice {
        /// The field.
        field: String,
        /// The text.
        text: String,
    },
    /// A seed that is no number.
    #[error("seed={got:?} is not a whole number from 0")]
    Seed {
        /// What came.
        got: String,
    },
    /// The problem violates its spec.
    #[error(transparent)]
    Problem(#[from] reference::error::Error),
}

fn unknown<'a>(kind: &'static str, name: &str, valid: impl Iterator<Item = &'a str> + Clone) -> Error {
    let nearest = nearest(name, valid.clone()).to_owned();
    Error::Unknown { kind, name: name.to_owned(), nearest, valid: valid.collect::<Vec<_>>().join(", ") }
}

/// Multiplications that a recurrence takes, roughly.
#[must_use]
pub fn products(problem: &Problem) -> usize {
    let size = |dim| if problem.spec.sizes.contains(&dim) { problem.size(dim) } else { 1 };
    let heads = size(Dim::HV).max(size(Dim::H));
    [Dim::B, Dim::T, Dim::K, Dim::V, Dim::D].map(size).iter().product::<usize>() * heads
}

impl Case {
    /// Whether this machine has room for its inputs and outputs in that storage type: the case's own where a candidate
    /// is timed, `f64` where the oracle answers.
    ///
    /// # Errors
    /// Less free memory.
    pub fn fits(&self, storage: DType) -> Result<(), Room> {
        let bytes = |port: &Port| {
            let elements = self.problem.shape(port).into_iter().map(|n| n as f64).product::<f64>();
            elements * Problem::dtype(port, storage).size() as f64
        };
        let needed = self.problem.inputs().chain(self.problem.outputs()).map(bytes).sum::<f64>();
        let free = free_memory().map_or(f64::INFINITY, |bytes| bytes as f64);
        if needed > free { Err(Room { case: self.to_string(), storage, needed, free }) } else { Ok(()) }
    }

    /// Op and every field, in their canonical order.
    #[must_use]
    pub fn fields(&self) -> Vec<(String, String)> {
        let mut fields = self.problem.fields();
        fields.push(("dtype".to_owned(), self.dtype.to_string()));
        fields.push(("profile".to_owned(), self.profile.name().to_owned()));
        fields.push(("seed".to_owned(), self.seed.to_string()));
        fields
    }

    /// A number that any two different cases are unlikely to share, the same on every machine.
    #[must_use]
    pub fn hash(&self) -> u64 {
        crate::sample::Key::new(&self.to_string()).word()
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), Error> {
        match key {
            "dtype" => {
                let found = DTYPES.into_iter().find(|d| d.name() == value);
                self.dtype = found.ok_or_else(|| unknown("dtype", value, DTYPES.iter().map(|d| d.name())))?;
            }
            "profile" => {
                let found = Profile::from_name(value);
                self.profile = found.ok_or_else(|| unknown("profile", value, Profile::ALL.iter().map(|p| p.name())))?;
            }
            "seed" => self.seed = value.parse().map_err(|_| Error::Seed { got: value.to_owned() })?,
            _ if self.problem.set(key, value)? => {}
            _ => return Err(unknown("field", key, field_names(self.problem.spec).into_iter())),
        }
        Ok(())
    }
}

fn field_names(spec: &'static OpSpec) -> Vec<&'static str> {
    let own = spec.sizes.iter().map(|d| d.name()).chain(spec.attrs.iter().map(|a| a.name));
    own.chain(["seqs", "absent", "dtype", "profile", "seed"]).collect()
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<_> = self.fields().into_iter().map(|(k, v)| format!("{k}={v}")).collect();
        write!(f, "{}({})", self.problem.spec.name, fields.join(","))
    }
}

impl FromStr for Case {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let malformed = |at: &str, expected| {
            let at = text[..at.as_ptr() as usize - text.as_ptr() as usize].chars().count();
            Error::Malformed { text: text.to_owned(), at, expected }
        };
        let (name, rest) = text.split_once('(').ok_or_else(|| malformed(&text[text.len()..], "op(key=value,…)"))?;
        let body = rest.strip_suffix(')').ok_or_else(|| malformed(&text[text.len()..], "a closing parenthesis"))?;
        let names: Vec<_> = reference::specs().map(|s| s.name).collect();
        let spec = reference::spec(name).ok_or_else(|| unknown("op", name, names.iter().copied()))?;
        let problem = Problem::new(spec, &[]);
        let mut case = Self { problem, dtype: DType::F32, profile: Profile::Typical, seed: 0 };
        let mut given: Vec<&str> = Vec::new();
        for field in body.split(',').filter(|_| !body.is_empty()) {
            let (key, value) = field.split_once('=').ok_or_else(|| malformed(field, "key=value"))?;
            if given.contains(&key) {
                return Err(Error::Twice { field: key.to_owned(), text: text.to_owned() });
            }
            case.set(key, value)?;
            given.push(key);
        }
        fill(&mut case.problem);
        // what the text leaves open follows from what it says
        let mut mended = case.problem.clone();
        mended.mend();
        let open = |key: &str| !given.contains(&key);
        case.problem.sizes.extend(mended.sizes.into_iter().filter(|(dim, _)| open(dim.name())));
        if open("absent") {
            case.problem.absent = mended.absent;
        }
        case.problem.validate()?;
        Ok(case)
    }
}

/// Gives every extent that was left out its default.
fn fill(problem: &mut Problem) {
    for &dim in problem.spec.sizes {
        let default = match dim {
            Dim::T => problem.sequences.as_ref().map_or(64, |lengths| lengths.iter().sum()),
            Dim::H => 2,
            Dim::HV | Dim::HQ => problem.size(Dim::H),
            Dim::K | Dim::V | Dim::D | Dim::S => 32,
            Dim::I | Dim::F => 48,
            Dim::M => 8,
            Dim::C | Dim::L => 3,
            Dim::R | Dim::G | Dim::AQ | Dim::AH => 2,
            Dim::W | Dim::E => 4,
            Dim::AK => 16,
            Dim::B | Dim::N => 1,
        };
        problem.sizes.entry(dim).or_insert(default);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> Error {
        text.parse::<Case>().expect_err(text)
    }

    #[test]
    fn a_case_is_its_text() {
        let text = "gated_delta_rule(B=2,T=63,H=2,HV=2,K=16,V=8,dtype=bf16,profile=slow_decay,seed=2)";
        let case: Case = text.parse().expect("the example of the documentation");
        assert_eq!(case.to_string(), text);
        assert_eq!((case.dtype, case.profile, case.seed), (DType::Bf16, Profile::SlowDecay, 2));
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let case: Case = "simple_gla(seqs=3+0+4,V=5)".parse().expect("valid");
        let full = "simple_gla(B=1,T=7,H=2,K=32,V=5,seqs=3+0+4,absent=g_gamma,dtype=f32,profile=typical,seed=0)";
        assert_eq!(case.to_string(), full);
        assert!("hgrn()".parse::<Case>().is_ok());
    }

    #[test]
    fn mistakes_are_named_with_what_was_probably_meant() {
        let nearest_of = |text: &str| match error(text) {
            Error::Unknown { kind, nearest, .. } => (kind, nearest),
            other => panic!("{other:?}"),
        };
        assert_eq!(nearest_of("hrgn(T=1)"), ("op", "hgrn".to_owned()));
        assert_eq!(nearest_of("gated_delta_rule(qk_l2nrom=true)"), ("field", "qk_l2norm".to_owned()));
        assert_eq!(nearest_of("hgrn(dtype=bf1)"), ("dtype", "bf16".to_owned()));
        assert_eq!(nearest_of("hgrn(profile=slowdecay)"), ("profile", "slow_decay".to_owned()));
        assert!(matches!(error("hgrn(T=1,T=2)"), Error::Twice { .. }));
        assert!(matches!(error("hgrn(seed=-1)"), Error::Seed { .. }));
        assert!(matches!(error("hgrn(T=many)"), Error::Problem(reference::error::Error::Attribute { .. })));
    }

    #[test]
    fn malformed_text_has_a_position() {
        let at = |text: &str| match error(text) {
            Error::Malformed { at, .. } => at,
            other => panic!("{other:?}"),
        };
        assert_eq!(at("hgrn"), 4);
        assert_eq!(at("hgrn(T=1"), 8);
        assert_eq!(at("hgrn(T=1,D)"), 9);
    }

    #[test]
    fn a_violated_constraint_is_the_specs_error() {
        let violated = |text: &str| matches!(error(text), Error::Problem(reference::error::Error::Constraint { .. }));
        assert!(violated("gated_delta_rule(H=2,HV=3)"));
        assert!(violated("gated_delta_rule(allow_neg_eigval=true)"));
        assert!(matches!(error("hgrn(T=3,seqs=1+1)"), Error::Problem(reference::error::Error::Packing { .. })));
    }
}
