//! The generator, and functions that are the same on every machine.

/// The key of one stream of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(u64, u64);

impl Key {
    /// The key of a text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let absorb = |start: u64| text.bytes().fold(start, |h, b| mix(h ^ u64::from(b)));
        Self(absorb(0x243f_6a88_85a3_08d3), absorb(0x1319_8a2e_0370_7344))
    }

    /// The first word of the stream.
    #[must_use]
    pub fn word(&self) -> u64 {
        self.word_at(0, 0)
    }

    /// 64 random bits for element `i`; `lane` tells apart several words of one element.
    pub(super) fn word_at(&self, i: u64, lane: u64) -> u64 {
        mix(self.0 ^ mix(self.1.wrapping_add(i.wrapping_mul(8).wrapping_add(lane))))
    }

    /// Uniform in [0, 1).
    pub(crate) fn uniform(&self, i: u64) -> f64 {
        (self.word_at(i, 6) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in [-1, 1).
    #[must_use]
    pub fn signed(&self, i: u64) -> f64 {
        2.0 * self.uniform(i) - 1.0
    }

    /// Standard normal up to six deviations: the sum of twelve uniform numbers of 16 bits (Irwin and Hall), and a
    /// thirteenth in its last place, so that the numbers fill the mantissa of `f32`.
    pub(super) fn normal(&self, i: u64) -> f64 {
        let quarters = |w: u64| (0..4).map(move |j| (w >> (16 * j)) & 0xffff);
        let sum: u64 = (0..3).flat_map(|lane| quarters(self.word_at(i, lane))).sum();
        let rest = (self.word_at(i, 3) >> 32) as f64 / (1u64 << 32) as f64 - 0.5;
        // twelve means of 65535 / 2; the deviation of the sum is 2¹⁶ up to a relative 1e-10
        (sum as f64 - 6.0 * 65535.0 + rest) / 65536.0
    }
}

/// SplitMix64's finaliser (Steele, Lea & Flood 2014).
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// `eˣ` for |x| < 700, by halving the argument until a short series is exact enough, and squaring.
pub(super) fn exp(x: f64) -> f64 {
    let reduced = x / 1024.0;
    let series = (1..=10).rev().fold(1.0, |sum, n| 1.0 + sum * reduced / f64::from(n));
    (0..10).fold(series, |y, _| y * y)
}

/// Natural logarithm of a positive, normal number: exponent and the series of the inverse hyperbolic tangent.
pub(super) fn ln(x: f64) -> f64 {
    let exponent = ((x.to_bits() >> 52) & 0x7ff) as i64 - 1023;
    let mantissa = f64::from_bits((x.to_bits() & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    let y = (mantissa - 1.0) / (mantissa + 1.0);
    let series = (0..=24).rev().fold(0.0, |sum, n| sum * y * y + 1.0 / f64::from(2 * n + 1));
    exponent as f64 * std::f64::consts::LN_2 + 2.0 * y * series
}
