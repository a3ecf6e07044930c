use super::*;
use crate::record::{Environment, Expected, Identity, Judged, Timed};
use crate::verdict::{Fault, Measure, Verdict};

fn measure(error: f64) -> Measure {
    Measure { port: "o".into(), statistic: "rms".into(), error, bound: 1.5, relative: 1e-3, at: vec![0, 1], runs: 12 }
}

fn judged(case: &str, verdict: Verdict) -> Judged {
    let [op, check, suite, ran] = ["hgrn", "forward", "smoke", ""].map(str::to_owned);
    Judged { op, case: case.into(), check, suite, verdict, expected: Expected::Pass, seconds: 0.1, ran }
}

fn run(judged: Vec<Judged>) -> Run {
    let candidate =
        Identity { name: "mine <b>".into(), version: "1".into(), device: "cpu".into(), kernels: Default::default() };
    Run { candidate, environment: Environment::default(), judged, timed: vec![] }
}

#[test]
fn nothing_from_outside_becomes_markup() {
    let evil = "</script><script>alert(1)</script> \u{1}";
    let fault = Fault::Error { message: evil.into() };
    let runs = [run(vec![judged("hgrn(T=1,dtype=bf16)", Verdict::Fail { fault, call: 0 })])];
    let page = html(&runs).expect("renders");
    assert!(!page.contains("<script>alert") && !page.contains("mine <b>"));
    assert_eq!(page.matches("</script>").count(), 1);
    let xml = junit(&runs);
    assert!(!xml.contains("<script>") && !xml.contains('\u{1}'));
    assert!(!markdown(&runs).contains("<script>"));
}

#[test]
fn junit_is_balanced_and_counts() {
    let verdicts = [
        Verdict::Pass { measures: vec![measure(0.5)] },
        Verdict::Fail { fault: Fault::Hang { seconds: 2.0 }, call: 1 },
        Verdict::Declined { reason: "no & never".into() },
        Verdict::NotApplicable { reason: "no hook".into() },
    ];
    let cases = verdicts.into_iter().map(|v| judged("hgrn(T=1)", v)).collect();
    let xml = junit(&[run(cases)]);
    assert!(xml.contains("tests=\"4\" failures=\"2\" skipped=\"1\""), "{xml}");
    assert_eq!(xml.matches("<testcase").count(), 4);
    assert_eq!(xml.matches("</testcase>").count() + xml.matches("time=\"0.100\"/>").count(), 4);
    assert!(xml.contains("no &amp; never"));
}

#[test]
fn twenty_thousand_cases_make_a_small_page() {
    let case = "gated_delta_rule(B=2,T=130,H=2,HV=4,K=100,V=60,dtype=bf16,profile=typical,seed=1)";
    let pass = || judged(case, Verdict::Pass { measures: vec![measure(0.7); 8] });
    let page = html(&[run((0..20_000).map(|_| pass()).collect())]).expect("renders");
    assert!(page.len() < 8 << 20, "{} bytes", page.len());
}

#[test]
fn a_time_without_a_check_does_not_count() {
    let timed = |checked| Timed {
        op: "hgrn".into(),
        case: "hgrn(T=1)".into(),
        pass: "forward".into(),
        times_ns: vec![2e6, 1e6, 3e6],
        workspace_bytes: Some(1 << 20),
        floor_ns: Some(1e6),
        checked,
        ..Timed::default()
    };
    let rows = speed::rows(&[Run { timed: vec![timed(true), timed(false)], ..run(vec![]) }]);
    assert_eq!((rows[0].median_ms, rows[0].of_floor), (Some(2.0), Some(2.0)));
    assert!(rows[1].median_ms.is_none() && rows[1].problem.is_some());
}

#[test]
fn an_empty_run_renders() {
    let page = html(&[]).expect("renders");
    assert!(page.contains("No runs in these records"));
    assert!(!junit(&[]).is_empty() && !markdown(&[]).is_empty());
}
