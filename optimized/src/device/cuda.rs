//! CUDA: the driver and NVRTC, both loaded at run time.

#![expect(unsafe_code, reason = "calls the CUDA driver")]

use std::ffi::{CStr, CString, c_int, c_uint, c_void};

use cudarc::driver::sys::{self as cu, CUdevice_attribute_enum as Attribute, CUresult};
use cudarc::nvrtc::sys as rtc;

use super::Recorder;
use super::gpu::{Driver, Loaded};
use crate::args::Args;
use crate::error::Error;
use crate::{Backend, DeviceInfo};

/// Device 0, in its primary context.
pub(super) struct Cuda {
    info: DeviceInfo,
    context: cu::CUcontext,
    marks: [cu::CUevent; 2],
    /// Ordered with the default stream, on which copies go; that one cannot be recorded.
    stream: cu::CUstream,
}

// SAFETY: contexts, streams and events may be used from any thread; every call makes the context current first.
unsafe impl Send for Cuda {}
// SAFETY: as above; the driver serialises its calls.
unsafe impl Sync for Cuda {}

fn check(call: &'static str, result: CUresult) -> Result<(), Error> {
    if result == CUresult::CUDA_SUCCESS {
        return Ok(());
    }
    if result == CUresult::CUDA_ERROR_OUT_OF_MEMORY {
        return Err(Error::OutOfMemory);
    }
    let mut text = std::ptr::null();
    // SAFETY: the driver stores the address of a constant string, or leaves null.
    let message = unsafe {
        _ = cu::cuGetErrorString(result, &raw mut text);
        if text.is_null() { format!("{result:?}") } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
    };
    Err(Error::Driver { call, message })
}

impl Cuda {
    pub(super) fn open() -> Result<Self, Error> {
        // SAFETY: only asks whether the libraries can be loaded.
        let (driver, compiler) = unsafe { (cu::is_culib_present(), rtc::is_culib_present()) };
        if !driver {
            return Err(Error::NoDevice(
                "there is no CUDA driver: libcuda.so is not found; install the NVIDIA driver".into(),
            ));
        }
        if !compiler {
            let hint = "install CUDA's NVRTC, or put the folder of libnvrtc.so on LD_LIBRARY_PATH";
            return Err(Error::NoCompiler(format!(
                "there is no CUDA run-time compiler: libnvrtc.so is not found; {hint}"
            )));
        }
        let unusable =
            |e: Error| Error::NoDevice(format!("no usable CUDA device ({e}); nvidia-smi tells what the driver sees"));
        Self::start().map_err(unusable)
    }

    fn start() -> Result<Self, Error> {
        let (mut device, mut context, mut marks) = (0, std::ptr::null_mut(), [std::ptr::null_mut(); 2]);
        let (mut name, mut memory, mut version, mut stream) = ([0; 256], 0usize, 0, std::ptr::null_mut());
        // SAFETY: plain driver calls; every out pointer is a live local of the type the driver writes.
        unsafe {
            check("cuInit", cu::cuInit(0))?;
            check("cuDeviceGet", cu::cuDeviceGet(&raw mut device, 0))?;
            check("cuDevicePrimaryCtxRetain", cu::cuDevicePrimaryCtxRetain(&raw mut context, device))?;
            check("cuCtxSetCurrent", cu::cuCtxSetCurrent(context))?;
            check("cuDeviceGetName", cu::cuDeviceGetName(name.as_mut_ptr(), 255, device))?;
            check("cuDeviceTotalMem", cu::cuDeviceTotalMem_v2(&raw mut memory, device))?;
            check("cuDriverGetVersion", cu::cuDriverGetVersion(&raw mut version))?;
            check("cuStreamCreate", cu::cuStreamCreate(&raw mut stream, 0))?;
            for mark in &mut marks {
                check("cuEventCreate", cu::cuEventCreate(mark, 0))?;
            }
        }
        let attribute = |which| -> Result<c_int, Error> {
            let mut value = 0;
            // SAFETY: the driver writes one integer.
            check("cuDeviceGetAttribute", unsafe { cu::cuDeviceGetAttribute(&raw mut value, which, device) })?;
            Ok(value)
        };
        let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        // architecture-specific instructions exist from 9.0 on
        let arch = format!("sm_{major}{minor}{}", if major >= 9 { "a" } else { "" });
        // SAFETY: the driver ended the name with a zero within the 256 bytes.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
        let info = DeviceInfo {
            name,
            arch,
            multiprocessors: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?.max(0) as usize,
            shared: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?.max(0) as usize,
            memory: memory as u64,
            cache: attribute(Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?.max(0) as u64,
            runtime: format!("CUDA driver API {}.{}, {}", version / 1000, version % 1000 / 10, compiler_version()),
        };
        Ok(Self { info, context, marks, stream })
    }

    fn enter(&self) -> Result<(), Error> {
        // SAFETY: the primary context lives as long as `self`.
        check("cuCtxSetCurrent", unsafe { cu::cuCtxSetCurrent(self.context) })
    }
}

fn compiler_version() -> String {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: NVRTC writes two integers.
    unsafe { _ = rtc::nvrtcVersion(&raw mut major, &raw mut minor) };
    format!("NVRTC {major}.{minor}")
}

impl Driver for Cuda {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn backend(&self) -> Backend {
        Backend::Cuda
    }

