//! What a call would launch and allocate, without the device.

use std::num::NonZeroU64;

use super::{Call, Job};
use crate::args::Args;
use crate::device::Device;
use crate::error::Error;
use crate::shapes::{Kernel, Target};
use crate::{Backend, DeviceInfo};

/// A call laid out: a pure function of extents, type and device, so that it can be held to a contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Kernels in the order of their launches, and how many blocks of each.
    pub launches: Vec<(String, usize)>,
    /// Bytes that are neither input nor output.
    pub workspace_bytes: u64,
    /// Bytes of everything but the inputs.
    pub peak_bytes: u64,
}

/// The plan of a call on a back end's largest common device: H100, MI300X, or this machine. Values of inputs do not
/// matter and are not read.
///
/// # Errors
/// What the kernels do not offer.
pub fn plan(backend: Backend, call: &Call<'_>) -> Result<Plan, Error> {
    let mut paper = Paper::of(backend);
    let job = Job::new(&mut paper, call)?;
    let launches = job.launches.iter().map(|l| (l.kernel.symbol(), l.blocks)).collect();
    Ok(Plan { launches, workspace_bytes: job.memory.workspace, peak_bytes: job.memory.peak })
}

/// A device that hands out addresses and does nothing.
struct Paper {
    info: DeviceInfo,
    target: Target,
    next: NonZeroU64,
}

impl Paper {
    fn of(backend: Backend) -> Self {
        let (target, name, arch, multiprocessors, shared) = match backend {
            Backend::Hip => (Target::Hip, "AMD Instinct MI300X", "gfx942", 304, 64 << 10),
            Backend::Cuda | Backend::Host => (Target::Cuda, "NVIDIA H100 80GB HBM3", "sm_90a", 132, 227 << 10),
        };
        let (name, arch, runtime) = (name.to_owned(), arch.to_owned(), "on paper".to_owned());
        let info = DeviceInfo { name, arch, multiprocessors, shared, memory: 80 << 30, cache: 50 << 20, runtime };
        Self { info, target, next: NonZeroU64::MIN }
    }
}

impl Device for Paper {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn target(&self) -> Target {
        self.target
    }

    fn allocate(&mut self, bytes: usize) -> Result<u64, Error> {
        let address = self.next.get().next_multiple_of(256);
        self.next = self.next.checked_add(address - self.next.get() + bytes as u64).ok_or(Error::OutOfMemory)?;
        Ok(address)
    }

    fn free(&mut self, _: u64) {}

    fn upload(&mut self, _: u64, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn download(&mut self, _: u64, _: &mut [u8]) -> Result<(), Error> {
        Ok(())
    }

    fn launch(&mut self, _: &Kernel, _: usize, _: &Args) -> Result<(), Error> {
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn start(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn stop(&mut self) -> Result<f64, Error> {
        Ok(0.0)
    }
}
