//! The kernel sources as self-contained units: includes are resolved here, so run-time compilers need no files.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::Backend;
use crate::ops::KERNELS;
use crate::shapes::{self, Kernel, Target};

include!(concat!(env!("OUT_DIR"), "/sources.rs"));

/// SHA-256 over the sources of an op's kernels and all that they include, for every back end: what records name, so
/// that evidence belongs to the very sources in the tree. `None` for an op without kernels.
#[must_use]
pub fn kernel_hash(op: &str) -> Option<String> {
    let row = KERNELS.iter().find(|row| row.op == op)?;
    let files = files(row.sources);
    let mut hash = Sha256::new();
    for (name, text) in SOURCES.iter().filter(|(name, _)| files.contains(*name)) {
        hash.update(name.as_bytes());
        hash.update(text.as_bytes());
    }
    Some(format!("{:x}", hash.finalize()))
}

/// These sources and all that they include for any back end.
fn files(sources: &[&str]) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for source in sources {
        for backend in [Backend::Host, Backend::Cuda, Backend::Hip] {
            // a set for each: what one back end has seen the next has yet to follow to files of its own
            let mut seen = BTreeSet::new();
            include(source, backend, &original, &mut seen, &mut String::new());
            files.append(&mut seen);
        }
    }
    files
}

/// What an op's kernels ask of memory beside inputs and outputs, as the head comments of its sources say it, in the
/// symbols told there. Empty for an op without kernels.
#[must_use]
pub fn workspaces(op: &str) -> Vec<String> {
    let row = KERNELS.iter().find(|row| row.op == op);
    let sources = row.into_iter().flat_map(|row| row.sources).filter_map(|source| original(source));
    sources.filter_map(|text| workspace(&text)).collect()
}

/// The paragraph of a head comment that begins with "workspace", without that word.
fn workspace(source: &str) -> Option<String> {
    let comment = source.lines().map_while(|line| line.strip_prefix("//")).map(str::trim);
    let mut lines = comment.skip_while(|line| !line.to_ascii_lowercase().starts_with("workspace"));
    let first = lines.next()?.trim_start_matches(char::is_alphabetic).trim_start_matches([':', ',']);
    let words = std::iter::once(first).chain(lines.take_while(|line| !line.is_empty())).flat_map(str::split_whitespace);
    Some(words.collect::<Vec<_>>().join(" "))
}

/// The unit of one kernel for a GPU.
pub(crate) fn unit(kernel: &Kernel, backend: Backend) -> String {
    let mut text = prelude(backend).to_owned();
    text += &expand(kernel.source, backend, &original);
    let _ = writeln!(text, "{}", kernel.entry());
    text
}

/// What a unit begins with. `tile/strip.h` has nothing for AMD, where its type must be known by name all the same; said
/// there or in `tile/hip.h`, it would be text that every record of CUDA's kernels is about, for nothing that they do.
const fn prelude(backend: Backend) -> &'static str {
    match backend {
        Backend::Hip => "namespace tile {\ntemplate <class S>\nstruct Strip;\n}\n",
        Backend::Host | Backend::Cuda => "",
    }
}

/// Every unit that a GPU back end compiles, by symbol: for building them without the device.
#[must_use]
pub fn units(backend: Backend) -> Vec<(String, String)> {
    let target = if backend == Backend::Hip { Target::Hip } else { Target::Cuda };
    shapes::all(target).iter().map(|kernel| (kernel.symbol(), unit(kernel, backend))).collect()
}

/// Where the text of a source comes from, by its path.
pub(crate) type Reader<'a> = dyn Fn(&str) -> Option<Cow<'static, str>> + 'a;

/// The text of a source as it is.
pub(crate) fn original(path: &str) -> Option<Cow<'static, str>> {
    SOURCES.iter().find(|(name, _)| *name == path).map(|(_, text)| Cow::Borrowed(*text))
}

/// A source with its includes in place, each once; the other machines' back ends are left out.
pub(crate) fn expand(path: &str, backend: Backend, read: &Reader<'_>) -> String {
    let mut text = String::new();
    let mut seen = BTreeSet::new();
    include(path, backend, read, &mut seen, &mut text);
    text
}

fn include(path: &str, backend: Backend, read: &Reader<'_>, seen: &mut BTreeSet<String>, text: &mut String) {
    let foreign = match backend {
        Backend::Host => ["tile/cuda.h", "tile/hip.h"],
        Backend::Cuda => ["tile/host.h", "tile/hip.h"],
        Backend::Hip => ["tile/host.h", "tile/cuda.h"],
    };
    if foreign.contains(&path) || !seen.insert(path.to_owned()) {
        return;
    }
    let Some(source) = read(path) else {
        let _ = writeln!(text, "#error \"{path} is not among the kernel sources\"");
        return;
    };
    for line in source.lines() {
        let quoted = line.trim_start().strip_prefix("#include \"").and_then(|rest| rest.split('"').next());
        match quoted {
            Some(name) => include(&resolve(path, name), backend, read, seen, text),
            None if line.trim() == "#pragma once" => {}
            None => _ = writeln!(text, "{line}"),
        }
    }
}

/// `name` as included from `from`: `chunk/simple_gla.cu` + `../tile/tile.h` is `tile/tile.h`.
fn resolve(from: &str, name: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in name.split('/') {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_self_contained_and_of_one_machine() {
        for (backend, mine, other) in [(Backend::Cuda, "mma.sync", "mfma"), (Backend::Hip, "mfma", "mma.sync")] {
            for (symbol, text) in units(backend) {
                assert!(!text.contains("#include \""), "{symbol} still includes a file");
                assert!(!text.contains("#error \"tile/"), "{symbol} lacks a file");
                assert!(text.contains(mine) && !text.contains(other), "{symbol} is not for {backend:?} alone");
                assert!(text.contains(&format!("TILE_ENTRY({symbol}, ")));
            }
        }
    }

    #[test]
    fn a_hash_is_that_of_the_sources_which_the_op_uses() {
        let hashes: Vec<_> = KERNELS.iter().map(|row| kernel_hash(row.op).expect("it has kernels")).collect();
        let distinct: BTreeSet<_> = KERNELS.iter().map(|row| row.sources).collect();
        assert_eq!(hashes.iter().collect::<BTreeSet<_>>().len(), distinct.len(), "one for each set of sources");
        assert_eq!(kernel_hash("there is no such op"), None);
    }

    #[test]
    fn a_hash_covers_what_each_machine_includes() {
        for row in KERNELS {
            let files = files(row.sources);
            for name in ["tile/host.h", "tile/cuda.h", "tile/hip.h", "tile/device.h"] {
                assert!(files.contains(name), "{}: {name}", row.op);
            }
        }
    }

    #[test]
    fn every_op_says_what_memory_it_takes() {
        for row in KERNELS {
            assert!(workspaces(row.op).iter().any(|text| text.len() > 20), "{}: a head comment is silent", row.op);
        }
        let comment = "// x\n// Workspaces, in floats:\n//   a  N * D\n// and more\n//\n// Launches\nint x;\n";
        assert_eq!(workspace(comment).as_deref(), Some("in floats: a N * D and more"));
        assert_eq!(workspace("// x\nint y;\n// workspace: no\n"), None);
    }

    #[test]
    fn paths_resolve() {
        assert_eq!(resolve("chunk/simple_gla.cu", "../tile/tile.h"), "tile/tile.h");
        assert_eq!(resolve("tile/tile.h", "cuda.h"), "tile/cuda.h");
    }
}
