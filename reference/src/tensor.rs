//! Tensors as they travel: an element type, a shape and little-endian bytes.
//!
//! Equality is bitwise, so checks that promise the same bits compare tensors with `==`.
//! Arithmetic never happens here: the oracle widens to `f64` arrays, kernels copy the bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use half::{bf16, f16};
use ndarray::{ArrayD, IxDyn};

use crate::error::Error;

/// Named tensors: the inputs or the outputs of one call.
pub type Tensors = BTreeMap<String, Tensor>;

/// Named `f64` (or other scalar) arrays: the oracle's view of [`Tensors`].
pub type Arrays<F = f64> = BTreeMap<String, ArrayD<F>>;

/// Element type of a [`Tensor`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DType {
    /// 64-bit float.
    F64,
    /// 32-bit float.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
    /// 64-bit signed integer: indices and offsets.
    I64,
}

impl DType {
    /// Every element type, widest float first.
    pub const ALL: [Self; 5] = [Self::F64, Self::F32, Self::F16, Self::Bf16, Self::I64];

    /// Bytes of one element.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Lower-case name, as in case strings: `bf16`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::I64 => "i64",
        }
    }

    /// Inverse of [`DType::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.name() == name)
    }

    /// Largest relative error of rounding to this type: half a unit in the last place of 1. Zero for integers.
    #[must_use]
    pub const fn unit_roundoff(self) -> f64 {
        match self {
            Self::F64 => f64::EPSILON / 2.0,
            Self::F32 => f32::EPSILON as f64 / 2.0,
            Self::F16 => 1.0 / 2048.0,
            Self::Bf16 => 1.0 / 256.0,
            Self::I64 => 0.0,
        }
    }

    /// Smallest positive value: the spacing of the numbers below the normal range. Zero for integers.
    #[must_use]
    pub fn smallest(self) -> f64 {
        match self {
            Self::F64 => f64::from_bits(1),
            Self::F32 => f64::from(f32::from_bits(1)),
            Self::F16 => f16::from_bits(1).to_f64(),
            Self::Bf16 => bf16::from_bits(1).to_f64(),
            Self::I64 => 0.0,
        }
    }

    /// Largest finite value.
    #[must_use]
    pub fn max(self) -> f64 {
        match self {
            Self::F64 => f64::MAX,
            Self::F32 => f64::from(f32::MAX),
            Self::F16 => f16::MAX.to_f64(),
            Self::Bf16 => bf16::MAX.to_f64(),
            Self::I64 => 9.0e15,
        }
    }

    /// `x` rounded to nearest, ties to even, and widened again.
    #[must_use]
    pub fn round(self, x: f64) -> f64 {
        match self {
            Self::F64 => x,
            Self::F32 => f64::from(x as f32),
            Self::F16 => f16::from_f64(x).to_f64(),
            Self::Bf16 => bf16::from_f64(x).to_f64(),
            Self::I64 => x.round_ties_even(),
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A dense row-major tensor.
#[derive(Clone, PartialEq, Eq)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Tensor {
    /// A tensor over little-endian `bytes`.
    ///
    /// # Errors
    /// [`Error::Bytes`] when the length does not match.
    pub fn from_bytes(dtype: DType, shape: &[usize], bytes: Vec<u8>) -> Result<Self, Error> {
        let expected = shape.iter().try_fold(dtype.size(), |n, &d| n.checked_mul(d));
        if expected != Some(bytes.len()) {
            let expected = expected.unwrap_or(usize::MAX);
            return Err(Error::Bytes { dtype, shape: shape.to_vec(), expected, got: bytes.len() });
        }
        Ok(Self { dtype, shape: shape.to_vec(), bytes })
    }

    /// `array` rounded to `dtype`, element by element.
    #[must_use]
    pub fn from_array(array: &ArrayD<f64>, dtype: DType) -> Self {
        let mut bytes = Vec::with_capacity(array.len() * dtype.size());
        for &x in array {
            push(&mut bytes, dtype, x);
        }
        Self { dtype, shape: array.shape().to_vec(), bytes }
    }

    /// A vector of 64-bit integers.
    #[must_use]
    pub fn from_i64(values: &[i64]) -> Self {
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        Self { dtype: DType::I64, shape: vec![values.len()], bytes }
    }

    /// Every element equal to `value` rounded to `dtype`.
    #[must_use]
    pub fn filled(dtype: DType, shape: &[usize], value: f64) -> Self {
        Self::from_array(&ArrayD::from_elem(IxDyn(shape), value), dtype)
    }

    /// Element type.
    #[must_use]
    pub const fn dtype(&self) -> DType {
        self.dtype
    }

    /// Extents, slowest first.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// Whether there is no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The elements' little-endian bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, by value.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The elements in row-major order, widened exactly (integers beyond 2⁵³ excepted).
    pub fn values(&self) -> impl ExactSizeIterator<Item = f64> + '_ {
        let dtype = self.dtype;
        self.bytes.chunks_exact(dtype.size()).map(move |b| widen(dtype, b))
    }

    /// The elements as integers, rounding floats.
    #[must_use]
    pub fn to_i64(&self) -> Vec<i64> {
        if self.dtype != DType::I64 {
            return self.values().map(|x| x as i64).collect();
        }
        self.bytes.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect()
    }

    /// The widened elements as an array.
    #[must_use]
    pub fn to_array(&self) -> ArrayD<f64> {
        ArrayD::from_shape_vec(IxDyn(&self.shape), self.values().collect())
            .expect("shape and bytes agree by construction")
    }

    /// The part of `range` along `axis`.
    ///
    /// # Panics
    /// When `axis` or `range` is outside the shape.
    #[must_use]
    pub fn narrow(&self, axis: usize, range: Range<usize>) -> Self {
        let extent = self.shape[axis];
        assert!(range.start <= range.end && range.end <= extent, "{range:?} of axis {axis} in {:?}", self.shape);
        let inner = self.shape[axis + 1..].iter().product::<usize>() * self.dtype.size();
        let outer = self.shape[..axis].iter().product::<usize>();
        let mut bytes = Vec::with_capacity(outer * range.len() * inner);
        for o in 0..outer {
            let base = o * extent * inner;
            bytes.extend_from_slice(&self.bytes[base + range.start * inner..base + range.end * inner]);
        }
        let mut shape = self.shape.clone();
        shape[axis] = range.len();
        Self { dtype: self.dtype, shape, bytes }
    }

    /// `parts` joined along `axis`; `None` when there are none or they do not fit together.
    #[must_use]
    pub fn concat(axis: usize, parts: &[&Self]) -> Option<Self> {
        let first = *parts.first()?;
        let mut shape = first.shape.clone();
        shape[axis] = parts.iter().map(|p| p.shape.get(axis).copied().unwrap_or(0)).sum();
        let fits = |p: &Self| {
            p.dtype == first.dtype
                && p.shape.len() == shape.len()
                && (0..shape.len()).all(|i| i == axis || p.shape[i] == shape[i])
        };
        if !parts.iter().all(|p| fits(p)) {
            return None;
        }
        let inner = shape[axis + 1..].iter().product::<usize>() * first.dtype.size();
        let outer = shape[..axis].iter().product::<usize>();
        let mut bytes = Vec::with_capacity(shape.iter().product::<usize>() * first.dtype.size());
        for o in 0..outer {
            for p in parts {
                let row = p.shape[axis] * inner;
                bytes.extend_from_slice(&p.bytes[o * row..(o + 1) * row]);
            }
        }
        Some(Self { dtype: first.dtype, shape, bytes })
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.dtype, self.shape)?;
        f.debug_list().entries(self.values().take(8)).finish()
    }
}

