//! Where and how a run is made.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use reports::record::Environment;

use crate::sample;

/// This machine, this program, this command line, now.
#[must_use]
pub fn here() -> Environment {
    Environment {
        suite: format!("{} (numbers {})", env!("CARGO_PKG_VERSION"), sample::VERSION),
        date: date(today()),
        command: command(),
        asked: String::new(),
        machine: machine(),
        precision: BTreeMap::new(),
    }
}

/// Today in UTC, counted from 1970-01-01.
#[must_use]
pub fn today() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()) / 86_400
}

/// The day of a date such as `2026-11-24`, counted from 1970-01-01; `None` when there is no such day.
#[must_use]
pub fn day(text: &str) -> Option<u64> {
    let mut parts = text.split('-').map(|part| part.parse::<u64>().ok());
    let [year, month] = [parts.next()??, parts.next()??];
    let day = parts.next()??;
    // at most so far into the year; the day itself is the one whose date reads so
    let first = (year.checked_sub(1970)? * 365 + month.checked_sub(1)? * 28 + day).saturating_sub(1);
    let leap_days_and_longer_months = year / 4 + 31;
    (first..=first + leap_days_and_longer_months).find(|&d| date(d) == text)
}

/// The command line, the program by its name alone: where it lies is nobody's business.
fn command() -> String {
    let program =
        |path: &str| Path::new(path).file_name().map_or(path.to_owned(), |n| n.to_string_lossy().into_owned());
    let words = std::env::args().enumerate().map(|(i, a)| quoted(&if i == 0 { program(&a) } else { a }));
    words.collect::<Vec<_>>().join(" ")
}

fn machine() -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    let mut note = |name: &str, fact: Option<String>| {
        if let Some(fact) = fact {
            facts.insert(name.to_owned(), fact);
        }
    };
    note("system", Some(format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)));
    note("kernel", std::fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|s| s.trim().to_owned()));
    note("processor", field("/proc/cpuinfo", "model name"));
    note("memory", field("/proc/meminfo", "MemTotal"));
    note("cores", std::thread::available_parallelism().ok().map(|n| n.to_string()));
    note("nvidia driver", std::fs::read_to_string("/sys/module/nvidia/version").ok().map(|s| s.trim().to_owned()));
    facts
}

/// What goes on at a time: as many as were asked for, else one for each core.
#[must_use]
pub fn jobs(asked: Option<u16>) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    asked.map_or_else(cores, usize::from)
}

/// Bytes of memory that programs may still take; `None` where the system does not say.
#[must_use]
pub fn free_memory() -> Option<u64> {
    let available = field("/proc/meminfo", "MemAvailable")?;
    Some(available.strip_suffix(" kB")?.trim().parse::<u64>().ok()? << 10)
}

/// The value of the first `name : value` line of a file.
fn field(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find(|l| l.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// A word as a shell reads it back.
#[must_use]
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The date of a day counted from 1970-01-01 (Hinnant's algorithm on years that start in March).
#[must_use]
pub fn date(days: u64) -> String {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_gregorian() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(20_781), "2026-11-24");
    }

    #[test]
    fn days_are_found_by_their_date_and_no_other() {
        for known in (0..60_000).step_by(37) {
            assert_eq!(day(&date(known)), Some(known));
        }
        for wrong in ["2026-02-29", "2026-13-01", "2026-1-1", "1969-12-31", "tomorrow", "2026-11"] {
            assert_eq!(day(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn some_memory_is_free() {
        let free = free_memory().expect("the system says");
        assert!((1 << 20..1 << 50).contains(&free), "{free}");
    }

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("a b'c"), r"'a b'\''c'");
        assert_eq!(quoted("--out"), "--out");
        assert_eq!(quoted(""), "''");
    }
}
