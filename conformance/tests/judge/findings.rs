//! Whatever fla fails at is explained by a finding, and every explanation by something that failed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use fla_conformance::case::Case;
use fla_conformance::glob::fits;
use serde::Deserialize;
use serde_json::Value;

const FINDINGS: &str = include_str!("../../../golden/FINDINGS.md");
const EXPLAINED: &str = include_str!("../../../golden/findings.toml");

/// What an explanation is about: form, spec, type, check, kind of fault, and the port or the message.
const WORDS: usize = 6;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Findings {
    /// Headings that no verdict needs.
    elsewhere: Vec<String>,
    finding: Vec<Finding>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Finding {
    heading: String,
    explains: Vec<String>,
}

fn text<'a>(line: &'a Value, place: &str) -> &'a str {
    line.pointer(place).and_then(Value::as_str).unwrap_or_default()
}

/// The words of a verdict, if it failed.
fn words(form: &str, line: &Value) -> Option<[String; WORDS]> {
    if text(line, "/verdict") != "fail" {
        return None;
    }
    let case = text(line, "/case");
    let case: Case = case.parse().unwrap_or_else(|e| panic!("{case}: {e}"));
    let said = ["/worst/port", "/port", "/message"].map(|place| text(line, place));
    let said = said.iter().find(|said| !said.is_empty()).copied().unwrap_or_default();
    let dtype = case.dtype.to_string();
    Some([form, text(line, "/op"), &dtype, text(line, "/check"), text(line, "/fault"), said].map(str::to_owned))
}

/// Every failed verdict of fla in the committed records; of several about one case and check the newest speaks.
fn failures() -> BTreeSet<[String; WORDS]> {
    let records = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../reports/records");
    let mut verdicts: BTreeMap<[String; 3], (String, Option<[String; WORDS]>)> = BTreeMap::new();
    for entry in std::fs::read_dir(records).expect("there are records") {
        let path = entry.expect("a file").path();
        let (mut form, mut date) = (None, String::new());
        for line in std::fs::read_to_string(&path).expect("text").lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            if text(&line, "/kind") == "run" {
                form = text(&line, "/candidate/name").strip_prefix("fla-").map(str::to_owned);
                text(&line, "/environment/date").clone_into(&mut date);
                continue;
            }
            let (Some(form), "judged") = (&form, text(&line, "/kind")) else { continue };
            let about = [form, text(&line, "/case"), text(&line, "/check")].map(str::to_owned);
            if verdicts.get(&about).is_none_or(|(known, _)| *known <= date) {
                verdicts.insert(about, (date.clone(), words(form, &line)));
            }
        }
    }
    verdicts.into_values().filter_map(|(_, failed)| failed).collect()
}

/// Six patterns, of which the last may have spaces; what stands between bars are alternatives.
fn explains(explanation: &str, failure: &[String; WORDS]) -> bool {
    let patterns: Vec<&str> = explanation.splitn(WORDS, ' ').collect();
    let fit = |(pattern, word): (&&str, &String)| pattern.split('|').any(|p| fits(p, word));
    patterns.len() == WORDS && patterns.iter().zip(failure).all(fit)
}

#[test]
fn every_finding_is_needed_by_a_verdict_or_said_to_come_from_elsewhere() {
    let findings: Findings = toml::from_str(EXPLAINED).expect("valid");
    let named = findings.finding.iter().map(|f| &f.heading).chain(&findings.elsewhere).map(String::as_str);
    let mut named: Vec<&str> = named.collect();
    let mut headings: Vec<&str> = FINDINGS.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    named.sort_unstable();
    headings.sort_unstable();
    assert_eq!(named, headings, "findings.toml names other findings than FINDINGS.md has, or one of them twice");
}

#[test]
fn what_failed_is_explained_and_nothing_else() {
    let findings: Findings = toml::from_str(EXPLAINED).expect("valid");
    let mut failures: BTreeMap<_, bool> = failures().into_iter().map(|failure| (failure, false)).collect();
    assert!(failures.len() > 100, "{} failures are not fla's", failures.len());
    let mut idle = Vec::new();
    for Finding { heading, explains: explanations } in &findings.finding {
        assert!(!explanations.is_empty(), "{heading:?} explains nothing");
        for explanation in explanations {
            let mut explained = failures.iter_mut().filter(|(failure, _)| explains(explanation, failure)).peekable();
            if explained.peek().is_none() {
                idle.push(explanation);
            }
            explained.for_each(|(_, done)| *done = true);
        }
    }
    let open: Vec<String> = failures.iter().filter(|(_, done)| !**done).map(|(failure, _)| failure.join(" ")).collect();
    assert!(open.is_empty(), "no finding explains\n{}", open.join("\n"));
    assert!(idle.is_empty(), "nothing failed that these would explain: {idle:#?}");
}
