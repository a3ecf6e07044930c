//! What CUDA and HIP have in common: compile at run time, keep binaries on disk, load, launch.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::{Device, Recorder};
use crate::args::Args;
use crate::error::Error;
use crate::shapes::{Kernel, Target};
use crate::{Backend, DeviceInfo, source};

/// A loaded kernel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loaded {
    /// The driver's handle.
    pub(super) function: u64,
    pub(super) threads: u32,
    pub(super) shared: u32,
}

/// A driver with a run-time compiler.
pub(super) trait Driver: Send + Sync {
    fn info(&self) -> &DeviceInfo;
    fn backend(&self) -> Backend;
    /// Whatever changes a binary apart from its source: compiler version, options.
    fn recipe(&self) -> String;
    fn compile(&self, symbol: &str, source: &str) -> Result<Vec<u8>, Error>;
    fn load(&self, image: &[u8], symbol: &str) -> Result<Loaded, Error>;
    fn allocate(&self, bytes: usize) -> Result<u64, Error>;
    fn free(&self, address: u64);
    fn upload(&self, address: u64, bytes: &[u8]) -> Result<(), Error>;
    fn download(&self, address: u64, bytes: &mut [u8]) -> Result<(), Error>;
    fn fill(&self, address: u64, bytes: usize) -> Result<(), Error>;
    fn launch(&self, kernel: Loaded, blocks: u32, args: &Args) -> Result<(), Error>;
    fn synchronize(&self) -> Result<(), Error>;
    /// Puts one of two marks (0 or 1) behind everything launched so far.
    fn mark(&self, which: usize) -> Result<(), Error>;
    /// Milliseconds between the two marks, once both have been reached.
    fn between(&self) -> Result<f32, Error>;
    fn recorder(&self) -> Option<&dyn Recorder> {
        None
    }
}

/// A GPU.
pub(super) struct Gpu<D: Driver> {
    driver: D,
    loaded: HashMap<Kernel, Loaded>,
    /// Memory that is overwritten to empty the cache.
    scratch: u64,
    scratch_bytes: usize,
}

impl<D: Driver> Gpu<D> {
    pub(super) fn new(driver: D) -> Self {
        Self { driver, loaded: HashMap::new(), scratch: 0, scratch_bytes: 0 }
    }
}

/// The binary of a kernel, from the disk if it is there.
fn image(driver: &impl Driver, kernel: &Kernel) -> Result<Vec<u8>, Error> {
    let symbol = kernel.symbol();
    let source = source::unit(kernel, driver.backend());
    let mut hash = Sha256::new();
    hash.update(source.as_bytes());
    hash.update(driver.recipe().as_bytes());
    let key = format!("{:x}", hash.finalize());
    let path = cache().map(|folder| folder.join(format!("{symbol}-{}.bin", &key[..32])));
    if let Some(image) = path.as_deref().and_then(read) {
        return Ok(image);
    }
    let image = driver.compile(&symbol, &source)?;
    if let Some(path) = path {
        write(&path, &image);
    }
    Ok(image)
}

/// Where binaries are kept: `$XDG_CACHE_HOME` or `~/.cache`, `fla-conformance` below it.
fn cache() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    Some(base.or_else(home)?.join("fla-conformance"))
}

/// A kept binary; `None` when there is none or its checksum is wrong.
fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = fs::read(path).ok()?;
    let image = bytes.split_off(bytes.len().min(32));
    (Sha256::digest(&image)[..] == bytes[..]).then_some(image)
}

/// Keeps a binary behind its checksum. A cache that cannot be written is no reason to fail.
fn write(path: &Path, image: &[u8]) {
    let Some(folder) = path.parent() else { return };
    let draft = folder.join(format!(".{}-{}", std::process::id(), path.file_name().unwrap_or_default().display()));
    let put = || -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut file = fs::File::create(&draft)?;
        file.write_all(&Sha256::digest(image))?;
        file.write_all(image)?;
        drop(file);
        fs::rename(&draft, path)
    };
    if put().is_err() {
        let _ = fs::remove_file(&draft);
    }
}

impl<D: Driver> Device for Gpu<D> {
    fn info(&self) -> &DeviceInfo {
        self.driver.info()
    }

    fn target(&self) -> Target {
        if self.driver.backend() == Backend::Hip { Target::Hip } else { Target::Cuda }
    }

    fn allocate(&mut self, bytes: usize) -> Result<u64, Error> {
        self.driver.allocate(bytes)
    }

    fn free(&mut self, address: u64) {
        self.driver.free(address);
    }

    fn upload(&mut self, address: u64, bytes: &[u8]) -> Result<(), Error> {
        if bytes.is_empty() { Ok(()) } else { self.driver.upload(address, bytes) }
    }

    fn download(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), Error> {
        if bytes.is_empty() { self.driver.synchronize() } else { self.driver.download(address, bytes) }
    }

    /// Those of a call, in parallel, and no others: what a call waits for the first time is the slowest of its own.
    fn prepare(&mut self, kernels: &[Kernel]) -> Result<(), Error> {
        let missing: HashSet<Kernel> = kernels.iter().filter(|k| !self.loaded.contains_key(k)).copied().collect();
        let driver = &self.driver;
        let built = missing.into_par_iter().map(|k| Ok((k, image(driver, &k)?)));
        for (kernel, image) in built.collect::<Result<Vec<_>, Error>>()? {
            let loaded = self.driver.load(&image, &kernel.symbol())?;
            self.loaded.insert(kernel, loaded);
        }
        Ok(())
    }

    fn launch(&mut self, kernel: &Kernel, blocks: usize, args: &Args) -> Result<(), Error> {
        let unprepared = || Error::Declined(format!("{} was launched before it was prepared", kernel.symbol()));
        let loaded = self.loaded.get(kernel).copied().ok_or_else(unprepared)?;
        let blocks = u32::try_from(blocks).ok().filter(|&b| b <= i32::MAX as u32);
        let blocks = blocks.ok_or_else(|| Error::Declined("more than 2^31 blocks in one launch".to_owned()))?;
        self.driver.launch(loaded, blocks, args)
    }

    fn recorder(&self) -> Option<&dyn Recorder> {
        self.driver.recorder()
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.scratch == 0 {
            // several times the cache
            self.scratch_bytes = (4 * self.info().cache as usize).clamp(64 << 20, 512 << 20);
            self.scratch = self.driver.allocate(self.scratch_bytes)?;
        }
        self.driver.fill(self.scratch, self.scratch_bytes)
    }

    fn start(&mut self) -> Result<(), Error> {
        self.driver.mark(0)
    }

    fn stop(&mut self) -> Result<f64, Error> {
        self.driver.mark(1)?;
        Ok(f64::from(self.driver.between()?) * 1e6)
    }
}

impl<D: Driver> Drop for Gpu<D> {
    fn drop(&mut self) {
        if self.scratch != 0 {
            self.driver.free(self.scratch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corrupt_binary_is_not_used() {
        let folder = std::env::temp_dir().join(format!("fla-conformance-cache-{}", std::process::id()));
        let path = folder.join("kernel.bin");
        write(&path, b"an image");
        assert_eq!(read(&path).as_deref(), Some(&b"an image"[..]));
        let mut bytes = fs::read(&path).expect("just written");
        *bytes.last_mut().expect("not empty") ^= 1;
        fs::write(&path, bytes).expect("the folder is ours");
        assert_eq!(read(&path), None);
        fs::write(&path, b"short").expect("the folder is ours");
        assert_eq!(read(&path), None);
        fs::remove_dir_all(folder).expect("the folder is ours");
    }
}
