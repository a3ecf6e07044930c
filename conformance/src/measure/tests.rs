use ndarray::{ArrayD, Axis, IxDyn};
use reference::dims;
use reference::tensor::{DType, Tensor};
use reports::verdict::Fault;

use super::{Standard, Statistic, Subject};
use crate::sample::Key;

const SUBJECT: Subject<'_> = Subject { port: "o", dims: dims![B, T, H, V], dtype: DType::F32, storage: DType::F32 };

/// Noise of relative size 1e-6 around numbers of size 1.
fn standard(shape: &[usize]) -> Standard {
    let (truth, samples) = (noise(0, shape, 1.0), (1..=super::SAMPLES).map(|k| noise(k, shape, 1e-6)));
    let samples: Vec<ArrayD<f64>> = samples.map(|s| &truth + &s).collect();
    Standard::new(SUBJECT, truth, &samples)
}

fn noise(stream: u64, shape: &[usize], size: f64) -> ArrayD<f64> {
    let key = Key::new(&format!("noise {stream}"));
    let count: usize = shape.iter().product();
    let values = (0..count as u64).map(|i| size * (key.signed(i) + key.signed(i + 1) + key.signed(i + 2))).collect();
    ArrayD::from_shape_vec(IxDyn(shape), values).expect("as many values as elements")
}

fn with(standard: &Standard, change: impl Fn(usize, f64) -> f64) -> Result<Vec<super::Measure>, Fault> {
    let mut values = standard.truth.clone();
    values.iter_mut().enumerate().for_each(|(i, y)| *y = change(i, *y));
    standard.judge(&Tensor::from_array(&values, DType::F64))
}

#[test]
fn noise_like_the_floor_passes_and_three_times_it_fails() {
    let s = standard(&[1, 40, 2, 16]);
    assert!(s.judge(&Tensor::from_array(&(&s.truth + &noise(9, &[1, 40, 2, 16], 1e-6)), DType::F64)).is_ok());
    let loud = s.judge(&Tensor::from_array(&(&s.truth + &noise(9, &[1, 40, 2, 16], 3e-6)), DType::F64));
    assert!(matches!(loud, Err(Fault::Inaccurate { worst, .. }) if worst.statistic == "rms"));
}

#[test]
fn what_is_one_error_everywhere_counts_as_one() {
    let shape = [1, 40, 2, 16];
    let truth = noise(0, &shape, 1.0);
    // a factor for each of two heads, and a little noise
    let factor = |k: u64, head: usize| 1e-6 * Key::new(&format!("factor {k}")).signed(head as u64);
    let sample = |k: u64, size: f64| {
        let mut sample = &truth + &noise(k, &shape, size * 1e-8);
        for head in 0..2 {
            sample.index_axis_mut(Axis(2), head).mapv_inplace(|y| y * (1.0 + size * factor(k, head)));
        }
        sample
    };
    let samples: Vec<ArrayD<f64>> = (1..=12).map(|k| sample(k, 1.0)).collect();
    let s = Standard::new(SUBJECT, truth.clone(), &samples);
    let common = |name: &str| s.limits.iter().find(|l| l.statistic.name() == name).map(|l| l.common.clone());
    assert!(common("block").is_some_and(|c| c.len() == 2 && c.iter().all(|parts| parts[1] > 0.7)), "{s:?}");
    assert_eq!(common("max"), Some(Vec::new()));
    let judged = |error: ArrayD<f64>| s.judge(&Tensor::from_array(&(&truth + &error), DType::F64));
    // chance makes three times as much of one factor, but not of so many numbers that have nothing in common
    assert!(judged(&truth * 3e-6 * 0.58).is_ok());
    assert!(judged(&truth * 1e-4).is_err());
    let apart = standard(&shape);
    assert!(apart.limits.iter().all(|l| l.common.is_empty()), "{apart:?}");
}

#[test]
fn small_questions_have_more_runs_behind_their_floor() {
    let counts = [0, 1, 400_000, 800_000, 10_000_000].map(super::samples);
    assert_eq!(counts, [super::MOST_SAMPLES, super::MOST_SAMPLES, 10, 5, super::SAMPLES]);
}

#[test]
fn one_wrong_element_fails_on_the_maximum() {
    let s = standard(&[1, 40, 2, 16]);
    let found = with(&s, |i, y| if i == 333 { y + 1e-4 } else { y });
    let Err(Fault::Inaccurate { worst, heat, .. }) = found else { panic!("{found:?}") };
    assert_eq!((worst.statistic.as_str(), worst.at), ("max", vec![0, 10, 0, 13]));
    assert!(heat[10][0] > 9e-5 && heat[11][1] == 0.0);
}

#[test]
fn nan_and_infinity_never_pass() {
    let s = standard(&[1, 40, 2, 16]);
    for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let found = with(&s, |i, y| if i == 7 { wrong } else { y });
        assert!(matches!(found, Err(Fault::NonFinite { count: 1, .. })), "{found:?}");
    }
    let mut measure = with(&s, |_, y| y).expect("the truth itself").remove(0);
    measure.error = f64::NAN;
    assert!(!measure.within());
    (measure.error, measure.bound) = (0.0, f64::NAN);
    assert!(!measure.within());
}

