//! What a storage type declares, as a rounding, and what it cannot hold.

use ndarray::ArrayD;
use reference::rounded::{Rounding, STRATA};
use reference::tensor::DType;

use super::SAMPLES;

/// The rounding that a storage type declares, of a run that knows nothing of those of other samples. Products of `f32` may be sums of products of shorter halves, which keep
/// 22 of its 24 bits at worst: its operands count as twice as coarse. `f64` is sampled as `f32` and scaled by
/// [`scale`], as errors are linear in the unit roundoff.
#[must_use]
pub fn rounding(storage: DType, sample: u64) -> Rounding {
    let accumulate = DType::F32.unit_roundoff();
    let operand = match storage {
        DType::F64 => accumulate,
        DType::F32 => 2.0 * accumulate,
        _ => storage.unit_roundoff(),
    };
    Rounding { operand, least: least(storage), accumulate, seed: 1 + sample * STRATA }
}

/// The smallest normal number of operands. What a decay leaves of a number soon has few digits in `f16`; the range of
/// `f32`, which the other types have, ends where [`flushed`] says.
fn least(storage: DType) -> f64 {
    if storage == DType::F16 { storage.smallest() / (2.0 * storage.unit_roundoff()) } else { 0.0 }
}

/// The roundings of the runs behind a floor. Many divide the chances of each rounding among them, so that none is missed;
/// of the least number each is held out in turn, and the others must know nothing of it.
pub fn roundings(storage: DType, runs: u64) -> impl Iterator<Item = Rounding> {
    let first = rounding(storage, 0);
    let apart = if runs > SAMPLES { 1 } else { STRATA };
    (0..runs).map(move |run| Rounding { seed: first.seed + run * apart, ..first })
}

/// The rounding of plain `f32` code: to nearest, whatever the storage type.
pub const PLAIN: Rounding = Rounding { operand: F32, least: 0.0, accumulate: F32, seed: 0 };

/// Unit roundoff of `f32`.
const F32: f64 = 1.0 / (1u64 << 24) as f64;

/// The rounding that exact answers survive: operands as narrow as any kernel's, sums with eight of the bits of
/// `f32` to spare for other orders, to nearest.
#[must_use]
pub fn coarse(storage: DType) -> Rounding {
    let operand = storage.unit_roundoff().max(DType::F16.unit_roundoff());
    Rounding { operand, least: least(storage), accumulate: 256.0 * F32, seed: 0 }
}

/// Whether a number is so near to where the range of `f32` ends that a power of two may change its digits.
#[must_use]
pub fn far(y: f64) -> bool {
    !(2f64.powi(-100)..=2f64.powi(100)).contains(&y.abs())
}

/// What is too small for `f32` is nothing.
#[must_use]
pub fn flushed(y: f64) -> f64 {
    if y.abs() < DType::F32.smallest() { 0.0 } else { y }
}

/// Factor on the deviations of the samples.
#[must_use]
pub fn scale(storage: DType) -> f64 {
    match storage {
        DType::F64 => DType::F64.unit_roundoff() / DType::F32.unit_roundoff(),
        _ => 1.0,
    }
}

/// Half a unit in the last place of `y`. Below the normal range kernels may flush to zero.
pub(super) fn half_ulp(dtype: DType, y: f64) -> f64 {
    if y == 0.0 {
        return 0.0;
    }
    let power = f64::from_bits(y.abs().to_bits() & 0x7ff0_0000_0000_0000);
    (dtype.unit_roundoff() * power).max(lost(dtype))
}

/// What may become zero in an answer of this type.
fn lost(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => DType::F16.smallest() / 2.0,
        DType::F64 | DType::I64 => f64::MIN_POSITIVE,
        DType::F32 | DType::Bf16 => f64::from(f32::MIN_POSITIVE),
    }
}

/// Whether zeros are the right answer in this type.
pub(super) fn vanishes(dtype: DType, truth: &ArrayD<f64>) -> bool {
    truth.iter().all(|y| y.abs() <= lost(dtype))
}
