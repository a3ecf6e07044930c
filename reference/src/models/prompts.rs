//! Sequences of a batch: rows that are padded on the left, or one row of sequences packed one after the other.

use ndarray::{Array2, Array3, ArrayView2, Axis};

use crate::real::Real;

/// The sequences of a batch, and where their tokens stand in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompts {
    sequences: Vec<Vec<usize>>,
    /// Row and first column of each.
    places: Vec<(usize, usize)>,
    shape: (usize, usize),
}

/// A batch that is none, with what was expected and what came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PromptError {
    /// A mask of another shape.
    #[error("the mask has shape {got:?}, expected that of the tokens, {expected:?}")]
    Mask {
        /// The shape of the tokens.
        expected: [usize; 2],
        /// The shape of the mask.
        got: [usize; 2],
    },
    /// Padding that is not on the left.
    #[error("row {row} has padding at {column}, after a token; expected all padding on the left")]
    Padding {
        /// The row.
        row: usize,
        /// Where a token is followed by padding.
        column: usize,
    },
    /// Offsets that do not describe a packing.
    #[error("cu_seqlens {got:?} must start at 0, never decrease and end at the number of tokens, {tokens}")]
    Packing {
        /// Tokens of the row.
        tokens: usize,
        /// The offsets.
        got: Vec<usize>,
    },
}

impl Prompts {
    /// Rows of tokens of which the mask says which are none: the first ones of a row.
    ///
    /// # Errors
    /// A mask of another shape, or with padding after a token.
    pub fn padded(ids: ArrayView2<'_, usize>, mask: ArrayView2<'_, bool>) -> Result<Self, PromptError> {
        let [expected, got] = [ids.dim(), mask.dim()].map(|(rows, columns)| [rows, columns]);
        if expected != got {
            return Err(PromptError::Mask { expected, got });
        }
        let (mut sequences, mut places) = (Vec::new(), Vec::new());
        for (row, (ids, mask)) in ids.rows().into_iter().zip(mask.rows()).enumerate() {
            let first = mask.iter().position(|&token| token).unwrap_or(mask.len());
            if let Some(column) = (first..mask.len()).find(|&column| !mask[column]) {
                return Err(PromptError::Padding { row, column });
            }
            sequences.push(ids.iter().skip(first).copied().collect());
            places.push((row, first));
        }
        Ok(Self { sequences, places, shape: ids.dim() })
    }

    /// One row, of which the offsets say where sequences begin.
    ///
    /// # Errors
    /// Offsets that do not describe a packing.
    pub fn packed(ids: &[usize], cu_seqlens: &[usize]) -> Result<Self, PromptError> {
        let ordered = cu_seqlens.windows(2).all(|w| w[0] <= w[1]);
        if !ordered || cu_seqlens.first() != Some(&0) || cu_seqlens.last() != Some(&ids.len()) {
            return Err(PromptError::Packing { tokens: ids.len(), got: cu_seqlens.to_vec() });
        }
        let sequences = cu_seqlens.windows(2).map(|w| ids[w[0]..w[1]].to_vec()).collect();
        let places = cu_seqlens.windows(2).map(|w| (0, w[0])).collect();
        Ok(Self { sequences, places, shape: (1, ids.len()) })
    }

    /// The tokens of every sequence.
    #[must_use]
    pub fn sequences(&self) -> Vec<&[usize]> {
        self.sequences.iter().map(Vec::as_slice).collect()
    }

    /// Logits of every sequence, each where its tokens stand in the batch: `[B, T, S]`, zero at padding.
    ///
    /// # Panics
    /// When they are not the logits of these sequences.
    #[must_use]
    pub fn place<F: Real>(&self, logits: &[Array2<F>]) -> Array3<F> {
        assert_eq!(logits.len(), self.sequences.len(), "logits of each sequence");
        let symbols = logits.first().map_or(0, Array2::ncols);
        let mut whole = Array3::from_elem((self.shape.0, self.shape.1, symbols), F::zero());
        for (logits, &(row, first)) in logits.iter().zip(&self.places) {
            let mut row = whole.index_axis_mut(Axis(0), row);
            row.slice_axis_mut(Axis(0), (first..first + logits.nrows()).into()).assign(logits);
        }
        whole
    }
}
