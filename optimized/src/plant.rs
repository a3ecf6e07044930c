//! Host builds of the kernels with a fault planted in their sources, as text for a C++ compiler. What they are for: to
//! measure what a judge finds.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::Backend;
use crate::ops::KERNELS;
use crate::shapes::prologue::GATE;
use crate::shapes::{self, Kernel, Target, WIDTHS};
use crate::source::{expand, original};

/// A stretch of a kernel source that stands there once, and what replaces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edit<'a> {
    /// Path within the kernel sources: `chunk/simple_gla.cu`.
    pub file: &'a str,
    /// What stands there.
    pub from: &'a str,
    /// What is put there.
    pub to: &'a str,
}

/// An edit that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlantError {
    /// No such source.
    #[error("there is no kernel source {file}")]
    File {
        /// What was asked for.
        file: String,
    },
    /// A text that is not there, or there more than once.
    #[error("the text to replace stands {count} times in {file}, expected once: {from:?}")]
    Text {
        /// The source.
        file: String,
        /// The text.
        from: String,
        /// How often it is there.
        count: usize,
    },
    /// No kernel of the op sees the edited source.
    #[error("no kernel of {op} includes {file}")]
    Foreign {
        /// The op.
        op: String,
        /// The source.
        file: String,
    },
}

/// The units of `op`'s host build that include the edited source, with the edit made: every storage type, these padded
/// widths. Without an edit, all units.
///
/// # Errors
/// See [`PlantError`].
pub fn host_units(op: &str, edit: Option<&Edit<'_>>, widths: &[usize]) -> Result<Vec<String>, PlantError> {
    if let Some(edit) = edit {
        stands_once(edit)?;
    }
    let mut by_source: BTreeMap<&str, Vec<Kernel>> = BTreeMap::new();
    for kernel in shapes::all(Target::Cuda) {
        if sources(op).contains(&kernel.source) && widths.contains(&kernel.width) {
            by_source.entry(kernel.source).or_default().push(kernel);
        }
    }
    let mut units = Vec::new();
    for (source, kernels) in by_source {
        let seen = Cell::new(edit.is_none());
        let read = |path: &str| {
            let text = original(path)?;
            match edit.filter(|e| e.file == path) {
                Some(Edit { from, to, .. }) => {
                    seen.set(true);
                    Some(text.replacen(from, to, 1).into())
                }
                None => Some(text),
            }
        };
        let mut text = expand(source, Backend::Host, &read);
        for kernel in kernels {
            let _ = writeln!(text, "{}", kernel.entry());
        }
        if seen.get() {
            units.push(text);
        }
    }
    match (edit, units.is_empty()) {
        // widths that only other kernels have leave nothing to build
        (Some(edit), true) if widths.contains(&GATE.width) => {
            Err(PlantError::Foreign { op: op.to_owned(), file: edit.file.to_owned() })
        }
        _ => Ok(units),
    }
}

/// Whether the text of an edit can be replaced.
///
/// # Errors
/// [`PlantError::File`] and [`PlantError::Text`].
pub fn stands_once(edit: &Edit<'_>) -> Result<(), PlantError> {
    let file = edit.file.to_owned();
    let Some(text) = original(edit.file) else { return Err(PlantError::File { file }) };
    match text.matches(edit.from).count() {
        1 => Ok(()),
        count => Err(PlantError::Text { file, from: edit.from.to_owned(), count }),
    }
}

/// A file that every host library is linked with, and the flags that it is compiled with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// A name of its own.
    pub name: String,
    /// C++.
    pub text: String,
    /// Flags for the compiler.
    pub flags: Vec<String>,
}

/// The matrix products of the host build, as its build script compiles them.
#[must_use]
pub fn host_products() -> Vec<Product> {
    let x86 = cfg!(target_arch = "x86_64");
    let sets = [("baseline", None), ("v3", Some("x86-64-v3")), ("v4", Some("x86-64-v4"))];
    let product = |(isa, march): (&str, Option<&str>)| {
        let mut flags = vec![format!("-DTILE_ISA={isa}"), "-O3".to_owned(), "-ffp-contract=fast".to_owned()];
        flags.extend(march.map(|m| format!("-march={m}")));
        Product { name: format!("gemm_{isa}"), text: expand("tile/host_gemm.cpp", Backend::Host, &original), flags }
    };
    let mut products: Vec<Product> = sets.into_iter().take(if x86 { 3 } else { 1 }).map(product).collect();
    let text = expand("tile/host_dispatch.cpp", Backend::Host, &original);
    products.push(Product { name: "dispatch".to_owned(), text, flags: vec!["-O2".to_owned()] });
    products
}

/// The padded width of kernels for `K` channels of a key; the one that ops without keys have when there is none.
#[must_use]
pub fn padded_width(k: Option<usize>) -> Option<usize> {
    k.map_or(Some(GATE.width), |k| WIDTHS.into_iter().find(|&w| k <= w))
}

fn sources(op: &str) -> &'static [&'static str] {
    KERNELS.iter().find(|row| row.op == op).map_or(&[], |row| row.sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "scan/hgrn.cu";

    #[test]
    fn an_edit_is_made_once_and_only_where_it_can_be() {
        let edit = Edit { file: FILE, from: "y.x[u] = before;", to: "y.x[u] = h;" };
        let units = host_units("hgrn", Some(&edit), &[64]).expect("it stands there once");
        let [unit] = units.as_slice() else { panic!("{} units", units.len()) };
        assert!(unit.contains(edit.to) && !unit.contains(edit.from) && unit.contains("TILE_ENTRY(HgrnBackward_f16"));
        let twice = Edit { from: "barrier();", ..edit };
        assert!(matches!(host_units("hgrn", Some(&twice), &[64]), Err(PlantError::Text { count, .. }) if count > 1));
        let nowhere = Edit { from: "no such text", ..edit };
        assert!(matches!(host_units("hgrn", Some(&nowhere), &[64]), Err(PlantError::Text { count: 0, .. })));
        let lost = Edit { file: "scan/none.cu", ..edit };
        assert!(matches!(host_units("hgrn", Some(&lost), &[64]), Err(PlantError::File { .. })));
        assert!(matches!(host_units("simple_gla", Some(&edit), &[64]), Err(PlantError::Foreign { .. })));
    }

    #[test]
    fn every_op_has_its_units() {
        let engine = crate::Engine::open(Backend::Host).expect("the host is always there");
        let widths: Vec<usize> = shapes::all(Target::Cuda).iter().map(|kernel| kernel.width).collect();
        for op in engine.ops() {
            assert!(!host_units(op, None, &widths).expect("no edit").is_empty(), "{op}");
        }
    }
}
