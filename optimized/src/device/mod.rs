//! Devices: memory, launches, time. The only place with `unsafe` code.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(any(feature = "cuda", feature = "hip"))]
mod gpu;
#[cfg(feature = "hip")]
mod hip;
mod host;

use std::path::PathBuf;

use crate::args::Args;
use crate::error::Error;
use crate::shapes::{Kernel, Target};
use crate::{Backend, DeviceInfo};

/// Launches that are recorded instead of run, and then played as a whole.
pub(crate) trait Recorder {
    /// From here on launches are recorded; until [`Recorder::end`] nothing else may be asked of the device.
    fn begin(&self) -> Result<(), Error>;

    /// What was recorded, ready to be played.
    fn end(&self) -> Result<u64, Error>;

    fn play(&self, recording: u64) -> Result<(), Error>;

    /// Whether [`Recorder::play`] returns before its launches have ended.
    fn queues(&self) -> bool;

    fn forget(&self, recording: u64);
}

/// What launch lists need of a device. Launches run in order.
pub(crate) trait Device: Send {
    fn info(&self) -> &DeviceInfo;

    /// Whose tile shapes it takes.
    fn target(&self) -> Target;

    /// Bytes of device memory, 256-byte aligned.
    fn allocate(&mut self, bytes: usize) -> Result<u64, Error>;

    fn free(&mut self, address: u64);

    fn upload(&mut self, address: u64, bytes: &[u8]) -> Result<(), Error>;

    /// Waits for every launch before it.
    fn download(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), Error>;

    /// Compiles and loads the kernels of a call, where that is done at run time.
    fn prepare(&mut self, _kernels: &[Kernel]) -> Result<(), Error> {
        Ok(())
    }

    /// Runs `blocks` blocks of a kernel.
    fn launch(&mut self, kernel: &Kernel, blocks: usize, args: &Args) -> Result<(), Error>;

    /// What records launches, on a device that can.
    fn recorder(&self) -> Option<&dyn Recorder> {
        None
    }

    /// Waits, and evicts what a last-level cache holds.
    fn flush(&mut self) -> Result<(), Error>;

    /// Starts the clock, after everything launched before.
    fn start(&mut self) -> Result<(), Error>;

    /// Nanoseconds since [`Device::start`], after everything launched before.
    fn stop(&mut self) -> Result<f64, Error>;

    /// What the clock is, for records.
    fn clock(&self) -> &'static str {
        "device events around each call, behind an emptied cache"
    }
}

/// The first device of a back end.
pub(crate) fn open(backend: Backend) -> Result<Box<dyn Device>, Error> {
    match backend {
        Backend::Host => Ok(Box::new(host::Host::new())),
        #[cfg(feature = "cuda")]
        Backend::Cuda => Ok(Box::new(gpu::Gpu::new(cuda::Cuda::open()?))),
        #[cfg(feature = "hip")]
        Backend::Hip => Ok(Box::new(gpu::Gpu::new(hip::Hip::open()?))),
        #[cfg(not(all(feature = "cuda", feature = "hip")))]
        other => Err(Error::NoDevice(format!("this program was built without the {other:?} back end"))),
    }
}

/// The host with kernels from shared libraries.
pub(crate) fn planted(libraries: &[PathBuf]) -> Result<Box<dyn Device>, Error> {
    Ok(Box::new(host::Host::planted(libraries)?))
}
