//! Random questions: numbers from a seed, distributed as each port's domain says.

use ndarray::{ArrayD, Axis, IxDyn};
use reference::problem::Problem;
use reference::spec::{Dim, Domain, Port};
use reference::tensor::Arrays;

/// The splitmix64 generator.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In (0, 1).
    fn uniform(&mut self) -> f64 {
        ((self.next() >> 12) as f64 + 0.5) / (1u64 << 52) as f64
    }

    fn normal(&mut self) -> f64 {
        let (radius, angle) = (self.uniform(), self.uniform());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }

    /// Standard normal numbers.
    pub(crate) fn array(&mut self, shape: &[usize]) -> ArrayD<f64> {
        ArrayD::from_shape_simple_fn(IxDyn(shape), || self.normal())
    }

    /// An input as real models produce it.
    pub(crate) fn input(&mut self, problem: &Problem, port: &Port) -> ArrayD<f64> {
        let mut array = self.array(&problem.shape(port));
        match problem.domain(port) {
            Domain::Normal => {}
            Domain::Weight => array /= (problem.fan_in(port).max(1) as f64).sqrt(),
            Domain::UnitKey => {
                let axis = Axis(array.ndim() - 1);
                for mut row in array.lanes_mut(axis) {
                    let norm = row.dot(&row).sqrt();
                    row /= norm;
                }
            }
            Domain::LogDecay => array.mapv_inplace(|x| -(-x - 1.0).exp().ln_1p()),
            // a fraction still, of which `inputs` makes the rest
            Domain::Fraction | Domain::Against(_) => array.mapv_inplace(|x| 1.0 / (1.0 + (-x).exp())),
            Domain::LogRate => array.mapv_inplace(|_| (1.0 + 15.0 * self.uniform()).ln()),
            Domain::Symbols(targets) => self.symbols(problem, targets, &mut array),
            Domain::Mask => array.mapv_inplace(|_| f64::from(u8::from(self.uniform() >= 0.125))),
            Domain::Covariance => self.covariance(&mut array),
            Domain::Uniform(low, high) => array.mapv_inplace(|_| low + (high - low) * self.uniform()),
            Domain::Blocks(size) => self.blocks(problem, port, problem.block(size), &mut array),
        }
        array
    }

    /// Indices of the vocabulary; of targets some, and the last of each sequence, are none.
    fn symbols(&mut self, problem: &Problem, targets: bool, array: &mut ArrayD<f64>) {
        let symbols = problem.size(Dim::S) as f64;
        array.mapv_inplace(
            |_| if targets && self.uniform() < 0.125 { -100.0 } else { (self.uniform() * symbols).floor() },
        );
        let rows = array.as_slice_mut().expect("a fresh array is contiguous");
        for end in problem.offsets().into_iter().filter(|&end| targets && end > 0) {
            rows[end - 1] = -100.0;
        }
    }

    /// A sixteenth of the identity, and the outer products of four vectors around unit length.
    fn covariance(&mut self, array: &mut ArrayD<f64>) {
        let (rows, width) = (array.ndim() - 2, array.len_of(Axis(array.ndim() - 1)));
        let count = array.shape()[..rows].iter().product::<usize>();
        let mut matrices = array.to_shape((count, width, width)).expect("square in the last two").to_owned();
        for mut matrix in matrices.outer_iter_mut() {
            matrix.fill(0.0);
            matrix.diag_mut().fill(0.0625);
            for _ in 0..4 {
                let a: Vec<f64> = (0..width).map(|_| self.normal() / (width as f64).sqrt()).collect();
                matrix.indexed_iter_mut().for_each(|((i, j), c)| *c += a[i] * a[j]);
            }
        }
        let shape = array.raw_dim();
        array.assign(&matrices.to_shape(shape).expect("as many elements"));
    }

    /// Block indices in ascending order after as many −1 as there are too few blocks; the token's own one is the last.
    fn blocks(&mut self, problem: &Problem, port: &Port, size: usize, array: &mut ArrayD<f64>) {
        let time = port.dims.iter().position(|&d| d == Dim::T).expect("blocks are chosen by tokens");
        let starts = if problem.sequences.is_some() { problem.offsets() } else { vec![0] };
        for (token, mut row) in array.axis_iter_mut(Axis(time)).enumerate() {
            let start = starts.iter().rfind(|&&s| s <= token).expect("the first sequence starts at 0");
            let own = (token - start) / size;
            let last = Axis(row.ndim() - 1);
            for mut lane in row.lanes_mut(last) {
                let others = own.min(lane.len().saturating_sub(1));
                let mut open: Vec<usize> = (0..own).collect();
                let mut chosen = vec![own];
                for _ in 0..others {
                    chosen.push(open.swap_remove((self.uniform() * open.len() as f64) as usize));
                }
                chosen.sort_unstable();
                lane.fill(-1.0);
                lane.iter_mut().rev().zip(chosen.iter().rev()).for_each(|(x, &block)| *x = block as f64);
            }
        }
    }

    /// Every input that the problem says is given.
    pub(crate) fn inputs(&mut self, problem: &Problem) -> Arrays {
        let mut inputs: Arrays = problem.inputs().map(|p| (p.name.to_owned(), self.input(problem, p))).collect();
        for port in problem.inputs() {
            if let Domain::Against(other) = problem.domain(port) {
                let against = &inputs[port.name] * &inputs[other];
                inputs.insert(port.name.to_owned(), -against);
            }
        }
        inputs
    }

    /// A cotangent of every output.
    pub(crate) fn cotangents(&mut self, problem: &Problem) -> Arrays {
        let outputs = problem.produced();
        outputs.map(|p| (format!("d_{}", p.name), self.array(&problem.shape(p)))).collect()
    }
}

/// The problem that these fields describe: `B=2,T=5,absent=h0`. Sizes that the op does not have are left out.
pub(crate) fn problem(op: &str, fields: &str) -> Problem {
    let mut problem = Problem::new(reference::spec(op).expect("a row of the table"), &[]);
    for field in fields.split(',').filter(|f| !f.is_empty()) {
        let (key, value) = field.split_once('=').expect("key=value");
        let known = problem.set(key, value).expect("a field that parses");
        assert!(known || Dim::from_name(key).is_some(), "{op} has no {key}");
    }
    problem
}
