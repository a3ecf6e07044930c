//! Every number of the measure on questions whose answers can be written down.

#![expect(clippy::float_cmp, reason = "powers of two and zeros are exact")]

use ndarray::{ArrayD, IxDyn};
use reference::dims;
use reference::rounded::Rounding;
use reference::tensor::{DType, Tensor};
use reports::verdict::Fault;

use super::{
    ALPHA, FREEDOM, HELD_OUT_CAP, Measure, PLAIN, Regions, Standard, Statistic, Subject, TAIL, cap, coarse, far,
    flushed, rounding, roundings, scale,
};

const SUBJECT: Subject<'_> = Subject { port: "o", dims: dims![B, T, H, V], dtype: DType::F64, storage: DType::F32 };

fn constant(shape: &[usize], value: f64) -> ArrayD<f64> {
    ArrayD::from_elem(IxDyn(shape), value)
}

/// A truth of one number whose samples err by `error` to both sides.
fn level(subject: Subject<'_>, shape: &[usize], truth: f64, error: f64) -> Standard {
    let samples = [1.0, -1.0, 1.0, -1.0].map(|side| constant(shape, truth + side * error));
    Standard::new(subject, constant(shape, truth), &samples)
}

fn bound(standard: &Standard, statistic: &str) -> f64 {
    let measures = standard.measures(&(&standard.truth * 0.0));
    measures.into_iter().find(|m| m.statistic == statistic).map_or(f64::NAN, |m| m.bound)
}

fn near(got: f64, wanted: f64) -> bool {
    (got - wanted).abs() <= 1e-9 * wanted.abs()
}

#[test]
fn precisions_are_what_they_are_declared_to_be() {
    let caps = [DType::Bf16, DType::F16, DType::F32, DType::F64].map(cap);
    assert_eq!(caps, [0.03125, 0.0078125, 2f64.powi(-14), 1e-10]);
    let rounds =
        |operand: i32, accumulate, seed| Rounding { operand: 2f64.powi(operand), least: 0.0, accumulate, seed };
    let f32 = 2f64.powi(-24);
    assert_eq!(rounding(DType::F64, 2), rounds(-24, f32, 9));
    assert_eq!(rounding(DType::F32, 0), rounds(-23, f32, 1));
    assert_eq!(rounding(DType::F16, 4), Rounding { least: 2f64.powi(-14), ..rounds(-11, f32, 17) });
    assert_eq!(rounding(DType::Bf16, 1), rounds(-8, f32, 5));
    let seeds = |runs| roundings(DType::F16, runs).map(|r| r.seed).collect::<Vec<_>>();
    assert_eq!((seeds(4), seeds(6)), (vec![1, 5, 9, 13], vec![1, 2, 3, 4, 5, 6]));
    // a second look has the runs of the first among its own
    let also = |runs| seeds(runs).iter().all(|seed| seeds(super::MORE * runs).contains(seed));
    assert!(also(super::SAMPLES) && also(super::MOST_SAMPLES));
    assert!(roundings(DType::F16, 6).all(|r| Rounding { seed: 1, ..r } == rounding(DType::F16, 0)));
    assert_eq!(PLAIN, rounds(-24, f32, 0));
    assert_eq!(coarse(DType::F32), rounds(-11, 2f64.powi(-16), 0));
    assert_eq!(coarse(DType::Bf16), rounds(-8, 2f64.powi(-16), 0));
    let scales = [DType::Bf16, DType::F16, DType::F32, DType::F64].map(scale);
    assert_eq!(scales, [1.0, 1.0, 1.0, 2f64.powi(-29)]);
}

#[test]
fn what_the_range_of_f32_loses_is_known() {
    let power = |n| 2f64.powi(n);
    assert!([0.0, power(-101), -power(-101), power(101), -power(101), f64::NAN].into_iter().all(far));
    assert!(![1.0, -1.0, power(-100), -power(100)].into_iter().any(far));
    let least = DType::F32.smallest();
    assert_eq!([least, -least, 3.0, -3.0].map(flushed), [least, -least, 3.0, -3.0]);
    assert_eq!([least / 2.0, -least / 2.0].map(flushed), [0.0, 0.0]);
}

#[test]
fn half_a_unit_in_the_last_place_goes_with_the_power_of_two() {
    let half = super::half_ulp;
    assert_eq!([1.0, 1.75, -8.5].map(|y| half(DType::F32, y)), [1.0, 1.0, 8.0].map(|p| p * 2f64.powi(-24)));
    assert_eq!(half(DType::F32, 0.0), 0.0);
    assert_eq!(half(DType::F32, 1e-40), f64::from(f32::MIN_POSITIVE));
    assert_eq!(half(DType::Bf16, 1e-40), f64::from(f32::MIN_POSITIVE));
    assert_eq!(half(DType::F16, 1e-9), 2f64.powi(-25));
    assert_eq!(half(DType::F64, f64::MIN_POSITIVE), f64::MIN_POSITIVE);
}

