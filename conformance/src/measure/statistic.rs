//! What is measured of z, over which regions, and what chance alone makes of it.

use ndarray::ArrayD;
use reference::rounded::CHUNK;
use reference::spec::Dim;

use super::common::{independent, parts};
use super::{ALPHA, FREEDOM, Limit, TAIL};

/// Rows and columns of a tile, as matrix units have them.
const TILE: usize = 16;

/// A number made of z, in the region where it is worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Statistic {
    /// Root mean square of everything: a wrong formula or scale.
    Rms,
    /// The largest: single wrong elements.
    Max,
    /// Root mean square over one head's [`CHUNK`] tokens: a wrong chunk.
    Block,
    /// Root mean square over one head's state: what is carried wrongly.
    State,
    /// Root mean square over 16 by 16 elements of a head: races, stale tiles.
    Tile,
    /// Root mean square over one token of a head: tails.
    Row,
}

impl Statistic {
    /// Every statistic.
    pub const ALL: [Self; 6] = [Self::Rms, Self::Max, Self::Block, Self::State, Self::Tile, Self::Row];

    /// Name in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rms => "rms",
            Self::Max => "max",
            Self::Block => "block",
            Self::State => "state",
            Self::Tile => "tile",
            Self::Row => "row",
        }
    }

    /// Inverse of [`Statistic::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }

    /// What an implementation's own choices may cost: what holds for single elements holds for what is about a token.
    #[must_use]
    pub const fn slack(self) -> f64 {
        match self {
            Self::Rms | Self::Block | Self::State => FREEDOM,
            Self::Max | Self::Tile | Self::Row => TAIL,
        }
    }

    /// The statistics that say something of their own about a tensor.
    pub(super) fn of(dims: &[Dim], shape: &[usize]) -> Vec<Self> {
        let (tokens, state) = (dims.contains(&Dim::T), dims.contains(&Dim::N));
        let concerns = |s: Self| match s {
            Self::Rms | Self::Max => true,
            Self::Block | Self::Row => tokens,
            Self::State => state,
            Self::Tile => plane(dims).is_some() && (tokens || state),
        };
        let own = |s: Self| {
            let regions = Regions::new(s, dims, shape);
            matches!(s, Self::Rms | Self::Max) || (regions.count() > 1 && regions.largest() > 1)
        };
        Self::ALL.into_iter().filter(|&s| concerns(s) && own(s)).collect()
    }

    /// What of the errors of several runs, in units of σ, is common to much of a region. For the largest, which is no
    /// smaller for being everywhere, it does not matter.
    pub(super) fn common(self, dims: &[Dim], shape: &[usize], runs: &[Vec<f64>]) -> Vec<[f64; 2]> {
        if self == Self::Max { Vec::new() } else { parts(&Regions::new(self, dims, shape), shape, runs) }
    }

    /// Where z is worst, in units of what chance makes of as many numbers with that much in common.
    pub(super) fn worst(self, dims: &[Dim], z: &ArrayD<f64>, common: &[[f64; 2]]) -> Worst {
        let regions = Regions::new(self, dims, z.shape());
        let found = if self == Self::Max {
            vec![(z.iter().copied().max_by(f64::total_cmp).unwrap_or(0.0), largest(z.len()))]
        } else {
            let mean = |(sum, n): (f64, u64)| if n == 0 { 0.0 } else { (sum / n as f64).sqrt() };
            let sums = regions.sums(z.shape(), z.iter().map(|z| z * z)).into_iter().enumerate();
            let parts = |i| common.get(i).copied().unwrap_or_else(|| independent(regions.units(i)));
            sums.map(|(i, sum)| (mean(sum), mean_square(parts(i), regions.count()))).collect()
        };
        let excess = |&(value, quantile): &(f64, f64)| value / quantile;
        let worst = (0..found.len()).max_by(|&a, &b| excess(&found[a]).total_cmp(&excess(&found[b])));
        let (value, quantile) = worst.map_or((0.0, 1.0), |i| found[i]);
        let at = worst.map_or_else(Vec::new, |i| regions.peak(i, z));
        Worst { value, quantile, at }
    }
}

/// A statistic in the region where it is worst.
#[derive(Debug, Clone)]
pub(super) struct Worst {
    pub(super) value: f64,
    /// What chance makes of it.
    pub(super) quantile: f64,
    /// The worst element there.
    pub(super) at: Vec<usize>,
}

impl Worst {
    pub(super) fn excess(&self) -> f64 {
        self.value / self.quantile
    }
}

/// What the root mean square of normal errors stays below in all of `regions` places, where the parts that independent
/// ones have of the variance are known by the sum of their squares and the largest.
fn mean_square([squares, largest]: [f64; 2], regions: usize) -> f64 {
    let x = (regions.max(1) as f64 / ALPHA).ln();
    (1.0 + 2.0 * (x * squares).sqrt() + 2.0 * x * largest).sqrt()
}

/// What the largest of `elements` normal errors stays below.
pub(super) fn largest(elements: usize) -> f64 {
    (2.0 * (2.0 * elements.max(1) as f64 / ALPHA).ln()).sqrt()
}

fn is_head(dim: Dim) -> bool {
    matches!(dim, Dim::B | Dim::N | Dim::H | Dim::HV | Dim::HQ)
}