    fn recipe(&self) -> String {
        format!("{} {}", compiler_version(), options(&self.info.arch).join(" "))
    }

    fn compile(&self, symbol: &str, source: &str) -> Result<Vec<u8>, Error> {
        let broken = |log: String| Error::Compile { kernel: symbol.to_owned(), log };
        let text = CString::new(source).map_err(|e| broken(e.to_string()))?;
        let options: Vec<CString> = options(&self.info.arch).into_iter().filter_map(|o| CString::new(o).ok()).collect();
        let pointers: Vec<_> = options.iter().map(|o| o.as_ptr()).collect();
        let mut program = std::ptr::null_mut();
        let ok = rtc::nvrtcResult::NVRTC_SUCCESS;
        // SAFETY: strings and out pointers outlive the calls; sizes are asked for before buffers are filled.
        unsafe {
            let none = std::ptr::null();
            let created = rtc::nvrtcCreateProgram(&raw mut program, text.as_ptr(), none, 0, none.cast(), none.cast());
            if created != ok {
                return Err(broken(format!("nvrtcCreateProgram: {created:?}")));
            }
            let compiled = rtc::nvrtcCompileProgram(program, pointers.len() as c_int, pointers.as_ptr());
            let mut size = 0;
            if compiled != ok {
                _ = rtc::nvrtcGetProgramLogSize(program, &raw mut size);
                let mut log = vec![0u8; size];
                _ = rtc::nvrtcGetProgramLog(program, log.as_mut_ptr().cast());
                _ = rtc::nvrtcDestroyProgram(&raw mut program);
                return Err(broken(format!("{compiled:?}\n{}", String::from_utf8_lossy(&log))));
            }
            let sized = rtc::nvrtcGetCUBINSize(program, &raw mut size);
            let mut image = vec![0u8; size];
            let got = rtc::nvrtcGetCUBIN(program, image.as_mut_ptr().cast());
            _ = rtc::nvrtcDestroyProgram(&raw mut program);
            if sized != ok || got != ok {
                return Err(broken(format!("nvrtcGetCUBIN: {got:?}")));
            }
            Ok(image)
        }
    }

    fn load(&self, image: &[u8], symbol: &str) -> Result<Loaded, Error> {
        self.enter()?;
        let name = |text: String| CString::new(text).unwrap_or_default();
        let (mut module, mut function) = (std::ptr::null_mut(), std::ptr::null_mut());
        let (mut address, mut size, mut launch) = (0, 0usize, [0u32; 2]);
        // SAFETY: the image is a whole binary of our own; `_launch` is an array of two unsigned integers in it.
        unsafe {
            check("cuModuleLoadData", cu::cuModuleLoadData(&raw mut module, image.as_ptr().cast()))?;
            let kernel = name(symbol.to_owned());
            check("cuModuleGetFunction", cu::cuModuleGetFunction(&raw mut function, module, kernel.as_ptr()))?;
            let array = name(format!("{symbol}_launch"));
            let found = cu::cuModuleGetGlobal_v2(&raw mut address, &raw mut size, module, array.as_ptr());
            check("cuModuleGetGlobal", found)?;
            let into = (&raw mut launch).cast();
            check("cuMemcpyDtoH", cu::cuMemcpyDtoH_v2(into, address, size_of_val(&launch)))?;
            let dynamic = cu::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            check("cuFuncSetAttribute", cu::cuFuncSetAttribute(function, dynamic, launch[1] as c_int))?;
        }
        Ok(Loaded { function: function as u64, threads: launch[0], shared: launch[1] })
    }

    fn allocate(&self, bytes: usize) -> Result<u64, Error> {
        self.enter()?;
        let mut address = 0;
        // SAFETY: the driver writes the address.
        check("cuMemAlloc", unsafe { cu::cuMemAlloc_v2(&raw mut address, bytes) })?;
        Ok(address)
    }