#[test]
fn means_and_excesses_are_plain_arithmetic() {
    assert!(near(super::root_mean_square([3.0, -4.0].into_iter()), 12.5f64.sqrt()));
    assert_eq!(super::root_mean_square(std::iter::empty()), 0.0);
    let measure = |error, bound| {
        let (port, statistic) = ("o".to_owned(), "rms".to_owned());
        super::excess(&Measure { port, statistic, error, bound, relative: 0.0, at: Vec::new(), runs: 0 })
    };
    assert_eq!((measure(3.0, 2.0), measure(f64::NAN, 2.0)), (1.5, f64::INFINITY));
}

#[test]
fn sigma_is_made_of_own_errors_of_the_neighbourhood_and_of_storing() {
    let array = |values: [f64; 2]| ArrayD::from_shape_vec(IxDyn(&[1, 1, 1, 2]), values.to_vec()).expect("two");
    let errors = [array([1.0, 0.0]), array([1.0, 2.0])];
    let sigma = super::floor(&[&errors[0], &errors[1]], 4.0, SUBJECT.dims, &array([0.25, 0.5]));
    // both together have squares of 3 on average of two runs, that is 1.5 each, which weigh as much as four runs
    let wanted: [f64; 2] = [(4.0 * 1.5 + 2.0) / 6.0 + 0.25, (4.0 * 1.5 + 4.0) / 6.0 + 0.5];
    assert!(sigma.iter().zip(wanted).all(|(s, w)| near(*s, w.sqrt())), "{sigma}");
}

#[test]
fn plain_code_raises_a_limit_to_what_it_shows() {
    for storage in [DType::F32, DType::F64] {
        let shape = [1, 40, 2, 16];
        let standard = level(Subject { storage, ..SUBJECT }, &shape, 4.0, 1e-6 / scale(storage));
        let (before, sigma) = (bound(&standard, "max"), standard.sigma[[0, 10, 0, 13]]);
        assert!(before > 12.0 && before < 20.0, "{before}");
        let with = |z: f64| {
            let mut plain = standard.truth.clone();
            plain[[0, 10, 0, 13]] += z * sigma / scale(storage);
            standard.clone().allowing(&plain, storage)
        };
        assert!(near(bound(&with(40.0), "max"), 40.0 * FREEDOM), "{}", bound(&with(40.0), "max"));
        assert!(near(bound(&with(5.0), "max"), before));
    }
}

#[test]
fn plain_code_beyond_the_cap_is_no_standard() {
    let shape = [1, 4, 1, 4];
    let doubted = |port, truth: f64, plain: f64| {
        let standard = level(Subject { port, ..SUBJECT }, &shape, truth, truth * 1e-9);
        assert_eq!(standard.doubt, None, "{truth}");
        standard.allowing(&constant(&shape, plain), DType::F32).doubt
    };
    assert_eq!(doubted("o", 4.0, 4.0 * (1.0 + 0.6 / 16384.0)), None);
    let said = doubted("o", 4.0, 4.0 * (1.0 + 1.4 / 16384.0)).expect("beyond the cap");
    assert!(said.contains("errs by 8.54e-5 of the truth of o, the cap is 6.10e-5"), "{said}");
    assert_eq!(doubted("d_q", 4.0, 4.4), None);
    assert!(doubted("d_q", 4.0, 4.6).is_some_and(|said| said.contains("the cap is 1.25e-1")));
    assert!(doubted("o", 4.0, f64::NAN).is_some());
    // so small that squares vanish, and what the type cannot hold
    assert_eq!(doubted("o", 1e-170, 2e-170), None);
    let tiny = level(Subject { dtype: DType::F32, ..SUBJECT }, &shape, 1e-60, 1e-69);
    assert!(tiny.is_trivial() && tiny.allowing(&constant(&shape, 1.0), DType::F32).doubt.is_none());
}

#[test]
fn a_floor_is_compared_with_the_truth_that_it_is_of() {
    let doubt = |port, error| level(Subject { port, ..SUBJECT }, &[1, 4, 1, 4], 4.0, error).doubt;
    assert_eq!(doubt("o", 4.0 * 0.8 / 16384.0), None);
    assert!(doubt("o", 4.0 * 1.2 / 16384.0).is_some_and(|said| said.contains("is 7.32e-5 of its truth")));
    assert_eq!(doubt("d_q", 0.4), None);
    assert!(doubt("d_q", 0.6).is_some_and(|said| said.contains("is 1.50e-1 of its truth, the cap is 1.25e-1")));
    let half = Subject { dtype: DType::F16, storage: DType::F16, ..SUBJECT };
    assert!(level(half, &[1, 4, 1, 4], 1e5, 1.0).doubt.is_some_and(|said| said.contains("f16 cannot hold")));
    assert!(level(half, &[1, 4, 1, 4], 65504.0, 1.0).doubt.is_none());
}

