//! HIP: the runtime and hiprtc, both loaded at run time.
//!
//! Compiled binaries for gfx90a and gfx942 are checked in CI; no run on AMD hardware is on record yet.

#![expect(unsafe_code, reason = "calls the HIP runtime")]

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};

use libloading::Library;

use super::gpu::{Driver, Loaded};
use crate::args::Args;
use crate::error::Error;
use crate::{Backend, DeviceInfo};

/// `hipErrorOutOfMemory`.
const OUT_OF_MEMORY: c_int = 2;

/// Attributes of `hipDeviceAttribute_t` that keep their number across ROCm 5 and 6.
const MULTIPROCESSORS: c_int = 63;

/// Device 0.
pub(super) struct Hip {
    info: DeviceInfo,
    runtime: Library,
    compiler: Library,
    marks: [u64; 2],
}

type Handle = *mut c_void;

/// Calls a function of a library by name, with its C signature.
macro_rules! call {
    ($library:expr, $name:literal ( $($arg:expr => $type:ty),* )) => {{
        // SAFETY: the signature is the one in the vendor's header; a missing symbol becomes an error.
        let function = unsafe { $library.get::<unsafe extern "C" fn($($type),*) -> c_int>($name) };
        match function {
            // SAFETY: out pointers are live locals, handles come from the same library.
            Ok(function) => unsafe { function($($arg),*) },
            Err(error) => return Err(Error::NoDevice(format!("the HIP library is too old: {error}"))),
        }
    }};
}

impl Hip {
    pub(super) fn open() -> Result<Self, Error> {
        let runtime = first(&["libamdhip64.so", "libamdhip64.so.6", "libamdhip64.so.5"]).ok_or_else(|| {
            Error::NoDevice(
                "there is no HIP runtime: libamdhip64.so is not found; install ROCm on a machine with an AMD GPU"
                    .into(),
            )
        })?;
        let compiler = first(&["libhiprtc.so", "libhiprtc.so.6", "libhiprtc.so.5"]).ok_or_else(|| {
            Error::NoCompiler(
                "there is no HIP run-time compiler: libhiprtc.so is not found; install ROCm's hiprtc".into(),
            )
        })?;
        let mut count: c_int = 0;
        let status = call!(runtime, b"hipGetDeviceCount\0" (&raw mut count => *mut c_int));
        if status != 0 || count == 0 {
            return Err(Error::NoDevice("no usable AMD GPU; rocminfo tells what the driver sees".into()));
        }
        let mut hip = Self {
            info: DeviceInfo {
                name: String::new(),
                arch: String::new(),
                multiprocessors: 0,
                shared: 0,
                memory: 0,
                cache: 0,
                runtime: String::new(),
            },
            runtime,
            compiler,
            marks: [0; 2],
        };
        hip.info = hip.describe()?;
        for i in 0..2 {
            let mut event: Handle = std::ptr::null_mut();
            hip.check("hipEventCreate", call!(hip.runtime, b"hipEventCreate\0" (&raw mut event => *mut Handle)))?;
            hip.marks[i] = event as u64;
        }
        Ok(hip)
    }

    fn describe(&self) -> Result<DeviceInfo, Error> {
        let (mut name, mut free, mut memory, mut units, mut version) = ([0 as c_char; 256], 0usize, 0usize, 0, 0);
        let rt = &self.runtime;
        self.check("hipSetDevice", call!(rt, b"hipSetDevice\0" (0 => c_int)))?;
        let got = call!(rt, b"hipDeviceGetName\0" (name.as_mut_ptr() => *mut c_char, 255 => c_int, 0 => c_int));
        self.check("hipDeviceGetName", got)?;
        let got = call!(rt, b"hipMemGetInfo\0" (&raw mut free => *mut usize, &raw mut memory => *mut usize));
        self.check("hipMemGetInfo", got)?;
        _ = call!(rt, b"hipDeviceGetAttribute\0" (&raw mut units => *mut c_int, MULTIPROCESSORS => c_int, 0 => c_int));
        _ = call!(rt, b"hipRuntimeGetVersion\0" (&raw mut version => *mut c_int));
        // SAFETY: the runtime ended the name with a zero within the 256 bytes.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
        // hiprtc compiles for the present device when no architecture is named; an override helps where that fails
        let arch = std::env::var("FLA_CONFORMANCE_GFX").unwrap_or_default();
        let runtime = format!("HIP {version}");
        Ok(DeviceInfo {
            name,
            arch,
            multiprocessors: units.max(0) as usize,
            shared: 64 * 1024,
            memory: memory as u64,
            cache: 256 << 20,
            runtime,
        })
    }