    fn free(&self, address: u64) {
        if self.enter().is_ok() {
            // SAFETY: callers free once what `allocate` gave.
            unsafe { _ = cu::cuMemFree_v2(address) };
        }
    }

    fn upload(&self, address: u64, bytes: &[u8]) -> Result<(), Error> {
        self.enter()?;
        // SAFETY: `Memory` passes addresses inside its own buffers, with lengths that fit.
        check("cuMemcpyHtoD", unsafe { cu::cuMemcpyHtoD_v2(address, bytes.as_ptr().cast(), bytes.len()) })
    }

    fn download(&self, address: u64, bytes: &mut [u8]) -> Result<(), Error> {
        self.enter()?;
        // SAFETY: as for `upload`; the copy waits for launches before it.
        check("cuMemcpyDtoH", unsafe { cu::cuMemcpyDtoH_v2(bytes.as_mut_ptr().cast(), address, bytes.len()) })
    }

    fn fill(&self, address: u64, bytes: usize) -> Result<(), Error> {
        self.enter()?;
        // SAFETY: the range is one allocation of ours.
        check("cuMemsetD8", unsafe { cu::cuMemsetD8Async(address, 1, bytes, self.stream) })
    }

    fn launch(&self, kernel: Loaded, blocks: u32, args: &Args) -> Result<(), Error> {
        self.enter()?;
        let mut parameters = [args.as_ptr() as *mut c_void];
        let (function, threads): (_, c_uint) = (kernel.function as cu::CUfunction, kernel.threads);
        // SAFETY: the only parameter is the kernel's own argument struct, whose size its C++ asserts; its pointers are
        // buffers of the extents that the kernel's head comment states.
        let result = unsafe {
            let (stream, extra) = (self.stream, std::ptr::null_mut());
            cu::cuLaunchKernel(
                function,
                blocks,
                1,
                1,
                threads,
                1,
                1,
                kernel.shared,
                stream,
                parameters.as_mut_ptr(),
                extra,
            )
        };
        check("cuLaunchKernel", result)
    }

    fn synchronize(&self) -> Result<(), Error> {
        self.enter()?;
        // SAFETY: waits for the current context.
        check("cuCtxSynchronize", unsafe { cu::cuCtxSynchronize() })
    }

    fn mark(&self, which: usize) -> Result<(), Error> {
        self.enter()?;
        // SAFETY: the event was created in this context.
        check("cuEventRecord", unsafe { cu::cuEventRecord(self.marks[which], self.stream) })
    }

    fn between(&self) -> Result<f32, Error> {
        let mut ms = 0.0;
        // SAFETY: both events were recorded; the driver writes one float.
        unsafe {
            check("cuEventSynchronize", cu::cuEventSynchronize(self.marks[1]))?;
            check("cuEventElapsedTime", cu::cuEventElapsedTime_v2(&raw mut ms, self.marks[0], self.marks[1]))?;
        }
        Ok(ms)
    }

    fn recorder(&self) -> Option<&dyn Recorder> {
        Some(self)
    }
}

impl Recorder for Cuda {
    fn begin(&self) -> Result<(), Error> {
        self.enter()?;
        // whatever allocates or waits meanwhile, in any thread, is an error
        let mode = cu::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
        // SAFETY: the stream is ours, and nothing is being recorded on it.
        check("cuStreamBeginCapture", unsafe { cu::cuStreamBeginCapture_v2(self.stream, mode) })
    }

    fn end(&self) -> Result<u64, Error> {
        self.enter()?;
        let (mut graph, mut ready) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: the driver writes two handles; the graph is freed once, after what is made of it.
        unsafe {
            check("cuStreamEndCapture", cu::cuStreamEndCapture(self.stream, &raw mut graph))?;
            let made = cu::cuGraphInstantiateWithFlags(&raw mut ready, graph, 0);
            _ = cu::cuGraphDestroy(graph);
            check("cuGraphInstantiate", made)?;
        }
        Ok(ready as u64)
    }

    fn play(&self, recording: u64) -> Result<(), Error> {
        self.enter()?;
        // SAFETY: the handle comes from `end`, and the buffers that its launches name are kept with it.
        check("cuGraphLaunch", unsafe { cu::cuGraphLaunch(recording as cu::CUgraphExec, self.stream) })
    }

    fn queues(&self) -> bool {
        true
    }

    fn forget(&self, recording: u64) {
        if self.enter().is_ok() {
            // SAFETY: callers forget once what `end` gave.
            unsafe { _ = cu::cuGraphExecDestroy(recording as cu::CUgraphExec) };
        }
    }
}

fn options(arch: &str) -> Vec<String> {
    vec![format!("-arch={arch}"), "-std=c++17".to_owned(), "-default-device".to_owned()]
}
