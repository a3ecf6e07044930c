//! Waivers: errors of a precision, known and measured, that are let pass up to a number, on one device, for a while.
//!
//! ```toml
//! [[waiver]]
//! id = "W-2026-014"
//! case = "gated_delta_rule(*dtype=bf16,profile=slow_decay*"   # a pattern for the whole case string
//! check = "backward"                                          # one that measures
//! port = "d_g"
//! statistic = "block"
//! bound = 2.6                                                 # the largest value that is let pass, in floors
//! device = "AMD Radeon RX 7900*"                              # a pattern for the device's name
//! version = ">=6.4, <6.6"                                     # of the candidate
//! owner = "@x"
//! reason = "the sum over a chunk is in bf16; issue 123"
//! expires = "2027-03-01"                                      # 180 days from now at most
//! ```
//! What is semantic cannot be waived: no bits that differ, no answer that is not finite, no crash, and no error beyond
//! what rounding can be ([`cap`]). Every statistic that is beyond its limit needs a waiver of its own.

use std::path::{Path, PathBuf};

use reports::record::Identity;
use reports::verdict::{Fault, Measure, Verdict};
use serde::Deserialize;

use super::{Error, Why};
use crate::case::Case;
use crate::environment::{day, today};
use crate::glob::fits;
use crate::measure::{GRADIENT_CAP, Statistic, cap};

/// Checks whose failures are about how much; those of all others are about what.
const MEASURED: [&str; 7] = ["forward", "backward", "resume", "decode", "local", "absent", "gain"];

/// Days that a waiver may last.
const LONGEST: u64 = 180;

/// Cases of the largest suite that one waiver may be about.
pub(super) const MOST: usize = 50;

/// One waiver.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Waiver {
    pub(super) id: String,
    pub(super) case: String,
    pub(super) check: String,
    port: String,
    statistic: String,
    bound: f64,
    device: String,
    version: String,
    owner: String,
    pub(super) reason: String,
    expires: String,
    #[serde(skip)]
    pub(super) path: PathBuf,
}

impl Waiver {
    /// The waiver, if it may be one on that day.
    pub(super) fn sound(self, path: &Path, day_of_run: u64) -> Result<Self, Error> {
        let refused = |why: Why| Error::Waiver { path: path.to_owned(), id: self.id.clone(), why };
        for (field, text) in [("id", &self.id), ("owner", &self.owner), ("reason", &self.reason), ("port", &self.port)]
        {
            if text.trim().is_empty() {
                return Err(refused(Why::Empty { field }));
            }
        }
        if !MEASURED.contains(&self.check.as_str()) {
            return Err(refused(Why::Semantic { check: self.check.clone() }));
        }
        if self.statistic != "gain" && Statistic::from_name(&self.statistic).is_none() {
            return Err(refused(Why::Statistic { got: self.statistic.clone() }));
        }
        if !(self.bound > 0.0 && self.bound.is_finite()) {
            return Err(refused(Why::Bound { got: self.bound }));
        }
        if Range::parse(&self.version).is_none() {
            return Err(refused(Why::Version { got: self.version.clone() }));
        }
        let Some(last) = day(&self.expires) else { return Err(refused(Why::Date { got: self.expires.clone() })) };
        if last < day_of_run {
            return Err(refused(Why::Expired { on: self.expires.clone() }));
        }
        if last > day_of_run + LONGEST {
            return Err(refused(Why::TooLong { until: self.expires.clone(), days: LONGEST }));
        }
        Ok(Self { path: path.to_owned(), ..self })
    }

    /// Whether it is about this device and version at all.
    pub(super) fn concerns(&self, identity: &Identity) -> bool {
        let version = Range::parse(&self.version).is_some_and(|range| range.holds(&identity.version));
        version && fits(&self.device, &identity.device)
    }

    /// Whether it is about this case and check.
    pub(super) fn is_about(&self, case: &str, check: &str) -> bool {
        self.check == check && fits(&self.case, case)
    }

    /// Whether it lets one measure pass.
    fn covers(&self, case: &Case, measure: &Measure) -> bool {
        let possible = if measure.port.starts_with("d_") { GRADIENT_CAP } else { cap(case.dtype) };
        let limited = Measure { bound: self.bound, ..measure.clone() };
        let rounding = Measure { error: measure.relative, bound: possible, ..measure.clone() };
        self.port == measure.port && self.statistic == measure.statistic && limited.within() && rounding.within()
    }
}

/// Whether waivers let everything pass that is wrong.
pub(super) fn all_covered(waivers: &[&Waiver], case: &str, verdict: &Verdict) -> bool {
    let Verdict::Fail { fault: Fault::Inaccurate { worst, others, .. }, .. } = verdict else { return false };
    let Ok(case) = case.parse::<Case>() else { return false };
    std::iter::once(worst).chain(others).all(|m| waivers.iter().any(|w| w.covers(&case, m)))
}

/// Bounds on a version: `>=6.4, <6.6`.
#[derive(Debug)]
struct Range(Vec<(&'static str, Vec<u64>)>);

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let bound = |part: &str| {
            let part = part.trim();
            let sign = [">=", "<=", ">", "<", "="].into_iter().find(|sign| part.starts_with(sign))?;
            Some((sign, numbers(&part[sign.len()..])?))
        };
        text.split(',').map(bound).collect::<Option<Vec<_>>>().map(Self)
    }

    /// Whether a version lies within; of one that has no number nothing is known.
    fn holds(&self, version: &str) -> bool {
        let first = version.split_whitespace().next().unwrap_or_default();
        let Some(version) = numbers(first.split(['+', '-']).next().unwrap_or_default()) else { return false };
        let within = |(sign, bound): &(&str, Vec<u64>)| {
            let order = padded(&version, bound).cmp(&padded(bound, &version));
            match *sign {
                ">=" => order.is_ge(),
                "<=" => order.is_le(),
                ">" => order.is_gt(),
                "<" => order.is_lt(),
                _ => order.is_eq(),
            }
        };
        self.0.iter().all(within)
    }
}

/// As many numbers as the longer of the two has: 6.4 is 6.4.0.
fn padded(a: &[u64], b: &[u64]) -> Vec<u64> {
    let zeros = b.len().saturating_sub(a.len());
    a.iter().copied().chain(std::iter::repeat_n(0, zeros)).collect()
}

fn numbers(text: &str) -> Option<Vec<u64>> {
    text.trim().split('.').map(|n| n.parse().ok()).collect()
}

/// The day on which a file is read.
pub(super) fn now() -> u64 {
    today()
}

#[cfg(test)]
mod tests;
