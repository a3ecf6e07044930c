//! Each statistic of the measure finds an error that all the others let pass.

use fla_conformance::case::Case;
use fla_conformance::measure::{Standard, Statistic};
use fla_conformance::truth::Truth;
use ndarray::ArrayD;
use ndarray::Dimension;

/// How far beyond its limit the error is.
const BEYOND: f64 = 1.2;

/// What is wrong by the same number of floors everywhere in some place.
struct Plant {
    statistic: Statistic,
    port: &'static str,
    place: fn(&[usize]) -> bool,
}

/// Outputs are `[B, T, H, V]`, states `[N, H, K, V]`.
const CASE: &str = "simple_gla(B=2,T=200,H=3,K=24,V=64,absent=g_gamma,dtype=bf16,seed=4)";

static PLANTS: &[Plant] = &[
    Plant { statistic: Statistic::Rms, port: "o", place: |_| true },
    Plant { statistic: Statistic::Max, port: "o", place: |at| at == [1, 77, 2, 5] },
    Plant { statistic: Statistic::Block, port: "o", place: |at| at[0] == 1 && at[1] / 64 == 2 && at[2] == 0 },
    Plant {
        statistic: Statistic::Tile,
        port: "o",
        place: |at| at[0] == 0 && at[1] / 16 == 3 && at[2] == 1 && at[3] / 16 == 2,
    },
    Plant { statistic: Statistic::Row, port: "o", place: |at| at[..3] == [0, 199, 2] },
    Plant { statistic: Statistic::State, port: "ht", place: |at| at[..2] == [1, 0] },
];

fn planted(standard: &Standard, plant: &Plant) -> ArrayD<f64> {
    let error = |size: f64| {
        let mut error = standard.sigma.mapv(|s| size * s);
        error.indexed_iter_mut().filter(|(at, _)| !(plant.place)(at.slice())).for_each(|(_, e)| *e = 0.0);
        error
    };
    let one = standard.measures(&error(1.0));
    let own = one.iter().find(|m| m.statistic == plant.statistic.name()).expect("it is measured");
    error(BEYOND * own.bound / own.error)
}

#[test]
fn every_statistic_finds_what_the_others_let_pass() {
    let truth = Truth::of(&CASE.parse::<Case>().expect(CASE));
    let standards = truth.outputs().expect("a valid case");
    for plant in PLANTS {
        let standard = &standards[plant.port];
        for m in standard.measures(&planted(standard, plant)) {
            let mine = m.statistic == plant.statistic.name();
            assert_eq!(m.within(), !mine, "{:?}: {} {:.2} of {:.2}", plant.statistic, m.statistic, m.error, m.bound);
            assert!(!mine || (plant.place)(&m.at), "{:?} at {:?}", plant.statistic, m.at);
        }
    }
}

#[test]
fn every_statistic_is_planted() {
    for statistic in Statistic::ALL {
        assert!(PLANTS.iter().any(|p| p.statistic == statistic), "{statistic:?}");
        assert_eq!(Statistic::from_name(statistic.name()), Some(statistic));
    }
}
