//! Covariances: [`Domain::Covariance`](reference::spec::Domain::Covariance).

use super::Key;

/// Vectors whose outer products a covariance is made of.
const VECTORS: usize = 4;

/// The row of a covariance that begins with element `first`: the same products in the same order as in the column.
pub(super) fn fill(key: &Key, first: usize, row: &mut [f64]) {
    let width = row.len();
    let (matrix, i) = (first / (width * width), first / width % width);
    for (j, x) in row.iter_mut().enumerate() {
        let vector = |l: usize| ((matrix * VECTORS + l) * width) as u64;
        let products = (0..VECTORS).map(|l| key.normal(vector(l) + i as u64) * key.normal(vector(l) + j as u64));
        *x = products.sum::<f64>() / width as f64 + if i == j { 0.0625 } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Axis;

    use crate::case::Case;
    use crate::sample::inputs;

    #[test]
    fn a_covariance_is_symmetric_and_positive_definite() {
        let case: Case = "mesa_net(B=2,T=1,H=2,K=5,V=2,dtype=f32)".parse().expect("valid");
        let drawn = inputs(&case)["h_kk0"].to_array();
        let matrices = drawn.to_shape((4, 5, 5)).expect("two rows of two heads");
        for matrix in matrices.outer_iter() {
            assert_eq!(matrix, matrix.t());
            let mut rest = matrix.to_owned();
            // elimination: the pivots of a positive definite matrix are positive
            for p in 0..5 {
                assert!(rest[[p, p]] >= 0.06, "{matrix}");
                for i in p + 1..5 {
                    let factor = rest[[i, p]] / rest[[p, p]];
                    (p..5).for_each(|j| rest[[i, j]] -= factor * rest[[p, j]]);
                }
            }
        }
        assert_ne!(matrices.index_axis(Axis(0), 0), matrices.index_axis(Axis(0), 1));
    }
}
