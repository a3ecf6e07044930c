//! JUnit: a suite for each check, a test case for each case.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{reason, reproducer};
use crate::record::{Expected, Judged, Run};
use crate::verdict::Verdict;

/// The runs as a JUnit document.
#[must_use]
pub fn junit(runs: &[Run]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for run in runs {
        let mut checks: BTreeMap<&str, Vec<&Judged>> = BTreeMap::new();
        for judged in &run.judged {
            checks.entry(&judged.check).or_default().push(judged);
        }
        for (check, cases) in checks {
            suite(&mut xml, run, check, &cases);
        }
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn suite(xml: &mut String, run: &Run, check: &str, cases: &[&Judged]) {
    let failed = cases.iter().filter(|j| is_failure(j)).count();
    let skipped = cases.iter().filter(|j| is_skip(j)).count();
    let candidate = &run.candidate.name;
    let (name, seconds) = (escape(&format!("{candidate}.{check}")), cases.iter().map(|j| j.seconds).sum::<f64>());
    let _ = writeln!(
        xml,
        "<testsuite name=\"{name}\" tests=\"{}\" failures=\"{failed}\" skipped=\"{skipped}\" time=\"{seconds:.3}\">",
        cases.len()
    );
    for judged in cases {
        let (case, op) = (escape(&judged.case), escape(&judged.op));
        let _ = write!(xml, "<testcase name=\"{case}\" classname=\"{op}.{check}\" time=\"{:.3}\"", judged.seconds);
        let message = escape(&reason(&judged.verdict));
        if is_failure(judged) {
            let command = escape(&reproducer(run.asked(), &judged.case, check));
            let message =
                if judged.expected == Expected::Surprise { "an expected failure passed".into() } else { message };
            let _ = writeln!(xml, "><failure message=\"{message}\">{command}</failure></testcase>");
        } else if is_skip(judged) {
            let _ = writeln!(xml, "><skipped message=\"{message}\"/></testcase>");
        } else {
            xml.push_str("/>\n");
        }
    }
    xml.push_str("</testsuite>\n");
}

fn is_failure(judged: &Judged) -> bool {
    match (&judged.expected, &judged.verdict) {
        (Expected::Waived, _) => false,
        (Expected::Surprise, _) => true,
        (_, verdict) => !matches!(verdict, Verdict::Pass { .. } | Verdict::NotApplicable { .. }),
    }
}

fn is_skip(judged: &Judged) -> bool {
    !is_failure(judged) && !matches!(judged.verdict, Verdict::Pass { .. })
}

/// Text for XML: markup escaped, characters that XML forbids replaced.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