fn push(bytes: &mut Vec<u8>, dtype: DType, x: f64) {
    match dtype {
        DType::F64 => bytes.extend_from_slice(&x.to_le_bytes()),
        DType::F32 => bytes.extend_from_slice(&(x as f32).to_le_bytes()),
        DType::F16 => bytes.extend_from_slice(&f16::from_f64(x).to_le_bytes()),
        DType::Bf16 => bytes.extend_from_slice(&bf16::from_f64(x).to_le_bytes()),
        DType::I64 => bytes.extend_from_slice(&(x.round_ties_even() as i64).to_le_bytes()),
    }
}

fn widen(dtype: DType, b: &[u8]) -> f64 {
    let eight = || b.try_into().expect("chunks of eight bytes");
    match dtype {
        DType::F64 => f64::from_le_bytes(eight()),
        DType::I64 => i64::from_le_bytes(eight()) as f64,
        DType::F32 => f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
        DType::F16 => f16::from_le_bytes([b[0], b[1]]).to_f64(),
        DType::Bf16 => bf16::from_le_bytes([b[0], b[1]]).to_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn narrow_and_concat_are_inverse() {
        let t = Tensor::from_array(&array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]].into_dyn(), DType::Bf16);
        let (a, b) = (t.narrow(1, 0..1), t.narrow(1, 1..3));
        assert_eq!(b.values().collect::<Vec<_>>(), [2.0, 3.0, 5.0, 6.0]);
        assert_eq!(Tensor::concat(1, &[&a, &b]), Some(t));
    }

    #[test]
    fn a_lying_length_is_an_error() {
        let wrong = Tensor::from_bytes(DType::F32, &[2, 2], vec![0; 15]);
        assert!(matches!(wrong, Err(Error::Bytes { expected: 16, got: 15, .. })));
        assert!(Tensor::from_bytes(DType::F64, &[usize::MAX, 2], vec![]).is_err());
    }

    #[test]
    fn equality_is_bitwise() {
        let nan = Tensor::filled(DType::F32, &[1], f64::NAN);
        assert_eq!(nan, nan.clone());
        assert_ne!(Tensor::filled(DType::F32, &[1], 0.0), Tensor::filled(DType::F32, &[1], -0.0));
    }
}