#[test]
fn an_error_is_told_relative_to_the_truth() {
    let shape = [1, 4, 1, 4];
    let standard = level(SUBJECT, &shape, 4.0, 1e-6);
    assert!(!standard.is_trivial());
    let relative = |standard: &Standard, error: f64| standard.measures(&constant(&shape, error))[0].relative;
    assert!(near(relative(&standard, 2e-6), 5e-7) && relative(&standard, 0.0) == 0.0);
    assert_eq!(relative(&level(SUBJECT, &shape, 0.0, 0.0), 0.0), 0.0);
}

#[test]
fn an_error_lies_where_it_is_in_the_map_and_in_the_tensor() {
    let shape = [2, 256, 64, 1];
    let standard = level(SUBJECT, &shape, 4.0, 1e-6);
    let mut error = constant(&shape, 0.0);
    error[[1, 200, 36, 0]] = -0.5;
    let heat = standard.heat(&error);
    assert_eq!((heat.len(), heat[0].len(), heat[100][50]), (128, 64, 0.5));
    assert_eq!(heat.iter().flatten().filter(|&&e| e != 0.0).count(), 1);
    let mut got = standard.truth.clone();
    got[[1, 200, 36, 0]] = f64::NAN;
    got[[1, 201, 36, 0]] = f64::INFINITY;
    let found = standard.judge(&Tensor::from_array(&got, DType::F64));
    let Err(Fault::NonFinite { at, count, .. }) = found else { panic!("{found:?}") };
    assert_eq!((at, count), (vec![1, 200, 36, 0], 2));
}

#[test]
fn of_several_statistics_the_one_furthest_beyond_its_limit_is_named() {
    let standard = level(SUBJECT, &[1, 40, 2, 16], 4.0, 1e-6);
    let got = &standard.truth + &(&standard.sigma * 30.0);
    let Err(Fault::Inaccurate { worst, others, .. }) = standard.judge(&Tensor::from_array(&got, DType::F64)) else {
        panic!("thirty floors everywhere")
    };
    assert!(!others.is_empty() && others.iter().all(|m| m.error / m.bound <= worst.error / worst.bound));
    assert!(near(worst.error, 30.0) && worst.error / worst.bound > 30.0 / TAIL / 6.0, "{worst:?}");
}

#[test]
fn every_statistic_looks_where_it_says() {
    let shape = [1, 130, 2, 20];
    let standard = level(SUBJECT, &shape, 4.0, 1e-6);
    let measured = |standard: &Standard, is_wrong: &dyn Fn(&[usize]) -> bool| {
        let mut error = &standard.truth * 0.0;
        for (at, e) in error.indexed_iter_mut() {
            let at = ndarray::Dimension::slice(&at);
            *e = if is_wrong(at) { 3.0 * standard.sigma[at] } else { 0.0 };
        }
        let measures = standard.measures(&error).into_iter();
        measures.map(|m| (m.statistic.clone(), (m.error, m.at))).collect::<std::collections::BTreeMap<_, _>>()
    };
    // one head's second chunk
    let chunk = measured(&standard, &|at| (64..128).contains(&at[1]) && at[2] == 1);
    assert!(near(chunk["rms"].0, 3.0 * (64.0f64 / 260.0).sqrt()), "{chunk:?}");
    assert!(["max", "block", "tile", "row"].iter().all(|s| near(chunk[*s].0, 3.0) && chunk[*s].1[2] == 1), "{chunk:?}");
    assert!(chunk["block"].1[1] >= 64 && chunk["row"].1[1] >= 64);
    // the last two tokens are a chunk of their own, its tiles two high, the last one four wide
    let tail = measured(&standard, &|at| at[1] == 129 && at[2] == 0 && at[3] >= 16);
    assert!(near(tail["block"].0, 3.0 * (4.0f64 / 40.0).sqrt()) && tail["block"].1[1] == 129, "{tail:?}");
    assert!(near(tail["tile"].0, 3.0 * 0.5f64.sqrt()) && near(tail["row"].0, 3.0 * 0.2f64.sqrt()), "{tail:?}");
    assert_eq!(tail["tile"].1[1..3], [129, 0]);
    // a state: one sequence's, one head's; tiles of the last two axes
    let state = level(Subject { port: "ht", dims: dims![N, H, K, V], ..SUBJECT }, &[2, 3, 20, 17], 4.0, 1e-6);
    let found = measured(&state, &|at| at[0] == 1 && at[1] == 2 && at[2] >= 16 && at[3] == 16);
    assert!(near(found["state"].0, 3.0 * (4.0f64 / 340.0).sqrt()) && near(found["tile"].0, 3.0), "{found:?}");
    assert!(found["state"].1[..2] == [1, 2] && found["tile"].1[..2] == [1, 2] && found["tile"].1[3] == 16);
    // tokens without a head of their own: a tile lies in tokens and channels, what has neither has no tile
    let flat = level(Subject { dims: dims![B, T, D], ..SUBJECT }, &[2, 70, 40], 4.0, 1e-6);
    let found = measured(&flat, &|at| at[0] == 1 && at[1] >= 64 && at[2] >= 32);
    assert!(near(found["tile"].0, 3.0) && near(found["block"].0, 3.0 * (8.0f64 / 40.0).sqrt()), "{found:?}");
    assert_eq!(Statistic::ALL.map(|s| Statistic::from_name(s.name())), Statistic::ALL.map(Some));
    assert_eq!(Statistic::from_name("mean"), None);
}

