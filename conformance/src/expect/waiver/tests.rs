use super::super::Expectations;
use super::*;
use crate::environment::date;
use reports::record::Expected;

const CASE: &str = "hgrn(B=1,T=65,D=60,dtype=bf16,seed=3)";

fn text(expires: &str) -> String {
    format!(
        "[[waiver]]\nid = 'W-1'\ncase = 'hgrn(*dtype=bf16*)'\ncheck = 'backward'\nport = 'd_g'\nstatistic = 'rms'\n\
         bound = 2.5\ndevice = 'a card*'\nversion = '>=1.2, <2'\nowner = '@x'\nreason = 'known'\n\
         expires = '{expires}'\n"
    )
}

fn expectations(text: &str) -> Result<Expectations, Error> {
    let mut all = Expectations::default();
    all.add(Path::new("test.toml"), text)?;
    Ok(all)
}

fn soon() -> String {
    text(&date(now() + LONGEST))
}

fn measure(port: &str, statistic: &str, error: f64) -> Measure {
    let (port, statistic) = (port.to_owned(), statistic.to_owned());
    Measure { port, statistic, error, bound: 1.5, relative: 0.01, at: Vec::new(), runs: 4 }
}

fn failure(worst: Measure, others: Vec<Measure>) -> Verdict {
    Verdict::Fail { fault: Fault::Inaccurate { worst, others, heat: Vec::new() }, call: 0 }
}

fn meaning(check: &str, verdict: &Verdict) -> Expected {
    expectations(&soon()).expect("valid").meaning(CASE, check, verdict)
}

#[test]
fn an_error_passes_up_to_the_number_and_no_further() {
    let known = |error| failure(measure("d_g", "rms", error), Vec::new());
    assert_eq!(meaning("backward", &known(2.5)), Expected::Waived);
    assert_eq!(meaning("backward", &known(2.6)), Expected::Pass, "it fails as without a waiver");
    assert_eq!(meaning("backward", &known(f64::NAN)), Expected::Pass);
    assert_eq!(meaning("forward", &known(2.0)), Expected::Pass, "another check");
    assert_eq!(meaning("backward", &failure(measure("d_f", "rms", 2.0), Vec::new())), Expected::Pass);
    assert_eq!(meaning("backward", &failure(measure("d_g", "max", 2.0), Vec::new())), Expected::Pass);
}

#[test]
fn everything_that_is_wrong_needs_a_waiver() {
    let others = |port| failure(measure("d_g", "rms", 2.0), vec![measure(port, "rms", 2.0)]);
    assert_eq!(meaning("backward", &others("d_g")), Expected::Waived);
    assert_eq!(meaning("backward", &others("d_x")), Expected::Pass);
}

#[test]
fn what_is_right_again_is_no_longer_waived() {
    assert_eq!(meaning("backward", &Verdict::Pass { measures: Vec::new() }), Expected::Surprise);
    assert_eq!(meaning("forward", &Verdict::Pass { measures: Vec::new() }), Expected::Pass);
}

#[test]
fn what_is_no_matter_of_rounding_is_not_waived() {
    let gross = Measure { relative: 0.2, ..measure("d_g", "rms", 2.0) };
    assert_eq!(meaning("backward", &failure(gross, Vec::new())), Expected::Pass);
    let crash = Verdict::Fail { fault: Fault::Crash { message: String::new() }, call: 0 };
    assert_eq!(meaning("backward", &crash), Expected::Pass);
    assert_eq!(meaning("backward", &Verdict::Declined { reason: String::new() }), Expected::Pass);
    let semantic = ["lattice", "causality", "varlen", "isolation", "permute", "poison", "repeat", "prefix", "nothing"];
    for check in semantic {
        let wrong = expectations(&soon().replace("'backward'", &format!("'{check}'")));
        assert!(matches!(wrong, Err(Error::Waiver { why: Why::Semantic { .. }, .. })), "{check}");
    }
    for check in MEASURED {
        assert!(crate::check::check(check).is_some(), "{check}");
    }
}

#[test]
fn fields_are_looked_at() {
    let why = |text: &str| match expectations(text) {
        Err(Error::Waiver { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    assert!(matches!(why(&text(&date(now() - 1))), Why::Expired { .. }));
    assert!(matches!(why(&text("2025-01-01")), Why::Expired { .. }), "days are counted to today");
    assert!(matches!(why(&text(&date(now() + LONGEST + 1))), Why::TooLong { .. }));
    assert!(matches!(why(&text("soon")), Why::Date { .. }));
    for (from, to, field) in
        [("'W-1'", "''", "id"), ("'@x'", "' '", "owner"), ("'known'", "''", "reason"), ("'d_g'", "''", "port")]
    {
        assert_eq!(why(&soon().replace(from, to)), Why::Empty { field });
    }
    assert!(matches!(why(&soon().replace("'rms'", "'mean'")), Why::Statistic { .. }));
    assert!(matches!(why(&soon().replace("'>=1.2, <2'", "'1.2'")), Why::Version { .. }));
    for wrong in ["inf", "nan", "0.0", "-1.0"] {
        assert!(matches!(why(&soon().replace("2.5", wrong)), Why::Bound { .. }), "{wrong}");
    }
    assert_eq!(why(&(soon() + &soon())), Why::Twice);
    assert!(matches!(expectations(&soon().replace("owner = '@x'\n", "")), Err(Error::Parse { .. })));
    assert!(expectations(&text(&date(now()))).is_ok(), "its last day is one of its days");
}

#[test]
fn devices_and_versions_are_told_apart() {
    let left = |device: &str, version: &str| {
        let identity = Identity { device: device.to_owned(), version: version.to_owned(), ..Identity::default() };
        !expectations(&soon()).expect("valid").of(&identity).waivers(CASE, "backward").is_empty()
    };
    assert!(left("a card 80 GB", "1.2") && left("a card", "1.9.9 (driver 580)") && left("a card", "1.2.0+abc"));
    assert!(!left("another card", "1.2") && !left("a card", "2.0") && !left("a card", "1.1.9"));
    assert!(!left("a card", "unknown"));
    let holds = |range: &str, version: &str| Range::parse(range).expect("a range").holds(version);
    assert!(holds(">1.2, <=2", "2.0") && holds("<=2", "1.5") && holds("=1.2", "1.2.0"));
    assert!(!holds(">1.2, <=2", "1.2.0") && !holds("<=2", "2.0.1") && !holds("=1.2", "1.2.1"));
}

#[test]
fn a_waiver_must_fit_something_and_not_everything() {
    let all = expectations(&soon()).expect("valid");
    assert!(all.all_used(|_, _| MOST).is_ok());
    let unused = all.all_used(|_, _| 0);
    assert!(matches!(&unused, Err(Error::Unused { path, .. }) if path == Path::new("test.toml")), "{unused:?}");
    assert!(matches!(all.all_used(|_, _| MOST + 1), Err(Error::Waiver { why: Why::TooWide { .. }, .. })));
}