/// The two axes that tiles lie in: tokens and the last one, or the last two of a state.
fn plane(dims: &[Dim]) -> Option<[usize; 2]> {
    let inner: Vec<usize> = (0..dims.len()).filter(|&i| !is_head(dims[i])).collect();
    let last = *inner.last()?;
    let first = inner.iter().copied().find(|&i| dims[i] == Dim::T).or_else(|| inner.iter().rev().nth(1).copied())?;
    (first != last).then_some([first, last])
}

/// A partition of a tensor into boxes.
pub(super) struct Regions {
    axes: Vec<Axis>,
}

#[derive(Clone, Copy)]
struct Axis {
    extent: usize,
    /// Elements of one box, and how many boxes there are.
    size: usize,
    count: usize,
    /// Elements that share one error.
    grain: usize,
}

impl Regions {
    /// The regions of a statistic.
    fn new(statistic: Statistic, dims: &[Dim], shape: &[usize]) -> Self {
        let tiled = plane(dims).unwrap_or([usize::MAX; 2]);
        Self::boxes(dims, shape, |i, dim| match (statistic, dim) {
            (Statistic::Rms | Statistic::Max, _) => usize::MAX,
            (Statistic::Tile, _) => {
                if tiled.contains(&i) {
                    TILE
                } else {
                    1
                }
            }
            (_, dim) if is_head(dim) => 1,
            (Statistic::Row, Dim::T) => 1,
            (_, Dim::T) => CHUNK,
            _ => usize::MAX,
        })
    }

    /// Neighbourhoods: one for each row or sequence, head, and [`CHUNK`] tokens; a tensor that would fall into single
    /// elements is one neighbourhood.
    pub(super) fn neighbourhoods(dims: &[Dim], shape: &[usize]) -> Self {
        let pooled = !dims.iter().copied().all(is_head);
        Self::boxes(dims, shape, |_, dim| match dim {
            Dim::T => CHUNK,
            dim if pooled && is_head(dim) => 1,
            _ => usize::MAX,
        })
    }

    fn boxes(dims: &[Dim], shape: &[usize], size: impl Fn(usize, Dim) -> usize) -> Self {
        let axis = |(i, (&dim, &extent)): (usize, (&Dim, &usize))| {
            let size = size(i, dim).clamp(1, extent.max(1));
            // the state carries one error through all tokens of a chunk
            let grain = if dim == Dim::T { CHUNK } else { 1 };
            Axis { extent, size, count: extent.div_ceil(size), grain }
        };
        Self { axes: dims.iter().zip(shape).enumerate().map(axis).collect() }
    }

    pub(super) fn count(&self) -> usize {
        self.axes.iter().map(|a| a.count).product()
    }

    /// Elements of the largest region.
    fn largest(&self) -> usize {
        self.axes.iter().map(|a| a.size).product()
    }

    /// Errors of a region that may differ.
    pub(super) fn units(&self, region: usize) -> usize {
        let mut rest = region;
        let units = |axis: &Axis| {
            let at = rest % axis.count.max(1);
            rest /= axis.count.max(1);
            axis.size.min(axis.extent - at * axis.size).div_ceil(axis.grain)
        };
        self.axes.iter().rev().map(units).product()
    }

    /// The region of each element.
    pub(super) fn places(&self, shape: &[usize]) -> Vec<usize> {
        let (lead, width) = shape.split_at(shape.len().saturating_sub(1));
        let width = width.first().copied().unwrap_or(1);
        let last = self.axes.last().map_or((1, 1), |a| (a.size, a.count));
        let mut places = Vec::with_capacity(shape.iter().product());
        for lane in 0..lead.iter().product() {
            let base = self.of(&super::index(lead, lane)) * last.1;
            for (count, start) in (0..width).step_by(last.0).enumerate() {
                places.resize(places.len() + last.0.min(width - start), base + count);
            }
        }
        places
    }

    /// The region of an index.
    pub(super) fn of(&self, at: &[usize]) -> usize {
        self.axes.iter().zip(at).fold(0, |g, (axis, i)| g * axis.count + i / axis.size)
    }

    /// The index of the largest element of a region.
    fn peak(&self, region: usize, z: &ArrayD<f64>) -> Vec<usize> {
        let (mut rest, mut part) = (region, z.view());
        let mut start = vec![0; self.axes.len()];
        for (i, axis) in self.axes.iter().enumerate().rev() {
            start[i] = rest % axis.count.max(1) * axis.size;
            rest /= axis.count.max(1);
            let end = (start[i] + axis.size).min(axis.extent);
            part.slice_axis_inplace(ndarray::Axis(i), (start[i]..end).into());
        }
        let largest = part.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(i, _)| i);
        super::index(part.shape(), largest).into_iter().zip(start).map(|(at, start)| at + start).collect()
    }

    /// Sum and number of the values of each region.
    pub(super) fn sums(&self, shape: &[usize], values: impl Iterator<Item = f64>) -> Vec<(f64, u64)> {
        let mut sums = vec![(0.0, 0u64); self.count()];
        for (place, value) in self.places(shape).into_iter().zip(values) {
            let (sum, count) = &mut sums[place];
            *sum += value;
            *count += 1;
        }
        sums
    }
}

/// The largest held-out or plain value of a statistic, where what is no number grants nothing.
pub(super) fn granted(limit: &Limit, dims: &[Dim], z: &ArrayD<f64>) -> f64 {
    let finite = z.mapv(|z| if z.is_finite() { z } else { 0.0 });
    limit.statistic.worst(dims, &finite, &limit.common).excess()
}