    fn check(&self, call: &'static str, status: c_int) -> Result<(), Error> {
        match status {
            0 => Ok(()),
            OUT_OF_MEMORY => Err(Error::OutOfMemory),
            other => Err(Error::Driver { call, message: format!("HIP error {other}") }),
        }
    }

    fn options(&self) -> Vec<String> {
        let mut options = vec!["-std=c++17".to_owned(), "-O3".to_owned()];
        if !self.info.arch.is_empty() {
            options.push(format!("--offload-arch={}", self.info.arch));
        }
        options
    }
}

fn first(names: &[&str]) -> Option<Library> {
    // SAFETY: the vendor's libraries run only their own initialisers.
    names.iter().find_map(|name| unsafe { Library::new(*name) }.ok())
}

impl Driver for Hip {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn backend(&self) -> Backend {
        Backend::Hip
    }

    fn recipe(&self) -> String {
        format!("{} {} {}", self.info.name, self.info.runtime, self.options().join(" "))
    }

    fn compile(&self, symbol: &str, source: &str) -> Result<Vec<u8>, Error> {
        let broken = |log: String| Error::Compile { kernel: symbol.to_owned(), log };
        let text = CString::new(source).map_err(|e| broken(e.to_string()))?;
        let options: Vec<CString> = self.options().into_iter().filter_map(|o| CString::new(o).ok()).collect();
        let pointers: Vec<*const c_char> = options.iter().map(|o| o.as_ptr()).collect();
        let rtc = &self.compiler;
        let mut program: Handle = std::ptr::null_mut();
        let none = std::ptr::null::<*const c_char>();
        let created = call!(rtc, b"hiprtcCreateProgram\0" (&raw mut program => *mut Handle,
            text.as_ptr() => *const c_char, std::ptr::null() => *const c_char, 0 => c_int,
            none => *const *const c_char, none => *const *const c_char));
        if created != 0 {
            return Err(broken(format!("hiprtcCreateProgram: {created}")));
        }
        let compiled = call!(rtc, b"hiprtcCompileProgram\0" (program => Handle, pointers.len() as c_int => c_int,
            pointers.as_ptr() => *const *const c_char));
        let mut size = 0usize;
        if compiled != 0 {
            _ = call!(rtc, b"hiprtcGetProgramLogSize\0" (program => Handle, &raw mut size => *mut usize));
            let mut log = vec![0u8; size];
            _ = call!(rtc, b"hiprtcGetProgramLog\0" (program => Handle, log.as_mut_ptr() => *mut u8));
            _ = call!(rtc, b"hiprtcDestroyProgram\0" (&raw mut program => *mut Handle));
            return Err(broken(String::from_utf8_lossy(&log).into_owned()));
        }
        let sized = call!(rtc, b"hiprtcGetCodeSize\0" (program => Handle, &raw mut size => *mut usize));
        let mut image = vec![0u8; size];
        let got = call!(rtc, b"hiprtcGetCode\0" (program => Handle, image.as_mut_ptr() => *mut u8));
        _ = call!(rtc, b"hiprtcDestroyProgram\0" (&raw mut program => *mut Handle));
        if sized != 0 || got != 0 {
            return Err(broken(format!("hiprtcGetCode: {got}")));
        }
        Ok(image)
    }

