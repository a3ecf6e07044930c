//! Dual numbers: exact directional derivatives, the independent witness of the tape.

use std::iter::Sum;
use std::ops::{Add, Div, Mul, Neg, Sub};

use rayon::prelude::*;

use crate::real::Real;
use crate::unit::{Function, Outputs, Unit};

/// A value and its derivative along one direction.
#[derive(Debug, Clone, Copy)]
pub struct Dual {
    /// Value.
    pub value: f64,
    /// Derivative.
    pub tangent: f64,
}

impl Dual {
    fn chain(self, value: f64, derivative: f64) -> Self {
        Self { value, tangent: derivative * self.tangent }
    }
}

impl Add for Dual {
    type Output = Self;
    fn add(self, o: Self) -> Self {
        Self { value: self.value + o.value, tangent: self.tangent + o.tangent }
    }
}

impl Sub for Dual {
    type Output = Self;
    fn sub(self, o: Self) -> Self {
        Self { value: self.value - o.value, tangent: self.tangent - o.tangent }
    }
}

impl Mul for Dual {
    type Output = Self;
    fn mul(self, o: Self) -> Self {
        Self { value: self.value * o.value, tangent: self.tangent * o.value + self.value * o.tangent }
    }
}

impl Div for Dual {
    type Output = Self;
    fn div(self, o: Self) -> Self {
        let value = self.value / o.value;
        Self { value, tangent: (self.tangent - value * o.tangent) / o.value }
    }
}

impl Neg for Dual {
    type Output = Self;
    fn neg(self) -> Self {
        Self { value: -self.value, tangent: -self.tangent }
    }
}

impl Sum for Dual {
    fn sum<I: Iterator<Item = Self>>(terms: I) -> Self {
        terms.fold(Self::zero(), Add::add)
    }
}

impl Real for Dual {
    fn from_f64(x: f64) -> Self {
        Self { value: x, tangent: 0.0 }
    }
    fn value(self) -> f64 {
        self.value
    }
    fn exp(self) -> Self {
        let e = self.value.exp();
        self.chain(e, e)
    }
    fn ln(self) -> Self {
        self.chain(self.value.ln(), 1.0 / self.value)
    }
    fn ln_1p(self) -> Self {
        self.chain(self.value.ln_1p(), 1.0 / (1.0 + self.value))
    }
    fn of(function: &Function) -> fn(&Unit<'_, Self>) -> Outputs<Self> {
        function.dual
    }
    fn each<I: Sync, R: Send>(items: &[I], f: impl Fn(&I) -> R + Send + Sync) -> Vec<R> {
        items.par_iter().map(f).collect()
    }
    fn sqrt(self) -> Self {
        let root = self.value.sqrt();
        self.chain(root, 0.5 / root)
    }
    fn mac(self, a: Self, b: Self) -> Self {
        self + a * b
    }
}
