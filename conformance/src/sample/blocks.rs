//! Blocks that tokens look at: [`Domain::Blocks`].

use std::collections::BTreeSet;

use reference::problem::Problem;
use reference::spec::{Dim, Domain, Port};

use super::Key;

/// Where the tokens of an input of block indices lie.
pub(super) struct Blocks {
    /// Tokens of a block.
    size: usize,
    /// Elements of one token, and tokens of one row.
    inner: usize,
    tokens: usize,
    /// First tokens of the sequences of a row.
    starts: Vec<usize>,
}

impl Blocks {
    /// `None` when the port holds anything else.
    pub(super) fn new(problem: &Problem, port: &Port) -> Option<Self> {
        let Domain::Blocks(size) = problem.domain(port) else { return None };
        let axis = port.dims.iter().position(|&d| d == Dim::T)?;
        let shape = problem.shape(port);
        let starts = if problem.sequences.is_some() { problem.offsets() } else { vec![0] };
        let inner = shape[axis + 1..].iter().product::<usize>().max(1);
        Some(Self { size: problem.block(size), inner, tokens: shape[axis].max(1), starts })
    }

    /// Fills the list that begins with element `first`: the token's own block last, before it as many others as there
    /// is room for (Floyd's choice of a subset), −1 before them.
    pub(super) fn fill(&self, key: &Key, first: usize, list: &mut [f64]) {
        let token = first / self.inner % self.tokens;
        let start = self.starts.iter().rfind(|&&s| s <= token).unwrap_or(&0);
        let own = (token - start) / self.size;
        let mut chosen = BTreeSet::new();
        for below in own - own.min(list.len().saturating_sub(1))..own {
            let i = (first + chosen.len()) as u64;
            let any = (key.uniform(i) * (below + 1) as f64) as usize;
            chosen.insert(if chosen.contains(&any) { below } else { any });
        }
        list.fill(-1.0);
        let places = list.iter_mut().rev();
        places.zip(std::iter::once(own).chain(chosen.into_iter().rev())).for_each(|(x, block)| *x = block as f64);
    }
}

#[cfg(test)]
mod tests {
    use crate::case::Case;
    use crate::sample::inputs;

    #[test]
    fn lists_are_of_different_blocks_of_the_past_and_end_with_the_own_one() {
        let case: Case = "nsa(seqs=9+0+1+21,H=2,L=4,block_size=2,seed=3)".parse().expect("valid");
        let positions: Vec<usize> = [9, 0, 1, 21].into_iter().flat_map(|n| 0..n).collect();
        let drawn: Vec<f64> = inputs(&case)["block_indices"].values().collect();
        let mut seen = [false; 11];
        for (i, list) in drawn.chunks(4).enumerate() {
            let own = positions[i / 2] / 2;
            let named: Vec<usize> = list.iter().filter(|&&x| x >= 0.0).map(|&x| x as usize).collect();
            assert!(list[..4 - named.len()].iter().all(|&x| x <= -1.0), "{list:?}");
            assert!(named.windows(2).all(|w| w[0] < w[1]), "{list:?}");
            assert_eq!((named.last(), named.len()), (Some(&own), 4.min(own + 1)), "{list:?}");
            named.iter().for_each(|&block| seen[block] = true);
        }
        assert!(seen.iter().all(|&s| s), "every block is chosen by some token");
    }
}
