//! Questions whose answers are exact, whatever the order of the sums: what is asked there must come back to the bit.
//!
//! Which problems are such follows from the oracle: on the numbers of an exact [`Profile`], a run that rounds to
//! nearest, and far more coarsely than any kernel, must give the truth itself. What softmax, a norm or an exponential
//! of data makes of integers does not survive that.

use std::collections::BTreeMap;

use ndarray::{ArrayD, Zip};
use reference::error::Error;
use reference::oracle;
use reference::problem::Problem;
use reference::spec::{Dim, Value};
use reference::tensor::{Arrays, DType, Tensor};

use crate::case::Case;
use crate::measure::{coarse, flushed};
use crate::probe::{Memo, Question, small};
use crate::sample::Profile;
use crate::truth::port;

/// A factor on q that is a power of two.
const SCALE: Value = Value::Number(0.5);

/// An answer, where it is exact.
#[derive(Debug, Clone)]
pub struct Exact {
    /// What it is; NaN where it is not exact, or no number of the answer's type.
    pub values: ArrayD<f64>,
    /// Elements other than zero, and how many of these are exact.
    pub count: [usize; 2],
}

impl Exact {
    /// Whether so much of it is exact that one may ask.
    #[must_use]
    pub fn resolves(&self) -> bool {
        2 * self.count[1] >= self.count[0]
    }

    /// Whether zeros would not do.
    #[must_use]
    pub fn speaks(&self) -> bool {
        self.resolves() && self.count[1] > 0
    }

    /// The first element that is not what it must be: where, what was expected, what came.
    #[must_use]
    pub fn differs(&self, got: &Tensor) -> Option<(usize, f64, f64)> {
        let wrong = |(i, (&y, got)): (usize, (&f64, f64))| (!y.is_nan() && !same(y, got)).then_some((i, y, got));
        self.values.iter().zip(got.values()).enumerate().find_map(wrong)
    }
}

/// Equal, where zero has no sign and NaN equals nothing.
fn same(a: f64, b: f64) -> bool {
    a.partial_cmp(&b).is_some_and(std::cmp::Ordering::is_eq)
}

/// Where sums grow, what a chunk's form multiplies grows beyond what the recurrence does: two bits to spare for it.
const SPARE: f64 = 4.0;

/// The exact answers to a question about a profile's numbers, of `storage`: outputs, and every gradient if there are
/// cotangents.
///
/// # Errors
/// Inputs that do not fit the problem.
pub fn exact(question: &Question, storage: DType, profile: Profile) -> Result<BTreeMap<String, Exact>, Error> {
    let Question { problem, inputs, cotangents } = question;
    let want: Vec<&str> = problem.differentiable().map(|p| p.name).filter(|_| !cotangents.is_empty()).collect();
    let mut rounding = coarse(storage);
    if profile == Profile::Counts {
        rounding.operand *= SPARE;
    }
    let rough = oracle::rounded(problem, inputs, cotangents, &want, &rounding)?;
    let truth = if want.is_empty() { question.outputs()? } else { question.answer()? };
    let judge = |(name, truth): (String, ArrayD<f64>)| {
        let rough = rough.outputs.get(&name).or_else(|| rough.gradients.get(&name))?;
        let dtype = Problem::dtype(port(problem, &name)?, storage);
        // kernels of shorter types compute in f32
        let held = |y| if dtype == DType::F64 { y } else { flushed(y) };
        let mut count = [0, 0];
        let values = Zip::from(&truth).and(rough).map_collect(|&y, &r| {
            let (y, r) = (held(y), held(r));
            let exact = same(y, r) && same(dtype.round(y), y);
            count[0] += usize::from(!same(y, 0.0));
            count[1] += usize::from(exact && !same(y, 0.0));
            if exact { y } else { f64::NAN }
        });
        Some((name, Exact { values, count }))
    };
    Ok(truth.into_iter().filter_map(judge).collect())
}

static ADMITTED: Memo<bool> = Memo::new();

/// Whether the answers to such a problem are exact: on a small one, and on one as wide as the case, where a mean over a
/// width, or its root, is exact for some widths only.
#[must_use]
pub fn admits(case: &Case) -> bool {
    let Some(small) = small(case, case.profile, 1) else { return false };
    let few = [Dim::B, Dim::T, Dim::H, Dim::HV, Dim::HQ];
    let mut wide = small.clone();
    wide.problem.sizes.extend(case.problem.sizes.iter().filter(|(dim, _)| !few.contains(dim)));
    [small, wide].iter().all(|c| c.problem.validate().is_ok() && ADMITTED.of(c, is_exact))
}

