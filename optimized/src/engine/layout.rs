//! Where sequences, their chunks and their pieces lie, as tables on the device.

use super::Job;
use crate::args::Ptr;
use crate::error::Error;

/// Where sequences and their chunks begin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) offsets: Ptr,
    pub(crate) chunks: Ptr,
    pub(crate) sequence_of_chunk: Ptr,
    /// Chunks of all sequences.
    pub(crate) total: usize,
}

/// Sequences cut into pieces, so that more blocks than sequences can work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pieces {
    /// Of pieces instead of sequences.
    pub(crate) layout: Layout,
    /// The sequence of each piece.
    pub(crate) owners: Ptr,
    /// The first piece of each sequence, and their number.
    pub(crate) firsts: Ptr,
    pub(crate) count: usize,
}

impl Job<'_> {
    /// Sequences and chunks of `chunk` tokens, as tables on the device.
    pub(crate) fn layout(&mut self, chunk: usize) -> Result<Layout, Error> {
        self.layout_of(&self.problem.offsets(), chunk)
    }

    /// Sequences that are cut into pieces of at most `most` chunks; an empty one is a piece too.
    pub(crate) fn pieces(&mut self, chunk: usize, most: usize) -> Result<Pieces, Error> {
        let (mut offsets, mut owners, mut firsts) = (vec![0], Vec::new(), vec![0]);
        for (n, bounds) in self.problem.offsets().windows(2).enumerate() {
            let cuts = (bounds[0]..bounds[1]).step_by(most * chunk).skip(1);
            offsets.extend(cuts.chain([bounds[1]]));
            owners.resize(offsets.len() - 1, n as i32);
            firsts.push(owners.len());
        }
        Ok(Pieces {
            layout: self.layout_of(&offsets, chunk)?,
            owners: self.memory.table("owners", &ints(&owners))?,
            firsts: self.memory.table("firsts", &longs(&firsts))?,
            count: owners.len(),
        })
    }

    fn layout_of(&mut self, offsets: &[usize], chunk: usize) -> Result<Layout, Error> {
        let mut chunks = vec![0usize];
        let mut owners: Vec<i32> = Vec::new();
        for (n, bounds) in offsets.windows(2).enumerate() {
            let count = (bounds[1] - bounds[0]).div_ceil(chunk);
            owners.extend(std::iter::repeat_n(n as i32, count));
            chunks.push(owners.len());
        }
        Ok(Layout {
            offsets: self.memory.table("offsets", &longs(offsets))?,
            chunks: self.memory.table("chunks", &longs(&chunks))?,
            sequence_of_chunk: self.memory.table("sequence_of_chunk", &ints(&owners))?,
            total: owners.len(),
        })
    }
}

fn longs(values: &[usize]) -> Vec<u8> {
    values.iter().flat_map(|&x| (x as i64).to_le_bytes()).collect()
}

fn ints(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}
