//! The scalar an op is written over.
//!
//! At `f64` an op is the truth, at `f32` a plain candidate, at [`crate::tape::Var`] it yields exact gradients, at
//! [`crate::dual::Dual`] exact directional derivatives, at [`crate::rounded::Rounded`] the error that a declared
//! precision may cause.

use std::fmt::Debug;
use std::iter::Sum;
use std::ops::{Add, Div, Mul, Neg, Sub};

use ndarray::{Array2, ArrayView1, ArrayView2};
use rayon::prelude::*;

use crate::unit::{Function, Outputs, Unit};

/// From cotangents of some numbers to the gradient by what they were computed from.
pub type Pull = Box<dyn FnOnce(&[f64]) -> Vec<f64>>;

/// A real number, possibly one that remembers how it came about.
///
/// `+ - * /` and the functions are elementwise arithmetic, which kernels do in their accumulator's precision.
/// [`Real::mac`] and [`Real::dot`] are terms of matrix products, whose operands kernels round to the storage type.
pub trait Real:
    Copy
    + Debug
    + Send
    + Sync
    + Sum
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + 'static
{
    /// A constant.
    fn from_f64(x: f64) -> Self;

    /// The value, for choices that are not differentiated and for reading results.
    fn value(self) -> f64;

    /// `eˣ`.
    fn exp(self) -> Self;

    /// Natural logarithm.
    fn ln(self) -> Self;

    /// `ln(1 + x)`, accurate near 0.
    fn ln_1p(self) -> Self;

    /// Square root.
    fn sqrt(self) -> Self;

    /// `self + a·b`, one term of a matrix product.
    fn mac(self, a: Self, b: Self) -> Self;

    /// `Σ aᵢ·bᵢ`, one element of a matrix product, summed in order.
    fn dot(a: ArrayView1<'_, Self>, b: ArrayView1<'_, Self>) -> Self {
        a.iter().zip(b).fold(Self::zero(), |sum, (&a, &b)| sum.mac(a, b))
    }

    /// `a bᵀ`: every row of `a` with every row of `b`.
    fn rows(a: ArrayView2<'_, Self>, b: ArrayView2<'_, Self>) -> Array2<Self> {
        Array2::from_shape_fn((a.nrows(), b.nrows()), |(i, j)| Self::dot(a.row(i), b.row(j)))
    }

    /// Whether cotangents are led back through what is computed.
    const RECORDS: bool = false;

    /// An element of a state as a chunk of tokens reads it: in a rounded run an operand.
    #[must_use]
    fn read(self) -> Self {
        self
    }

    /// An element of what one kernel leaves to another: in a rounded run a number of the storage type, and so is its
    /// cotangent.
    #[must_use]
    fn stored(self) -> Self {
        self
    }

    /// An element of the state after a chunk, of whose cotangent the chunk reads what it can; the rest goes to `past`,
    /// what the state before would be if nothing but time passed.
    #[must_use]
    fn split(self, _past: Self) -> Self {
        self
    }

    /// The mathematics of an op at this scalar.
    fn of(function: &Function) -> fn(&Unit<'_, Self>) -> Outputs<Self>;

    /// Whether derivatives by it are kept: a constant does not vary.
    fn varies(self) -> bool {
        false
    }

    /// Numbers that somebody else has computed from `parents`. Where derivatives are kept, `pull` turns cotangents of
    /// the numbers into the gradient by each parent.
    fn foreign(values: Vec<f64>, _parents: &[Self], _pull: Pull) -> Vec<Self> {
        values.into_iter().map(Self::from_f64).collect()
    }

    /// `f` of every item, in order; on several cores where the scalar keeps nothing on its thread.
    fn each<I: Sync, R: Send>(items: &[I], f: impl Fn(&I) -> R + Send + Sync) -> Vec<R> {
        items.iter().map(f).collect()
    }

    /// 0.
    #[must_use]
    fn zero() -> Self {
        Self::from_f64(0.0)
    }

    /// 1.
    #[must_use]
    fn one() -> Self {
        Self::from_f64(1.0)
    }

    /// `1 / (1 + e⁻ˣ)`, without overflow.
    #[must_use]
    fn sigmoid(self) -> Self {
        if self.value() >= 0.0 {
            Self::one() / (Self::one() + (-self).exp())
        } else {
            let e = self.exp();
            e / (Self::one() + e)
        }
    }

    /// `ln(1 + eˣ)`, without overflow.
    #[must_use]
    fn softplus(self) -> Self {
        if self.value() > 0.0 { self + (-self).exp().ln_1p() } else { self.exp().ln_1p() }
    }
}

macro_rules! float {
    ($t:ident) => {
        impl Real for $t {
            fn from_f64(x: f64) -> Self {
                x as Self
            }
            fn value(self) -> f64 {
                f64::from(self)
            }
            fn exp(self) -> Self {
                self.exp()
            }
            fn ln(self) -> Self {
                self.ln()
            }
            fn ln_1p(self) -> Self {
                self.ln_1p()
            }
            fn sqrt(self) -> Self {
                self.sqrt()
            }
            fn mac(self, a: Self, b: Self) -> Self {
                self + a * b
            }
            fn rows(a: ArrayView2<'_, Self>, b: ArrayView2<'_, Self>) -> Array2<Self> {
                a.dot(&b.t())
            }
            fn of(function: &Function) -> fn(&Unit<'_, Self>) -> Outputs<Self> {
                function.$t
            }
            fn each<I: Sync, R: Send>(items: &[I], f: impl Fn(&I) -> R + Send + Sync) -> Vec<R> {
                items.par_iter().map(f).collect()
            }
        }
    };
}

float!(f64);
float!(f32);

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use ndarray::aview1;

    use super::Real;
    use crate::dual::Dual;
    use crate::rounded::Rounded;
    use crate::tape;

    /// Everything a scalar can do, at a positive `x`.
    fn everything<F: Real>(x: F, y: F) -> Vec<F> {
        let elementary = [x + y, x - y, x * y, x / y, -x, x.exp(), x.ln(), x.ln_1p(), x.sqrt()];
        let derived = [x.sigmoid(), (-x).sigmoid(), x.softplus(), (-x).softplus()];
        let products =
            [y.mac(x, y), x.mac(x, x), F::dot(aview1(&[x, y]), aview1(&[y, y])), [x, y, x].into_iter().sum()];
        elementary.into_iter().chain(derived).chain(products).collect()
    }

    /// The derivatives of the above by `x`.
    fn by_hand(x: f64, y: f64) -> Vec<f64> {
        let (up, down) = (1.0 / (1.0 + (-x).exp()), 1.0 / (1.0 + x.exp()));
        let elementary = [1.0, 1.0, y, 1.0 / y, -1.0, x.exp(), 1.0 / x, 1.0 / (1.0 + x), 0.5 / x.sqrt()];
        elementary.into_iter().chain([up * down, -up * down, up, -down]).chain([y, 1.0 + 2.0 * x, y, 2.0]).collect()
    }

    #[test]
    fn every_scalar_has_the_same_values_and_derivatives() {
        for (x, y) in [(0.7, -1.3), (2.5, 0.4), (40.0, 3.0)] {
            let (values, slopes) = (everything(x, y), by_hand(x, y));
            let duals = everything(Dual { value: x, tangent: 1.0 }, Dual::from_f64(y));
            let rounded = everything(Rounded::from_f64(x), Rounded::from_f64(y));
            let single = everything(x as f32, y as f32);
            for i in 0..values.len() {
                let only = |n| (0..n).map(|j| f64::from(u8::from(i == j))).collect();
                let mut recorded = f64::NAN;
                let keep = |v: &[tape::Var]| {
                    let all = everything(v[0], v[1]);
                    recorded = all[i].value();
                    all
                };
                let slope = tape::record(&[x, y], keep, only)[0];
                assert_eq!([duals[i].value, rounded[i].value(), recorded].map(f64::to_bits), [values[i].to_bits(); 3]);
                assert_relative_eq!(f64::from(single[i]), values[i], max_relative = 8.0 * f64::from(f32::EPSILON));
                assert_relative_eq!(duals[i].tangent, slopes[i], max_relative = 1e-13);
                assert_relative_eq!(slope, slopes[i], max_relative = 1e-13);
            }
        }
    }
}