fn is_exact(case: &Case) -> bool {
    let forward = Question { cotangents: Arrays::new(), ..Question::of(case) };
    let Ok(outputs) = exact(&forward, DType::Bf16, case.profile) else { return false };
    // of what is not exact in general a few elements are: the first token's, those behind a shut gate
    outputs.values().all(|e| e.count[0] == e.count[1]) && outputs.values().any(Exact::speaks)
}

/// The case on the lattice.
#[must_use]
pub fn on(case: Case) -> Case {
    on_numbers_of(Profile::Lattice, case)
}

/// The case on the numbers of a profile whose answers are exact.
#[must_use]
pub fn on_numbers_of(profile: Profile, mut case: Case) -> Case {
    case.profile = profile;
    if case.problem.spec.attr("scale").is_some_and(|a| a.default == Value::Auto) {
        case.problem.attrs.insert("scale", SCALE);
    }
    case
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(text: &str) -> bool {
        admits(&on(text.parse().expect(text)))
    }

    #[test]
    fn sums_of_products_are_exact_and_what_has_a_softmax_or_a_norm_is_not() {
        for text in ["simple_gla()", "gated_delta_rule(HV=4)", "hgrn()", "delta_rule()", "kda()", "dplr()", "matmul()"]
        {
            assert!(admitted(text), "{text}");
        }
        for text in ["attn()", "forgetting_attn()", "gated_delta_rule(qk_l2norm=true)", "rms_norm()", "gla_layer()"] {
            assert!(!admitted(text), "{text}");
        }
        for text in ["retention()", "lightning_attn()"] {
            assert!(!admitted(text), "{text}: its decay is no power of two");
        }
    }

    #[test]
    fn without_signs_sums_grow_longer_than_operands() {
        let text = "gated_delta_rule(B=1,T=129,H=2,HV=6,K=32,V=32,scale=0.5,profile=counts)";
        let case: Case = text.parse().expect("a case");
        assert!(admits(&case));
        let found = exact(&Question::of(&case), DType::Bf16, case.profile).expect("an answer");
        let long = |y: &&f64| !y.is_nan() && !same(DType::Bf16.round(**y), **y);
        assert!(found.values().all(Exact::speaks), "{found:?}");
        assert!(found["d_g"].values.iter().filter(long).count() > 100, "a sum in f32 is asked for to its last bit");
        let held = |name: &str| found[name].values.iter().filter(|y| !y.is_nan()).fold(0.0, |m: f64, y| m.max(y.abs()));
        assert!(held("ht") <= 8.0 && held("d_v") <= 8.0, "operands stay short");
    }

    #[test]
    fn without_signs_operands_have_bits_to_spare() {
        let text = "linear_attn(B=1,T=129,H=1,K=4,V=8,scale=0.5,profile=counts)";
        let question = Question::of(&text.parse().expect("a case"));
        let asked = |profile| -> usize {
            let found = exact(&question, DType::Bf16, profile).expect("an answer");
            found.values().map(|e| e.count[1]).sum()
        };
        assert!(asked(Profile::Counts) < asked(Profile::Lattice));
    }

    #[test]
    fn what_is_too_small_for_f32_is_no_zero_of_f64() {
        let found = (0..40).filter_map(|seed| {
            let text = format!("gla(B=1,T=9,H=1,K=1,V=1,seqs=9,dtype=f64,profile=lattice,seed={seed})");
            let question = Question::of(&text.parse().expect("a case"));
            let truth = question.outputs().expect("an answer")["ht"].iter().copied().sum::<f64>();
            let of = |dtype| exact(&question, dtype, Profile::Lattice).expect("an answer")["ht"].values.sum();
            (truth != 0.0 && flushed(truth) == 0.0).then(|| (truth, of(DType::F64), of(DType::F32)))
        });
        let found: Vec<_> = found.collect();
        // asked for as it is, or not at all
        let right = |&(truth, f64, f32): &(f64, f64, f64)| (f64.is_nan() || same(f64, truth)) && same(f32, 0.0);
        assert!(!found.is_empty() && found.iter().all(right), "{found:?}");
    }

    #[test]
    fn zero_has_no_sign_and_nan_is_never_right() {
        let exact = Exact { values: ndarray::arr1(&[0.0, f64::NAN, 3.0]).into_dyn(), count: [1, 1] };
        let differs = |values: [f64; 3]| {
            exact.differs(&Tensor::from_array(&ndarray::arr1(&values).into_dyn(), DType::F32)).map(|(i, ..)| i)
        };
        assert_eq!(differs([-0.0, 8.0, 3.0]), None);
        assert_eq!(differs([0.0, 8.0, 3.5]), Some(2));
        assert_eq!(differs([f64::NAN, 8.0, 3.0]), Some(0));
    }
}