#[test]
fn chance_makes_of_numbers_what_the_lemma_says() {
    let quantile = |statistic: Statistic, dims, shape: &[usize], place: &[usize], common: &[[f64; 2]]| {
        let mut z = constant(shape, 0.0);
        z[place] = 1.0;
        statistic.worst(dims, &z, common).quantile
    };
    let lemma = |units: f64, regions: f64| {
        let x = (regions / ALPHA).ln();
        (1.0 + 2.0 * (x / units).sqrt() + 2.0 * x / units).sqrt()
    };
    assert!(near(quantile(Statistic::Rms, dims![D], &[4], &[1], &[]), lemma(4.0, 1.0)));
    let x = ALPHA.recip().ln();
    let common = (1.0 + 2.0 * (x * 0.5).sqrt() + 2.0 * x * 0.375).sqrt();
    assert!(near(quantile(Statistic::Rms, dims![D], &[4], &[1], &[[0.5, 0.375]]), common));
    assert!(near(quantile(Statistic::Max, dims![D], &[4], &[1], &[]), (2.0 * (8.0 / ALPHA).ln()).sqrt()));
    // a state of 20 by 17: four tiles, of which the third is four high and sixteen wide
    assert!(near(quantile(Statistic::Tile, dims![N, H, K, V], &[1, 1, 20, 17], &[0, 0, 18, 3], &[]), lemma(64.0, 4.0)));
    assert!(near(quantile(Statistic::Tile, dims![N, H, K, V], &[1, 1, 20, 17], &[0, 0, 3, 16], &[]), lemma(16.0, 4.0)));
}

#[test]
fn the_worst_region_is_the_one_that_chance_explains_least() {
    // of one tile of sixteen channels and one of four, of which chance makes more
    let standard = level(SUBJECT, &[1, 16, 1, 20], 4.0, 1e-6);
    let mut error = &standard.sigma * 1.0;
    for t in 0..16 {
        (16..20).for_each(|v| error[[0, t, 0, v]] *= 1.2);
    }
    let tile = standard.measures(&error).into_iter().find(|m| m.statistic == "tile").expect("measured");
    assert!(near(tile.error, 1.0) && tile.at[3] < 16, "{tile:?}");
}

#[test]
fn neighbourhoods_are_chunks_of_one_head_and_single_elements_are_pooled() {
    assert_eq!(Regions::neighbourhoods(dims![B, T, H, V], &[2, 130, 3, 4]).count(), 2 * 3 * 3);
    assert_eq!(Regions::neighbourhoods(dims![N, H, K, V], &[2, 3, 4, 5]).count(), 2 * 3);
    assert_eq!(Regions::neighbourhoods(dims![B, HV], &[2, 3]).count(), 1);
    let of = |dims, shape: &[usize]| Statistic::of(dims, shape).into_iter().map(Statistic::name).collect::<Vec<_>>();
    assert_eq!(of(dims![D, W], &[40, 40]), ["rms", "max"], "a weight has neither tokens nor a state");
}

#[test]
fn a_run_further_out_than_the_others_widens_the_limits() {
    let widened = |loud: f64| {
        let samples = [1.0, -1.0, 1.0, -loud].map(|e| constant(&[1, 4, 1, 4], 4.0 + e * 1e-3));
        let standard = Standard::new(SUBJECT, constant(&[1, 4, 1, 4], 4.0), &samples);
        let rms = standard.limits.iter().find(|l| l.statistic == Statistic::Rms).expect("measured");
        rms.quantiles / FREEDOM
    };
    // what one run shows is compared with what chance makes of as many errors
    let chance = bound(&level(SUBJECT, &[1, 4, 1, 4], 4.0, 1e-3), "rms") / FREEDOM;
    assert_eq!((widened(1.0), widened(1e3)), (1.0, HELD_OUT_CAP));
    assert!((widened(1.5 * chance) - 1.5).abs() < 1e-3, "{}", widened(1.5 * chance));
}