#[test]
fn shapes_are_looked_at_first_and_nothing_is_right_about_nothing() {
    let s = standard(&[1, 4, 2, 16]);
    let wrong = Tensor::filled(DType::F32, &[1, 4, 16, 2], f64::NAN);
    assert!(matches!(s.judge(&wrong), Err(Fault::Malformed { .. })));
    let none = standard(&[1, 0, 2, 16]);
    assert_eq!(none.judge(&Tensor::filled(DType::F32, &[1, 0, 2, 16], 0.0)), Ok(Vec::new()));
}

#[test]
fn exact_zeros_must_be_exact() {
    let shape = [1, 4, 1, 4];
    let zero = ArrayD::zeros(IxDyn(&shape));
    let s = Standard::new(SUBJECT, zero.clone(), &[zero.clone(), zero]);
    assert!(s.is_trivial() && s.doubt.is_none());
    assert!(with(&s, |_, y| y).is_ok());
    assert!(with(&s, |i, y| if i == 3 { 1e-30 } else { y }).is_err());
}

#[test]
fn what_the_type_cannot_hold_must_be_as_good_as_zero() {
    let shape = [1, 4, 1, 4];
    let truth = noise(0, &shape, 1e-60);
    let s = Standard::new(SUBJECT, truth.clone(), &[truth.clone(), &truth * 1.5]);
    assert!(s.is_trivial() && s.doubt.is_none());
    assert!(with(&s, |_, _| 0.0).is_ok());
    assert!(with(&s, |i, y| if i == 3 { 1e-30 } else { y }).is_err());
}

#[test]
fn what_cannot_fail_is_doubted() {
    let shape = [1, 40, 2, 16];
    let truth = noise(0, &shape, 1.0);
    let loud: Vec<ArrayD<f64>> = (1..=4).map(|k| &truth + &noise(k, &shape, 0.3)).collect();
    assert!(Standard::new(SUBJECT, truth.clone(), &loud).doubt.is_some());
    let gradient = Subject { port: "d_q", ..SUBJECT };
    assert!(Standard::new(gradient, truth.clone(), &loud).doubt.is_some());
    let huge = truth.mapv(|y| y * 1e300);
    assert!(Standard::new(SUBJECT, huge.clone(), &[huge]).doubt.is_some());
    let broken: Vec<ArrayD<f64>> = vec![truth.mapv(|_| f64::NAN)];
    assert!(Standard::new(SUBJECT, truth, &broken).doubt.is_some());
}

#[test]
fn regions_are_measured_where_there_are_several() {
    let of = |dims, shape: &[usize]| Statistic::of(dims, shape).into_iter().map(Statistic::name).collect::<Vec<_>>();
    assert_eq!(of(dims![B, T, H, V], &[1, 40, 2, 16]), ["rms", "max", "block", "tile", "row"]);
    assert_eq!(of(dims![B, T, H, V], &[1, 1, 1, 16]), ["rms", "max"]);
    assert_eq!(of(dims![N, H, K, V], &[2, 3, 16, 16]), ["rms", "max", "state", "tile"]);
    assert_eq!(of(dims![B, T, HV], &[1, 200, 3]), ["rms", "max", "block"]);
    assert_eq!(of(dims![HV], &[4]), ["rms", "max"]);
}

#[test]
fn limits_grow_with_the_number_of_places_and_shrink_with_their_size() {
    let bound = |shape: &[usize], name: &str| {
        let s = standard(shape);
        let found = s.measures(&(&s.truth * 0.0)).into_iter().find(|m| m.statistic == name);
        found.map_or(0.0, |m| m.bound)
    };
    assert!(bound(&[1, 256, 2, 16], "row") > bound(&[1, 40, 2, 16], "row"));
    assert!(bound(&[1, 40, 2, 64], "row") < bound(&[1, 40, 2, 16], "row"));
    assert!(bound(&[1, 256, 2, 64], "block") < bound(&[1, 256, 2, 16], "block"));
}

#[test]
fn a_ragged_region_is_judged_by_what_it_holds() {
    // the last tile is 4 wide and 8 high
    let s = standard(&[1, 40, 1, 20]);
    let mut error = &s.truth * 0.0;
    for t in 32..40 {
        for v in 16..20 {
            error[[0, t, 0, v]] = s.sigma[[0, t, 0, v]];
        }
    }
    let tile = s.measures(&error).into_iter().find(|m| m.statistic == "tile").expect("measured");
    assert!((tile.error - 1.0).abs() < 1e-12 && tile.at[1] >= 32 && tile.at[3] >= 16, "{tile:?}");
    assert!(tile.bound > bound_of_a_whole_tile(&s), "four numbers scatter more than sixteen");
}

fn bound_of_a_whole_tile(s: &Standard) -> f64 {
    let mut error = &s.truth * 0.0;
    error[[0, 0, 0, 0]] = s.sigma[[0, 0, 0, 0]];
    s.measures(&error).into_iter().find(|m| m.statistic == "tile").map_or(f64::INFINITY, |m| m.bound)
}
