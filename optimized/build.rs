//! Embeds the kernel sources and compiles them for this machine's processor.
//!
//! Every kernel of [`shapes`] becomes a C symbol of the host build; `host_kernels.rs` looks them up by name.

#[path = "src/shapes/mod.rs"]
#[expect(dead_code, reason = "the host runs CUDA's shapes; the library uses the others")]
mod shapes;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use shapes::{Kernel, Target};

/// Set to anything where nothing is linked, as for a lint or documentation: kernels are then only declared.
const UNLINKED: &str = "OPTIMIZED_UNLINKED";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=kernels");
    println!("cargo::rerun-if-changed=src/shapes");
    println!("cargo::rerun-if-env-changed={UNLINKED}");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?);
    embed(&out)?;
    host(&out)
}

/// A table of path and text.
fn embed(out: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    collect(Path::new("kernels"), &mut files)?;
    files.sort();
    let mut table = String::from("static SOURCES: &[(&str, &str)] = &[\n");
    let here = env::current_dir()?;
    for file in files {
        let name = file.strip_prefix("kernels").map_err(io::Error::other)?.display().to_string();
        let _ = writeln!(table, "    ({name:?}, include_str!({:?})),", here.join(&file));
    }
    table.push_str("];\n");
    fs::write(out.join("sources.rs"), table)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// The host build, and the table by which it is found.
fn host(out: &Path) -> io::Result<()> {
    let kernels: Vec<Kernel> = shapes::all(Target::Cuda);
    fs::write(out.join("host_kernels.rs"), lookup(&kernels))?;
    if env::var_os(UNLINKED).is_some() {
        return Ok(());
    }
    compile(out, &kernels)
}

/// One unit for each source and storage type, the products once for each instruction set.
fn compile(out: &Path, kernels: &[Kernel]) -> io::Result<()> {
    let mut units: BTreeMap<(&str, &str), Vec<Kernel>> = BTreeMap::new();
    for kernel in kernels {
        units.entry((kernel.source, kernel.scalar.name())).or_default().push(*kernel);
    }
    let mut build = compiler();
    for ((source, scalar), kernels) in &units {
        let mut text = format!("#include \"{source}\"\n");
        for kernel in kernels {
            let _ = writeln!(text, "{}", kernel.entry());
        }
        let path = out.join(format!("{}-{scalar}.cpp", source.replace(['/', '.'], "-")));
        fs::write(&path, text)?;
        build.file(path);
    }
    build.file("kernels/tile/host_dispatch.cpp").opt_level(2).flag("-ffp-contract=off").compile("kernels");
    let x86 = env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64");
    let sets: &[(&str, Option<&str>)] = if x86 {
        &[("baseline", None), ("v3", Some("x86-64-v3")), ("v4", Some("x86-64-v4"))]
    } else {
        &[("baseline", None)]
    };
    for (name, march) in sets {
        let mut build = compiler();
        if let Some(march) = march {
            build.flag(format!("-march={march}"));
        }
        build.define("TILE_ISA", *name).opt_level(3).flag("-ffp-contract=fast");
        build.file("kernels/tile/host_gemm.cpp").compile(&format!("gemm_{name}"));
    }
    Ok(())
}

fn compiler() -> cc::Build {
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").include("kernels").warnings(false).debug(false);
    build
}

/// Rust declarations of the compiled kernels, and a function that finds one by its symbol.
fn lookup(kernels: &[Kernel]) -> String {
    let (mut declarations, mut arms) = (String::new(), String::new());
    for kernel in kernels {
        let symbol = kernel.symbol();
        let _ = writeln!(
            declarations,
            "    fn {symbol}(args: *const c_void, shared: *mut c_void, x: c_int, y: c_int, z: c_int);"
        );
        let _ = writeln!(declarations, "    safe static {symbol}_launch: [u32; 2];");
        let _ = writeln!(arms, "        {symbol:?} => ({symbol} as Block, {symbol}_launch),");
    }
    format!(
        "unsafe extern \"C\" {{\n{declarations}}}\n\n\
         /// The block function of a symbol, and its threads and shared bytes.\n\
         fn find(symbol: &str) -> Option<(Block, [u32; 2])> {{\n    \
         Some(match symbol {{\n{arms}        _ => return None,\n    }})\n}}\n"
    )
}
