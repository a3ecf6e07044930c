//! Adam, in `f64`.

use ndarray::{ArrayD, Zip};
use reference::tensor::Arrays;

/// Step size; decays of the two moments; what is added to the root of the second.
const RATE: f64 = 1e-2;
const MOMENTS: [f64; 2] = [0.9, 0.95];
const EPS: f64 = 1e-6;

/// Longest gradient, all parameters together; a longer one is shortened.
const LENGTH: f64 = 1.0;

/// The moments of every parameter.
#[derive(Debug, Default)]
pub(super) struct Adam {
    steps: i32,
    moments: Arrays<[f64; 2]>,
}

impl Adam {
    /// One update of `weights` by the gradients `d_<name>`.
    pub(super) fn update(&mut self, weights: &mut Arrays, gradients: &Arrays) {
        self.steps += 1;
        let squares: f64 = gradients.values().flat_map(|g| g.iter().map(|x| x * x)).sum();
        let shorter = (LENGTH / squares.sqrt()).min(1.0);
        let unbias = MOMENTS.map(|beta| 1.0 / (1.0 - beta.powi(self.steps)));
        for (name, gradient) in gradients {
            let name = name.trim_start_matches("d_");
            let Some(weight) = weights.get_mut(name) else { continue };
            let fresh = || ArrayD::from_elem(weight.raw_dim(), [0.0; 2]);
            let moments = self.moments.entry(name.to_owned()).or_insert_with(fresh);
            Zip::from(weight).and(moments).and(gradient).for_each(|w, [m, v], &g| {
                let g = shorter * g;
                *m = MOMENTS[0] * *m + (1.0 - MOMENTS[0]) * g;
                *v = MOMENTS[1] * *v + (1.0 - MOMENTS[1]) * g * g;
                *w -= RATE * *m * unbias[0] / ((*v * unbias[1]).sqrt() + EPS);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr1;

    use super::*;

    #[test]
    fn the_first_step_is_the_rate_against_the_sign() {
        let array = |x: [f64; 2]| arr1(&x).into_dyn();
        let mut weights = Arrays::from([("w".to_owned(), array([1.0, 2.0]))]);
        Adam::default().update(&mut weights, &Arrays::from([("d_w".to_owned(), array([0.5, -3.0]))]));
        let moved = (&weights["w"] - &array([1.0, 2.0])) / RATE;
        assert!((moved - array([-1.0, 1.0])).iter().all(|e| e.abs() < 1e-5));
    }
}
