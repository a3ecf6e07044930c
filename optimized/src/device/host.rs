//! The host: kernels compiled by the C++ compiler, blocks spread over the processor's threads.

#![expect(unsafe_code, reason = "calls compiled kernels, which take addresses")]

use std::alloc::{Layout, alloc, dealloc};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::path::PathBuf;
use std::time::Instant;

use libloading::Library;
use rayon::prelude::*;

use super::{Device, Recorder};
use crate::DeviceInfo;
use crate::args::Args;
use crate::error::Error;
use crate::shapes::{Kernel, Target};

/// One block of a kernel.
type Block = unsafe extern "C" fn(*const c_void, *mut c_void, c_int, c_int, c_int);

include!(concat!(env!("OUT_DIR"), "/host_kernels.rs"));

/// Alignment of every buffer.
const ALIGN: usize = 256;

/// Multiprocessors of a host, whatever the machine has: plans depend on their number, and answers and findings must not
/// depend on the machine.
const MULTIPROCESSORS: usize = 8;

/// What shared memory holds before a block: a signalling pattern that no right kernel reads.
const POISON: u8 = 0xff;

/// This machine's processor.
pub(super) struct Host {
    info: DeviceInfo,
    buffers: HashMap<u64, Layout>,
    started: Instant,
    /// Kernels of these come before those of the program.
    planted: Vec<Library>,
    recordings: RefCell<Recordings>,
}

/// Launches that wait.
#[derive(Default)]
struct Recordings {
    open: Option<Vec<Launch>>,
    made: HashMap<u64, Vec<Launch>>,
    last: u64,
}

type Launch = (Kernel, usize, Args);

impl Host {
    pub(super) fn new() -> Self {
        let threads = rayon::current_num_threads();
        let arch = std::env::consts::ARCH.to_owned();
        let name = format!("{} ({threads} threads)", processor().unwrap_or_else(|| arch.clone()));
        let info = DeviceInfo {
            name,
            arch,
            multiprocessors: MULTIPROCESSORS,
            shared: usize::MAX,
            memory: 0,
            cache: 0,
            runtime: "host build of the kernels".to_owned(),
        };
        let recordings = RefCell::default();
        Self { info, buffers: HashMap::new(), started: Instant::now(), planted: Vec::new(), recordings }
    }

    /// The host with kernels from shared libraries.
    pub(super) fn planted(libraries: &[PathBuf]) -> Result<Self, Error> {
        let load = |path: &PathBuf| {
            // SAFETY: a host build of the kernels has no initialisers beyond those of its C++ runtime.
            unsafe { Library::new(path) }.map_err(|e| Error::NoDevice(format!("cannot load {}: {e}", path.display())))
        };
        let planted = libraries.iter().map(load).collect::<Result<_, _>>()?;
        Ok(Self { planted, ..Self::new() })
    }

    /// The block function of a symbol, and its threads and shared bytes.
    fn kernel(&self, symbol: &str) -> Option<(Block, [u32; 2])> {
        let planted = |library: &Library| {
            // SAFETY: `TILE_ENTRY` defines both symbols with these types, and the libraries live as long as this value.
            unsafe {
                let block = *library.get::<Block>(symbol).ok()?;
                Some((block, **library.get::<*const [u32; 2]>(format!("{symbol}_launch")).ok()?))
            }
        };
        self.planted.iter().find_map(planted).or_else(|| find(symbol))
    }

    fn run(&self, kernel: &Kernel, blocks: usize, args: &Args) -> Result<(), Error> {
        let symbol = kernel.symbol();
        let (block, [_, bytes]) = self.kernel(&symbol).ok_or_else(|| Error::Compile {
            kernel: symbol.clone(),
            log: "not among the kernels of the host build".to_owned(),
        })?;
        let args = Arguments(args);
        let run = |shared: &mut Option<Shared>, x: usize| {
            let shared = shared.as_mut().ok_or(Error::OutOfMemory)?;
            shared.poison();
            // SAFETY: `args` is the struct that this kernel's C++ asserts the size of, its pointers are buffers of the
            // extents its head comment states, and `shared` is as large and aligned as the kernel demands.
            unsafe { block(args.start(), shared.start.cast(), x as c_int, 0, 0) };
            Ok(())
        };
        (0..blocks).into_par_iter().try_for_each_init(|| Shared::new(bytes as usize), run)
    }
}

