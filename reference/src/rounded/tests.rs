use super::*;

#[test]
fn a_number_of_the_type_stays_and_others_go_to_a_neighbour() {
    let u = 1.0 / 256.0;
    for dither in [-0.99, -0.3, 0.0, 0.5, 0.99] {
        assert_eq!(round(1.9921875, u, 0.0, dither), 1.9921875);
        assert_eq!(round(-3.0, u, 0.0, dither), -3.0);
        let neighbour = round(1.001, u, 0.0, dither);
        assert!(neighbour == 1.0 || neighbour == 1.0078125, "{neighbour}");
    }
    assert_eq!(round(0.0, u, 0.0, 0.7), 0.0);
    assert_eq!(round(f64::INFINITY, u, 0.0, 0.7), f64::INFINITY);
}

#[test]
fn below_its_normal_range_a_type_has_an_even_grid() {
    let (u, least) = (2f64.powi(-11), 2f64.powi(-14));
    let spacing = 2.0 * u * least;
    for n in [1.0, 3.0, 700.0] {
        assert!(holds(u, least, n * spacing) && !holds(u, least, (n + 0.25) * spacing), "{n}");
        let near = |dither| round((n + 0.25) * spacing, u, least, dither) / spacing - n;
        assert_eq!([-0.9, 0.4, 0.6, 0.9].map(near), [0.0, 0.0, 1.0, 1.0], "{n}");
    }
    assert!(holds(u, 0.0, 0.25 * spacing), "without an end of the range");
    let rounding = |seed| Rounding { operand: u, least, accumulate: 0.0, seed };
    let of = |x| (1..9).map(|seed| with(&rounding(seed), 0, || read(x))).collect::<Vec<_>>();
    assert_eq!(of(0.0), [0.0; 8], "nothing stays nothing");
    assert!(of(0.3 * spacing).iter().all(|&x| x == 0.0 || x == spacing));
}

#[test]
fn without_a_seed_it_is_the_arithmetic_of_f32() {
    let u = 2f64.powi(-24);
    let rounding = Rounding { operand: u, accumulate: u, seed: 0, ..Rounding::default() };
    let (x, y, z) = (0.1f32, 1.0f32 / 3.0, -7.7f32);
    let plain = [x + y, x - z, x * y, x / z, (x + y) * z / x];
    let [a, b, c] = [x, y, z].map(|v| Rounded(f64::from(v)));
    let rounded = with(&rounding, 0, || [a + b, a - c, a * b, a / c, (a + b) * c / a]);
    assert_eq!(rounded.map(|r| r.0), plain.map(f64::from));
}

#[test]
fn two_roundings_at_once_are_as_far_off_as_one_after_the_other() {
    let (u, runs) = (1.0 / 256.0, 400_000);
    for x in [1.0078125, 1.37109375, 1.9921875] {
        let rounding = |seed| Rounding { operand: u, accumulate: 0.0, seed, ..Rounding::default() };
        let moments = |read: &dyn Fn() -> f64, seed| {
            let errors: Vec<f64> = with(&rounding(seed), 0, || (0..runs).map(|_| (read() - x) / u).collect());
            let of = |power| errors.iter().map(|e: &f64| e.powi(power)).sum::<f64>() / f64::from(runs);
            [of(1), of(2), of(4)]
        };
        let at_once = moments(&|| read(x), 3);
        let in_turn = moments(&|| operand(x * (1.0 + u * Stream::with(|s| s.next()).unwrap_or(0.0))), 100);
        assert!(at_once[0].abs() < 0.02, "{at_once:?}");
        assert!((1..3).all(|i| (at_once[i] / in_turn[i] - 1.0).abs() < 0.03), "{at_once:?} {in_turn:?}");
    }
}

#[test]
fn equal_exponents_are_off_by_the_same() {
    let rounding = |seed| Rounding { operand: 0.0, accumulate: 1.0 / 4096.0, seed, ..Rounding::default() };
    let of = |seed, x: f64| with(&rounding(seed), 0, || exponential(x) / x.exp() - 1.0);
    assert_eq!(of(3, -0.7), with(&rounding(3), 1, || (accumulated(0.1), exponential(-0.7)).1 / (-0.7f64).exp() - 1.0));
    let somewhere = |differ: &dyn Fn(f64) -> bool| (1..9).any(|i| differ(-0.1 * f64::from(i)));
    assert!(somewhere(&|x| (6..9).any(|seed| of(seed, x).signum() != of(5, x).signum())), "runs differ");
    assert!(somewhere(&|x| of(3, x).signum() != of(3, -0.7).signum()), "another number, another error");
    assert_eq!(of(3, 0.0), 0.0);
}

#[test]
fn rounding_is_unbiased_and_repeatable() {
    let rounding = Rounding { operand: 1.0 / 256.0, accumulate: 0.0, seed: 7, ..Rounding::default() };
    let mean = |unit| with(&rounding, unit, || (0..100_000).map(|_| operand(1.001)).sum::<f64>() / 100_000.0);
    assert!((mean(3) - 1.001).abs() < 1e-4, "{}", mean(3));
    assert_eq!(mean(3), mean(3));
    assert_ne!(mean(3), mean(4), "every unit has a stream of its own");
    assert_eq!(operand(1.001), 1.001, "nothing rounds outside");
}