    fn load(&self, image: &[u8], symbol: &str) -> Result<Loaded, Error> {
        let name = |text: String| CString::new(text).unwrap_or_default();
        let (kernel, array) = (name(symbol.to_owned()), name(format!("{symbol}_launch")));
        let (mut module, mut function): (Handle, Handle) = (std::ptr::null_mut(), std::ptr::null_mut());
        let (mut address, mut size, mut launch): (Handle, usize, [u32; 2]) = (std::ptr::null_mut(), 0, [0; 2]);
        let rt = &self.runtime;
        let data = image.as_ptr().cast::<c_void>();
        self.check(
            "hipModuleLoadData",
            call!(rt, b"hipModuleLoadData\0" (&raw mut module => *mut Handle, data => *const c_void)),
        )?;
        let got = call!(rt, b"hipModuleGetFunction\0" (&raw mut function => *mut Handle, module => Handle,
            kernel.as_ptr() => *const c_char));
        self.check("hipModuleGetFunction", got)?;
        let got = call!(rt, b"hipModuleGetGlobal\0" (&raw mut address => *mut Handle, &raw mut size => *mut usize,
            module => Handle, array.as_ptr() => *const c_char));
        self.check("hipModuleGetGlobal", got)?;
        let into: *mut c_void = (&raw mut launch).cast();
        let got = call!(rt, b"hipMemcpyDtoH\0" (into => *mut c_void, address => Handle, size_of_val(&launch) => usize));
        self.check("hipMemcpyDtoH", got)?;
        Ok(Loaded { function: function as u64, threads: launch[0], shared: launch[1] })
    }

    fn allocate(&self, bytes: usize) -> Result<u64, Error> {
        let mut address: Handle = std::ptr::null_mut();
        let got = call!(self.runtime, b"hipMalloc\0" (&raw mut address => *mut Handle, bytes => usize));
        self.check("hipMalloc", got)?;
        Ok(address as u64)
    }

    fn free(&self, address: u64) {
        let release =
            || -> Result<c_int, Error> { Ok(call!(self.runtime, b"hipFree\0" (address as Handle => Handle))) };
        _ = release();
    }

    fn upload(&self, address: u64, bytes: &[u8]) -> Result<(), Error> {
        let data = bytes.as_ptr() as Handle;
        let got =
            call!(self.runtime, b"hipMemcpyHtoD\0" (address as Handle => Handle, data => Handle, bytes.len() => usize));
        self.check("hipMemcpyHtoD", got)
    }

    fn download(&self, address: u64, bytes: &mut [u8]) -> Result<(), Error> {
        let data = bytes.as_mut_ptr().cast::<c_void>();
        let got =
            call!(self.runtime, b"hipMemcpyDtoH\0" (data => Handle, address as Handle => Handle, bytes.len() => usize));
        self.check("hipMemcpyDtoH", got)
    }

    fn fill(&self, address: u64, bytes: usize) -> Result<(), Error> {
        let got = call!(self.runtime, b"hipMemset\0" (address as Handle => Handle, 1 => c_int, bytes => usize));
        self.check("hipMemset", got)
    }

    fn launch(&self, kernel: Loaded, blocks: u32, args: &Args) -> Result<(), Error> {
        let mut parameters = [args.as_ptr() as Handle];
        let (function, null): (Handle, Handle) = (kernel.function as Handle, std::ptr::null_mut());
        let got = call!(self.runtime, b"hipModuleLaunchKernel\0" (function => Handle,
            blocks => c_uint, 1 => c_uint, 1 => c_uint, kernel.threads => c_uint, 1 => c_uint, 1 => c_uint,
            kernel.shared => c_uint, null => Handle, parameters.as_mut_ptr() => *mut Handle, null => Handle));
        self.check("hipModuleLaunchKernel", got)
    }

    fn synchronize(&self) -> Result<(), Error> {
        self.check("hipDeviceSynchronize", call!(self.runtime, b"hipDeviceSynchronize\0"()))
    }

    fn mark(&self, which: usize) -> Result<(), Error> {
        let (event, stream) = (self.marks[which] as Handle, std::ptr::null_mut());
        self.check("hipEventRecord", call!(self.runtime, b"hipEventRecord\0" (event => Handle, stream => Handle)))
    }

    fn between(&self) -> Result<f32, Error> {
        let (start, end, mut ms) = (self.marks[0] as Handle, self.marks[1] as Handle, 0f32);
        self.check("hipEventSynchronize", call!(self.runtime, b"hipEventSynchronize\0" (end => Handle)))?;
        let got =
            call!(self.runtime, b"hipEventElapsedTime\0" (&raw mut ms => *mut f32, start => Handle, end => Handle));
        self.check("hipEventElapsedTime", got)?;
        Ok(ms)
    }
}
