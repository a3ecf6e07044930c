//! The planted faults: one table for each skeleton of kernels, in `conformance/zoo/`.

use optimized::plant::Edit;
use serde::{Deserialize, Serialize};

/// The skeletons whose kernels have faults planted in them, and their tables.
const TABLES: [(&str, &str); 4] = [
    ("chunk", include_str!("../../zoo/chunk.toml")),
    ("delta", include_str!("../../zoo/delta.toml")),
    ("scan", include_str!("../../zoo/scan.toml")),
    (TEMPLATE, include_str!("../../zoo/template.toml")),
];

/// The name under which faults of the Python candidate that people copy are hunted.
pub const TEMPLATE: &str = "template";

/// That candidate, and the name that its faults know it by.
const TEMPLATE_FILE: (&str, &str) = ("template.py", include_str!("../../python/fla_conformance/template.py"));

/// Names of the skeletons.
pub const SKELETONS: [&str; 3] = [TABLES[0].0, TABLES[1].0, TABLES[2].0];

/// What a fault changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The function: another number would come out of exact arithmetic.
    Semantic,
    /// How precisely it is computed.
    Precision,
}

/// One fault: a replacement in a kernel source.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// What is wrong, in a few words.
    pub name: String,
    /// What faults of its like are called.
    pub class: String,
    /// What it changes.
    pub kind: Kind,
    /// Kernel source.
    pub file: String,
    /// What stands there, once.
    pub from: String,
    /// What is put there.
    pub to: String,
    /// Why no answer can show it.
    pub equivalent: Option<String>,
}

impl Mutant {
    /// The Python candidate with the fault; `None` for a fault of another file, or one whose text does not stand there
    /// once.
    #[must_use]
    pub fn script(&self) -> Option<String> {
        let (name, text) = TEMPLATE_FILE;
        let fits = self.file == name && text.matches(&self.from).count() == 1;
        fits.then(|| text.replacen(&self.from, &self.to, 1))
    }

    /// The replacement.
    #[must_use]
    pub fn edit(&self) -> Edit<'_> {
        Edit { file: &self.file, from: &self.from, to: &self.to }
    }
}

/// The faults of a skeleton.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// The op whose kernels they are planted in.
    pub op: String,
    /// The faults.
    #[serde(rename = "mutant")]
    pub mutants: Vec<Mutant>,
}

/// The table of a skeleton; `None` for a name that is none.
///
/// # Errors
/// A table that does not parse.
pub fn table(skeleton: &str) -> Option<Result<Table, toml::de::Error>> {
    TABLES.iter().find(|(name, _)| *name == skeleton).map(|(_, text)| toml::from_str(text))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use optimized::plant::stands_once;

    use super::*;

    /// Faults that a skeleton has at least.
    const FEW: usize = 40;

    #[test]
    fn every_fault_can_be_planted_and_says_what_it_is() {
        for skeleton in SKELETONS {
            let table = table(skeleton).expect("it is listed").unwrap_or_else(|e| panic!("{skeleton}: {e}"));
            assert!(reference::spec(&table.op).is_some(), "{skeleton}: no op {}", table.op);
            let names: BTreeSet<&str> = table.mutants.iter().map(|m| m.name.as_str()).collect();
            assert_eq!(names.len(), table.mutants.len(), "{skeleton}: two faults of one name");
            for mutant in &table.mutants {
                stands_once(&mutant.edit()).unwrap_or_else(|e| panic!("{skeleton}, {}: {e}", mutant.name));
                assert_ne!(mutant.from, mutant.to, "{skeleton}, {}", mutant.name);
                assert!(!mutant.class.is_empty(), "{skeleton}, {}", mutant.name);
                let proof = mutant.equivalent.as_ref();
                assert!(proof.is_none_or(|p| p.split_whitespace().count() > 10), "{skeleton}, {}", mutant.name);
            }
            let alive = table.mutants.iter().filter(|m| m.equivalent.is_none()).count();
            assert!(alive >= FEW, "{skeleton} has {alive} faults");
            for kind in [Kind::Semantic, Kind::Precision] {
                assert!(table.mutants.iter().any(|m| m.kind == kind), "{skeleton}: {kind:?}");
            }
        }
    }

    #[test]
    fn every_fault_of_the_template_can_be_planted() {
        let table = table(TEMPLATE).expect("it is listed").expect("it parses");
        for mutant in &table.mutants {
            let script = mutant.script().unwrap_or_else(|| panic!("{}: its text is not there once", mutant.name));
            assert!(script.contains(&mutant.to), "{}", mutant.name);
        }
    }

    #[test]
    fn an_unknown_skeleton_has_no_table() {
        assert!(table("chunky").is_none());
    }
}
