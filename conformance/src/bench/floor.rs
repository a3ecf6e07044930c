//! The least time that hardware allows.

use reference::problem::Problem;
use reference::spec::{Dim, Port};
use reference::tensor::DType;

/// What a device can do at best.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ceilings {
    /// Memory bandwidth, bytes per nanosecond (GB/s).
    pub(super) bandwidth: Option<f64>,
    /// Arithmetic in the case's type, operations per nanosecond (1000 of them are a TFLOP/s).
    pub(super) arithmetic: Option<f64>,
}

/// Vendors' data sheets: part of a device's name, GB/s, dense bf16 and f16 TFLOP/s. More specific names first.
const DATA_SHEETS: [(&str, f64, f64); 10] = [
    ("H200", 4800.0, 989.0),
    ("H100 PCIe", 2039.0, 756.0),
    ("H100 NVL", 3938.0, 835.0),
    ("H100", 3350.0, 989.0),
    ("H800", 3350.0, 989.0),
    ("B200", 8000.0, 2250.0),
    ("A100-SXM4-80GB", 2039.0, 312.0),
    ("A100", 1555.0, 312.0),
    ("MI300X", 5300.0, 1307.0),
    ("MI250X", 3277.0, 383.0),
];

impl Ceilings {
    /// Those given, or those of the data sheet of `device`.
    pub(super) fn of(device: &str, dtype: DType, bandwidth: Option<f64>, tflops: Option<f64>) -> Self {
        let sheet = DATA_SHEETS.iter().find(|(name, ..)| device.contains(name));
        let matrix = matches!(dtype, DType::Bf16 | DType::F16);
        Self {
            bandwidth: bandwidth.or_else(|| sheet.map(|s| s.1)),
            arithmetic: tflops.or_else(|| sheet.filter(|_| matrix).map(|s| s.2)).map(|t| t * 1e3),
        }
    }
}

/// What a computation cannot do without.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Least {
    /// Bytes moved.
    pub(super) bytes: f64,
    /// Floating-point operations.
    pub(super) flops: f64,
}

impl Least {
    /// Forward: each input is read once, each wanted output written once. Backward, which cannot start before forward
    /// has ended: inputs and cotangents are read once, gradients written once. Arithmetic: each token multiplies and
    /// adds into every element of the state and reads it with another multiply and add; its derivative costs twice
    /// that.
    pub(super) fn of(problem: &Problem, dtype: DType, want: &[String]) -> Self {
        let bytes = |port: &Port| {
            let elements: usize = problem.shape(port).iter().product();
            (elements * Problem::dtype(port, dtype).size()) as f64
        };
        let inputs: f64 = problem.inputs().map(bytes).sum();
        let wanted = |name: &str| want.iter().any(|w| w == name);
        let outputs: f64 = problem.produced().filter(|p| wanted(p.name)).map(bytes).sum();
        let gradients: Vec<_> = problem.inputs().filter(|p| wanted(&format!("d_{}", p.name))).collect();
        let tokens = problem.size(Dim::B) * problem.size(Dim::T);
        let states = problem.states().filter_map(|s| problem.spec.output(s.last));
        let state: usize =
            states.map(|p| p.dims.iter().filter(|&&d| d != Dim::N).map(|&d| problem.size(d)).product::<usize>()).sum();
        let forward = Self { bytes: inputs + outputs, flops: 4.0 * (tokens * state) as f64 };
        if gradients.is_empty() {
            return forward;
        }
        let backward = inputs + outputs + gradients.into_iter().map(bytes).sum::<f64>();
        Self { bytes: forward.bytes + backward, flops: 3.0 * forward.flops }
    }

    /// The floor's formula with its numbers.
    pub(super) fn formula(&self, ceilings: Ceilings) -> String {
        let moving = ceilings.bandwidth.map(|b| format!("{:.0} bytes at {b:.0} GB/s", self.bytes));
        let computing = ceilings.arithmetic.map(|a| format!("{:.0} operations at {:.0} TFLOP/s", self.flops, a / 1e3));
        match (moving, computing) {
            (Some(m), Some(c)) => format!("the longer of {m} and {c}"),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => "nothing is known of the device: give --bandwidth and --tflops".to_owned(),
        }
    }

    /// Least nanoseconds, when anything is known about the device.
    pub(super) fn time(&self, ceilings: Ceilings) -> Option<f64> {
        let moving = ceilings.bandwidth.map(|b| self.bytes / b);
        let computing = ceilings.arithmetic.map(|a| self.flops / a);
        match (moving, computing) {
            (Some(m), Some(c)) => Some(m.max(c)),
            (one, other) => one.or(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(names: &str) -> Vec<String> {
        names.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn hgrn_moves_three_tensors_forward_and_eight_in_all() {
        let spec = reference::spec("hgrn").expect("a known op");
        let mut problem = Problem::new(spec, &[(Dim::B, 1), (Dim::T, 10), (Dim::D, 100)]);
        problem.absent.insert("h0");
        let forward = Least::of(&problem, DType::Bf16, &want("o"));
        assert_eq!((forward.bytes as u64, forward.flops as u64), (3 * 2000, 4000));
        let both = Least::of(&problem, DType::Bf16, &want("o,d_x,d_g"));
        assert_eq!((both.bytes as u64, both.flops as u64), (8 * 2000, 12000));
    }

    #[test]
    fn the_slower_of_memory_and_arithmetic_is_the_floor() {
        let least = Least { bytes: 1e9, flops: 1e12 };
        let given = |b, t| least.time(Ceilings::of("a processor", DType::Bf16, b, t)).map(|ns| ns as u64);
        assert_eq!(given(None, None), None);
        assert_eq!(given(Some(1000.0), None), Some(1_000_000));
        assert_eq!(given(Some(1000.0), Some(100.0)), Some(10_000_000));
        let formula = least.formula(Ceilings::of("a processor", DType::Bf16, Some(1000.0), Some(100.0)));
        let expected = "the longer of 1000000000 bytes at 1000 GB/s and 1000000000000 operations at 100 TFLOP/s";
        assert_eq!(formula, expected);
        let sheet = Ceilings::of("NVIDIA H200", DType::Bf16, None, None);
        assert_eq!(sheet, Ceilings { bandwidth: Some(4800.0), arithmetic: Some(989e3) });
        assert_eq!(Ceilings::of("NVIDIA H200", DType::F32, None, None).arithmetic, None);
    }
}
