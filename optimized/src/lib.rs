//! Our kernels, and the devices that run them.
//!
//! Kernels are C++ on a tile layer (`kernels/`), one source for CUDA, HIP and the host. An [`Engine`] is one device; a
//! [`Call`] is one op with its tensors. Launch lists (`ops`) are written once against the devices' common interface,
//! and tile shapes (`shapes`) are a pure function of op, type and width.

#![deny(unsafe_code)]

mod args;
mod device;
mod engine;
mod error;
mod memory;
mod ops;
pub mod plant;
mod shapes;
mod source;

pub use engine::{Answer, Call, Engine, Fill, Plan, Timing, plan};
pub use error::Error;
pub use source::{kernel_hash, units, workspaces};

/// Where kernels run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// This machine's processor.
    Host,
    /// An NVIDIA GPU, through the CUDA driver and NVRTC.
    Cuda,
    /// An AMD GPU, through HIP and hiprtc.
    Hip,
}

/// A device, as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Name, with the architecture for GPUs.
    pub name: String,
    /// Architecture: `sm_90a`, `gfx942`, `x86_64`.
    pub arch: String,
    /// Multiprocessors, compute units or threads.
    pub multiprocessors: usize,
    /// Bytes of shared memory that a block may have.
    pub shared: usize,
    /// Bytes of memory; 0 when unknown.
    pub memory: u64,
    /// Bytes of the last-level cache that a benchmark must flush; 0 when unknown.
    pub cache: u64,
    /// Driver and compiler.
    pub runtime: String,
}
