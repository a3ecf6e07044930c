//! The buffers of one call: allocated on the device, poisoned and fenced when asked, freed at the end.

use reference::tensor::{DType, Tensor};

use crate::args::Ptr;
use crate::device::Device;
use crate::engine::Fill;
use crate::error::Error;

/// Bytes of a guard band before and behind every buffer of a poisoned call.
const GUARD: usize = 4096;

/// What a guard band holds.
const PATTERN: u8 = 0xa5;

struct Buffer {
    name: String,
    base: u64,
    bytes: usize,
    guard: usize,
    /// The bytes that an input must still hold at the end.
    input: Option<Vec<u8>>,
}

/// Device memory of one call.
pub(crate) struct Memory<'d> {
    pub(crate) device: &'d mut dyn Device,
    fill: Fill,
    buffers: Vec<Buffer>,
    /// Bytes that are neither input nor output.
    pub(crate) workspace: u64,
    /// All bytes but the inputs'.
    pub(crate) peak: u64,
}

impl<'d> Memory<'d> {
    pub(crate) fn new(device: &'d mut dyn Device, fill: Fill) -> Self {
        Self { device, fill, buffers: Vec::new(), workspace: 0, peak: 0 }
    }

    /// A buffer with these contents.
    pub(crate) fn input(&mut self, name: &str, tensor: &Tensor) -> Result<Ptr, Error> {
        let ptr = self.place(name, tensor.bytes().len())?;
        self.device.upload(ptr.0, tensor.bytes())?;
        if self.fill != Fill::Any
            && let Some(buffer) = self.buffers.last_mut()
        {
            buffer.input = Some(tensor.bytes().to_vec());
        }
        Ok(ptr)
    }

    /// A table that the launch needs: offsets, chunks.
    pub(crate) fn table(&mut self, name: &str, bytes: &[u8]) -> Result<Ptr, Error> {
        let ptr = self.place(name, bytes.len())?;
        self.workspace += bytes.len() as u64;
        self.device.upload(ptr.0, bytes)?;
        Ok(ptr)
    }

    /// A buffer that kernels fill and that is read back.
    pub(crate) fn output(&mut self, name: &str, dtype: DType, elements: usize) -> Result<Ptr, Error> {
        let ptr = self.place(name, elements * dtype.size())?;
        self.peak += (elements * dtype.size()) as u64;
        self.poison(ptr, dtype, elements)?;
        Ok(ptr)
    }

    /// A buffer that only kernels see.
    pub(crate) fn workspace(&mut self, name: &str, dtype: DType, elements: usize) -> Result<Ptr, Error> {
        self.workspace += (elements * dtype.size()) as u64;
        self.output(name, dtype, elements)
    }

    /// The addresses of all buffers, which are the caller's to free from now on.
    pub(crate) fn keep(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.buffers).into_iter().map(|buffer| buffer.base).collect()
    }

    /// Checks guard bands and inputs of a poisoned call.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        for buffer in &self.buffers {
            if buffer.guard == 0 {
                continue;
            }
            let mut all = vec![0; buffer.bytes + 2 * buffer.guard];
            self.device.download(buffer.base, &mut all)?;
            let (before, rest) = all.split_at(buffer.guard);
            let (inside, behind) = rest.split_at(buffer.bytes);
            let fenced = before.iter().chain(behind).all(|&b| b == PATTERN);
            let kept = buffer.input.as_ref().is_none_or(|bytes| bytes == inside);
            if !fenced || !kept {
                return Err(Error::Trespass(buffer.name.clone()));
            }
        }
        Ok(())
    }

    fn place(&mut self, name: &str, bytes: usize) -> Result<Ptr, Error> {
        let guard = if self.fill == Fill::Any { 0 } else { GUARD };
        let total = bytes + 2 * guard;
        let base = self.device.allocate(total.max(1))?;
        self.buffers.push(Buffer { name: name.to_owned(), base, bytes, guard, input: None });
        if guard > 0 {
            self.device.upload(base, &vec![PATTERN; guard])?;
            self.device.upload(base + (guard + bytes) as u64, &vec![PATTERN; guard])?;
        }
        Ok(Ptr(base).after(guard))
    }

    fn poison(&mut self, ptr: Ptr, dtype: DType, elements: usize) -> Result<(), Error> {
        let value = match self.fill {
            Fill::Any => return Ok(()),
            Fill::NaN => f64::NAN,
            Fill::Huge => dtype.max(),
        };
        self.device.upload(ptr.0, Tensor::filled(dtype, &[elements], value).bytes())
    }
}

impl Drop for Memory<'_> {
    fn drop(&mut self) {
        for buffer in &self.buffers {
            self.device.free(buffer.base);
        }
    }
}
