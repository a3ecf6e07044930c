//! Kernels with a fault in them, compiled into shared libraries by the C++ compiler of this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use optimized::plant::{PlantError, host_products, host_units};

use super::table::Mutant;

/// A library that cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The fault cannot be planted.
    #[error(transparent)]
    Plant(#[from] PlantError),
    /// No compiler.
    #[error("cannot start the C++ compiler {compiler:?}: {source}; set CXX to the one there is")]
    Compiler {
        /// The command.
        compiler: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A fault that is no C++.
    #[error("{what} does not compile:\n{log}")]
    Rejected {
        /// Which fault, or which part.
        what: String,
        /// What the compiler says.
        log: String,
    },
    /// A fault that the Python candidate cannot have.
    #[error("{what}: the text to replace does not stand once in the Python candidate")]
    Script {
        /// Which fault.
        what: String,
    },
    /// A file that cannot be written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A folder for libraries, with the matrix products that all of them need.
#[derive(Debug)]
pub struct Workshop {
    folder: tempfile::TempDir,
    compiler: String,
    products: Vec<PathBuf>,
}

impl Workshop {
    /// Compiles the products.
    ///
    /// # Errors
    /// No compiler, no room.
    pub fn open() -> Result<Self, Error> {
        let failed = |source| Error::File { path: std::env::temp_dir(), source };
        let folder = tempfile::TempDir::new().map_err(failed)?;
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
        let mut workshop = Self { folder, compiler, products: Vec::new() };
        for product in host_products() {
            let source = workshop.write(&format!("{}.cpp", product.name), &product.text)?;
            let object = source.with_extension("o");
            let mut command = workshop.command();
            command.args(&product.flags).arg("-c").arg("-o").arg(&object).arg(&source);
            workshop.run(command, &product.name)?;
            workshop.products.push(object);
        }
        Ok(workshop)
    }

    /// The library of `op`'s kernels of these padded widths with a fault in them; nothing when no such kernel sees it.
    ///
    /// # Errors
    /// A fault that cannot be planted or is no C++.
    pub fn library(&self, op: &str, mutant: &Mutant, widths: &[usize], name: &str) -> Result<Option<PathBuf>, Error> {
        let units = host_units(op, Some(&mutant.edit()), widths)?;
        if units.is_empty() {
            return Ok(None);
        }
        self.compile(&units, name, &mutant.name).map(Some)
    }

    /// The units of `op`'s kernels of these padded widths, without a fault.
    ///
    /// # Errors
    /// None that an op of ours can have.
    pub fn units(&self, op: &str, widths: &[usize]) -> Result<Vec<String>, Error> {
        Ok(host_units(op, None, widths)?)
    }

    /// The library of one such unit.
    ///
    /// # Errors
    /// No compiler, no room.
    pub fn right(&self, unit: &str, name: &str) -> Result<PathBuf, Error> {
        self.compile(&[unit.to_owned()], name, "a kernel without a fault")
    }

    fn compile(&self, units: &[String], name: &str, what: &str) -> Result<PathBuf, Error> {
        let library = self.folder.path().join(format!("{name}.so"));
        let mut command = self.command();
        command.args(["-O1", "-ffp-contract=off", "-shared", "-o"]).arg(&library);
        for (i, unit) in units.iter().enumerate() {
            command.arg(self.write(&format!("{name}-{i}.cpp"), unit)?);
        }
        command.args(&self.products);
        self.run(command, what)?;
        Ok(library)
    }

    /// The Python candidate with a fault in it.
    ///
    /// # Errors
    /// A fault that is not the template's.
    pub fn script(&self, mutant: &Mutant, name: &str) -> Result<PathBuf, Error> {
        let text = mutant.script().ok_or_else(|| Error::Script { what: mutant.name.clone() })?;
        self.write(&format!("{name}.py"), &text)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.compiler);
        command.args(["-std=c++17", "-fPIC", "-w"]);
        command
    }

    fn run(&self, mut command: Command, what: &str) -> Result<(), Error> {
        let started = |source| Error::Compiler { compiler: self.compiler.clone(), source };
        let output = command.output().map_err(started)?;
        if output.status.success() {
            return Ok(());
        }
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Error::Rejected { what: what.to_owned(), log })
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.path().join(name);
        std::fs::write(&path, text).map_err(|source| Error::File { path: path.clone(), source })?;
        Ok(path)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}