/// The processor's name, where the system tells.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Shared memory of one block at a time.
struct Shared {
    start: *mut u8,
    layout: Layout,
}

impl Shared {
    fn new(bytes: usize) -> Option<Self> {
        let layout = Layout::from_size_align(bytes.max(1), ALIGN).ok()?;
        // SAFETY: the layout has a size of at least one byte.
        let start = unsafe { alloc(layout) };
        (!start.is_null()).then_some(Self { start, layout })
    }

    fn poison(&mut self) {
        // SAFETY: `start` points to `layout.size()` bytes that this value owns.
        unsafe { self.start.write_bytes(POISON, self.layout.size()) };
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, freed once.
        unsafe { dealloc(self.start, self.layout) };
    }
}

/// Arguments that every thread of a launch reads.
struct Arguments<'a>(&'a Args);

// SAFETY: the argument bytes are only read while the launch borrows them.
unsafe impl Sync for Arguments<'_> {}

impl Arguments<'_> {
    fn start(&self) -> *const c_void {
        self.0.as_ptr().cast()
    }
}

impl Device for Host {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn target(&self) -> Target {
        Target::Cuda
    }

    fn allocate(&mut self, bytes: usize) -> Result<u64, Error> {
        let layout = Layout::from_size_align(bytes, ALIGN).map_err(|_| Error::OutOfMemory)?;
        // SAFETY: callers ask for at least one byte.
        let start = unsafe { alloc(layout) };
        if start.is_null() {
            return Err(Error::OutOfMemory);
        }
        self.buffers.insert(start as u64, layout);
        Ok(start as u64)
    }

    fn free(&mut self, address: u64) {
        if let Some(layout) = self.buffers.remove(&address) {
            // SAFETY: the map holds exactly what `allocate` gave and nobody freed.
            unsafe { dealloc(address as *mut u8, layout) };
        }
    }

    fn upload(&mut self, address: u64, bytes: &[u8]) -> Result<(), Error> {
        // SAFETY: `Memory` passes addresses inside its own buffers, with lengths that fit.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), address as *mut u8, bytes.len()) };
        Ok(())
    }

    fn download(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), Error> {
        // SAFETY: as for `upload`; launches have ended when `launch` returns.
        unsafe { std::ptr::copy_nonoverlapping(address as *const u8, bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    fn launch(&mut self, kernel: &Kernel, blocks: usize, args: &Args) -> Result<(), Error> {
        match &mut self.recordings.get_mut().open {
            Some(launches) => launches.push((*kernel, blocks, args.clone())),
            None => self.run(kernel, blocks, args)?,
        }
        Ok(())
    }

    fn recorder(&self) -> Option<&dyn Recorder> {
        Some(self)
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn start(&mut self) -> Result<(), Error> {
        self.started = Instant::now();
        Ok(())
    }

    fn stop(&mut self) -> Result<f64, Error> {
        Ok(self.started.elapsed().as_nanos() as f64)
    }

    fn clock(&self) -> &'static str {
        "wall clock around each call"
    }
}

impl Recorder for Host {
    fn begin(&self) -> Result<(), Error> {
        self.recordings.borrow_mut().open = Some(Vec::new());
        Ok(())
    }

    fn end(&self) -> Result<u64, Error> {
        let mut all = self.recordings.borrow_mut();
        all.last += 1;
        let (name, launches) = (all.last, all.open.take().unwrap_or_default());
        all.made.insert(name, launches);
        Ok(name)
    }

    fn play(&self, recording: u64) -> Result<(), Error> {
        let all = self.recordings.borrow();
        let mut launches = all.made.get(&recording).into_iter().flatten();
        launches.try_for_each(|(kernel, blocks, args)| self.run(kernel, *blocks, args))
    }

    fn queues(&self) -> bool {
        false
    }

    fn forget(&self, recording: u64) {
        self.recordings.borrow_mut().made.remove(&recording);
    }
}
