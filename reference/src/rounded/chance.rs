//! How runs divide the chances of each rounding among them: whose dither is where between -1 and 1.

use super::Rounding;

/// Runs that divide the chances of a rounding among them.
pub const STRATA: u64 = 4;

/// In how many orders they may do it: two bits for each run.
#[rustfmt::skip]
const ORDERS: [u8; 24] = [
    0b00_01_10_11, 0b00_01_11_10, 0b00_10_01_11, 0b00_10_11_01, 0b00_11_01_10, 0b00_11_10_01,
    0b01_00_10_11, 0b01_00_11_10, 0b01_10_00_11, 0b01_10_11_00, 0b01_11_00_10, 0b01_11_10_00,
    0b10_00_01_11, 0b10_00_11_01, 0b10_01_00_11, 0b10_01_11_00, 0b10_11_00_01, 0b10_11_01_00,
    0b11_00_01_10, 0b11_00_10_01, 0b11_01_00_10, 0b11_01_10_00, 0b11_10_00_01, 0b11_10_01_00,
];

/// What a run makes of the roundings of a thread.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub(super) rounding: Rounding,
    /// Its own bits.
    key: u64,
    /// What is common to those among which it divides chances.
    pub(super) together: u64,
    /// Where an order says what its quarter is.
    shift: u32,
}

impl Run {
    pub(super) const fn new(rounding: Rounding) -> Self {
        let seed = rounding.seed;
        let turn = seed.wrapping_sub(1);
        Self { rounding, key: mix(seed), together: turn / STRATA, shift: 2 * (turn % STRATA) as u32 }
    }

    /// The random number in [-1, 1) that it has at an event: nothing for a seed of zero.
    #[inline]
    pub(super) fn dither(&self, event: u64) -> f64 {
        if self.rounding.seed == 0 {
            return 0.0;
        }
        let mut own = event ^ self.key;
        own = (own ^ (own >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        own ^= own >> 29;
        // a signed number is converted faster
        let within = (own >> 11) as i64 as f64 / (1u64 << 53) as f64;
        let stratum = ORDERS[(event >> 40) as usize % ORDERS.len()] >> self.shift & 3;
        (f64::from(stratum) + within) * (2.0 / STRATA as f64) - 1.0
    }
}

/// Bits that look random.
pub(super) const fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::super::{Stream, with};
    use super::*;

    const EVENTS: usize = 30_000;

    fn dithers(seed: u64) -> Vec<f64> {
        let rounding = Rounding { operand: 1.0, accumulate: 0.0, seed, ..Rounding::default() };
        with(&rounding, 5, || (0..EVENTS).map(|_| Stream::with(Stream::next).unwrap_or(2.0)).collect())
    }

    /// Which of so many equal parts of [-1, 1) it is in.
    fn part(dither: f64, parts: u64) -> u64 {
        ((dither + 1.0) * parts as f64 / 2.0) as u64
    }

    fn divide(runs: &[Vec<f64>], parts: u64) {
        for event in 0..EVENTS {
            let mut own: Vec<u64> = runs.iter().map(|run| part(run[event], parts)).collect();
            own.sort_unstable();
            assert_eq!(own, (0..parts).collect::<Vec<_>>(), "rounding {event}");
        }
    }

    fn mean(values: impl Iterator<Item = f64>) -> f64 {
        values.sum::<f64>() / EVENTS as f64
    }

    /// How many of all roundings are in the same part.
    fn alike(a: &[f64], b: &[f64], parts: u64) -> f64 {
        mean(a.iter().zip(b).map(|(a, b)| f64::from(u8::from(part(*a, parts) == part(*b, parts)))))
    }

    #[test]
    fn four_runs_in_a_row_divide_the_chances_of_every_rounding() {
        let runs: Vec<Vec<f64>> = (5..9).map(dithers).collect();
        divide(&runs, STRATA);
        for run in &runs {
            assert!(mean(run.iter().copied()).abs() < 0.02, "which stratum a run has is up to chance");
            assert!(mean(run.iter().zip(&run[1..]).map(|(a, b)| a * b)).abs() < 0.01, "from rounding to rounding");
        }
        let far = alike(&dithers(5 + 8 * STRATA), &runs[0], STRATA);
        assert!((0.235..0.265).contains(&far), "{far} of the strata are those of a run that is far away");
    }
}
