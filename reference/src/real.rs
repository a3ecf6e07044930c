//! The scalar an op is written over.
//!
//! At `f64` an op is the truth, at `f32` a plain candidate, at [`crate::tape::Var`] it yields exact gradients, at
//! [`crate::dual::Dual`] exact directional derivatives, at [`crate::rounded::Rounded`] the error that a declared
//! precision may cause.

use std::fmt::Debug;
use std::iter::Sum;
use std::ops::{Add, Div, Mul, Neg, Sub};

use ndarray::ArrayView1;

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
    ($t:ty) => {
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
        }
    };
}

float!(f64);
float!(f32);
